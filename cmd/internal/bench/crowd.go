package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
)

// Crowd is a forwarder with a thousand connections, not all of them honest.
type Crowd struct {
	Honest    int     `json:"honest"`
	Slow      int     `json:"slow"`    // honest too, a byte at a time
	Garbage   int     `json:"garbage"` // at any time; they come again when they are cut
	Lines     int64   `json:"lines"`   // each acked
	Seconds   float64 `json:"seconds"`
	Refused   int64   `json:"refused"` // connections of those who send garbage
	Buffers   int64   `json:"buffers_peak_bytes"`
	Limit     int64   `json:"buffers_limit_bytes"`
	Memory    int64   `json:"memory_bounds_bytes"` // of all buffers of the process
	Forwarder Usage   `json:"forwarder"`
}

// crowdSets let in a thousand within the memory of the default.
var crowdSets = map[string]string{
	"forward.server.max_connections": "1024", "forward.server.read_buffer_bytes": "64KiB",
}

// crowdPlan is how many come.
type crowdPlan struct{ honest, slow, garbage, lines int }

// crowd runs until each honest line is acked.
func (b *bench) crowd(ctx context.Context) (*Crowd, error) {
	p := b.plan.crowd
	w, err := b.newWorld(ctx, b.plan.shards, false)
	if err != nil {
		return nil, err
	}
	defer w.end()
	f, err := w.Forwarder(processForwarder, arguments(forwardSets, crowdSets)...)
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx, f); err != nil {
		return nil, err
	}
	out := &Crowd{Honest: p.honest, Slow: p.slow, Garbage: p.garbage, Lines: int64(p.honest*p.lines + p.slow)}
	if out.Memory, err = forwarderMemory(crowdSets); err != nil {
		return nil, err
	}
	var m meter
	m.add(processForwarder, &f.Process)
	begin := time.Now()
	until, over := context.WithCancel(ctx)
	defer over()
	others, until := errgroup.WithContext(until)
	others.Go(func() error { return out.watch(until, f) })
	for i := range p.garbage {
		others.Go(func() error { return annoy(until, f.Forward, i) })
	}
	honest, working := errgroup.WithContext(until)
	for i := range p.honest + p.slow {
		honest.Go(func() error {
			if i < p.slow {
				return sendAcked(working, f.Forward, fmt.Sprint("slow ", i), 1, 2*time.Millisecond)
			}
			return sendAcked(working, f.Forward, fmt.Sprint("honest ", i), p.lines, 0)
		})
	}
	err = honest.Wait()
	out.Seconds = time.Since(begin).Seconds()
	over()
	if err := errors.Join(err, others.Wait()); err != nil {
		return nil, err
	}
	if err := out.watchOnce(f); err != nil {
		return nil, err
	}
	out.Forwarder = m.read()[0]
	metrics, err := f.Metrics()
	if err != nil {
		return nil, err
	}
	if got := int64(metrics.Sum("tributary_forwarder_received_total")); got != out.Lines {
		return nil, fmt.Errorf("%d lines of %d came through", got, out.Lines)
	}
	return out, nil
}

// forwarderMemory is the sum of the bounds, as the process tells its collector.
func forwarderMemory(sets map[string]string) (int64, error) {
	s, err := app.Load(app.Defaults(), "", sets)
	if err != nil {
		return 0, err
	}
	return app.ForwarderMemory(s), nil
}

// watch notes the peak of what connections hold.
func (c *Crowd) watch(ctx context.Context, f *cluster.Node) error {
	for ctx.Err() == nil {
		if err := c.watchOnce(f); err != nil {
			return err
		}
		_ = pause(ctx, 20*time.Millisecond) // its end is the loop's
	}
	return nil
}

func (c *Crowd) watchOnce(f *cluster.Node) error {
	metrics, err := f.Metrics()
	if err != nil {
		return err
	}
	c.Buffers = max(c.Buffers, int64(metrics.Sum("tributary_fluent_buffer_bytes")))
	c.Limit = int64(metrics.Sum("tributary_fluent_buffer_limit_bytes"))
	c.Refused = int64(metrics.Sum("tributary_fluent_refused_connections_total"))
	return nil
}

// dialFor is a connection that ends with ctx.
func dialFor(ctx context.Context, address string) (nc net.Conn, end func(), err error) {
	var d net.Dialer
	if nc, err = d.DialContext(ctx, "tcp", address); err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	return nc, func() { stop(); nc.Close() }, nil
}

// sendAcked sends lines of 500 B as Docker does, one outstanding; with a gap above
// zero in single bytes, that far apart.
func sendAcked(ctx context.Context, address, name string, lines int, gap time.Duration) error {
	nc, end, err := dialFor(ctx, address)
	if err != nil {
		return err
	}
	defer end()
	line := bytes.Repeat([]byte("x"), 500)
	for n := range lines {
		id := fmt.Sprintf("%s/%d", name, n)
		request := append([]byte("\x94\xa5crowd\x01\x81\xa3log\xda\x01\xf4"), line...)
		request = append(append(request, "\x81\xa5chunk\xd9"...), byte(len(id)))
		request = append(request, id...)
		if gap == 0 {
			_, err = nc.Write(request)
		}
		for i := 0; gap > 0 && err == nil && i < len(request); i++ {
			if _, err = nc.Write(request[i : i+1]); err == nil {
				err = pause(ctx, gap)
			}
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", id, err)
		}
		want := append([]byte("\x81\xa3ack\xd9"), byte(len(id)))
		want = append(want, id...)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("ack of %s is %q: %w", id, got, err)
		}
	}
	return nil
}

// annoy sends what no server wants, in ways that take turns, until ctx ends.
func annoy(ctx context.Context, address string, turn int) error {
	noise := make([]byte, 4<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	// 12 MiB are announced, 11 come, and then nothing.
	stalled := binary.BigEndian.AppendUint32([]byte("\x93\xa1t\x01\x81\xa3log\xdb"), 12<<20)
	ways := [][]byte{
		noise, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		append(stalled, make([]byte, 11<<20)...), append([]byte("\x93\xa1t\x01"), bytes.Repeat([]byte{0x91}, 64<<10)...),
		[]byte("\xdd\xff\xff\xff\xff"), []byte("\x93\xa1t\x01\x81\xa3log\xd9"),
	}
	for ; ctx.Err() == nil; turn++ {
		nc, end, err := dialFor(ctx, address)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		_, _ = nc.Write(ways[turn%len(ways)]) // the server may hang up in the middle of it
		_, _ = io.Copy(io.Discard, nc)        // until it does
		end()
	}
	return nil
}

func (c *Crowd) print(w io.Writer) {
	if c == nil {
		return
	}
	fmt.Fprintf(w, "\nCrowd: %d connections with request-ack, %d sending a byte at a time, %d sending garbage and coming again\n", c.Honest, c.Slow, c.Garbage)
	fmt.Fprintf(w, "  %s lines acked in %.1f s, %s connections refused; buffers of connections %d of %d MiB, peak RSS of the forwarder %d MiB, %.1f CPU s\n",
		group(float64(c.Lines)), c.Seconds, group(float64(c.Refused)), c.Buffers>>20, c.Limit>>20, c.Forwarder.PeakRSS>>20, c.Forwarder.CPUSeconds)
}

func (c *Crowd) targets() []Target {
	if c == nil {
		return nil
	}
	return []Target{
		{"buffers of connections in a crowd", fmt.Sprintf("at most %d MiB", c.Limit>>20), fmt.Sprintf("%d MiB", c.Buffers>>20), c.Buffers <= c.Limit},
		{"peak memory of the forwarder in a crowd", fmt.Sprintf("at most %d MiB", c.Memory>>20),
			fmt.Sprintf("%d MiB", c.Forwarder.PeakRSS>>20), c.Forwarder.PeakRSS <= c.Memory},
	}
}
