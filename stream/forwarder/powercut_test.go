package forwarder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/stream/fluent"
	"tributary/stream/spool"
	"tributary/stream/spool/powercut"
)

// dockers are containers whose lines are sent with request-ack, and again over a new
// connection whenever the old one ends. Every third line comes in three pieces.
type dockers struct {
	t     *testing.T
	addr  string
	acked atomic.Int64
	stop  atomic.Bool
	sent  sync.Map // line → true
	wg    sync.WaitGroup
}

func (d *dockers) start(n int) {
	for i := range n {
		c := d.client()
		d.wg.Go(func() { defer c.Close(); d.talk(c, "c"+strconv.Itoa(i)) })
	}
}

// client runs until it is closed.
func (d *dockers) client() *fluent.Client {
	d.t.Helper()
	cfg := fluent.DefaultClientConfig()
	cfg.Address, cfg.RetryWait, cfg.MaxRetryWait = d.addr, time.Millisecond, 5*time.Millisecond
	c, err := fluent.NewClient(cfg, &net.Dialer{}, slog.New(slog.DiscardHandler))
	if err != nil {
		d.t.Fatal(err)
	}
	d.wg.Go(func() {
		if err := c.Run(context.Background()); err != nil {
			d.t.Error(err)
		}
	})
	return c
}

func (d *dockers) talk(c *fluent.Client, container string) {
	for n := 0; !d.stop.Load(); n++ {
		line := fmt.Sprintf("%s line %d %s", container, n, strings.Repeat("x", 40))
		d.sent.Store(line, true)
		pieces := []map[string]string{{"container_id": container, "log": line}}
		if n%3 == 0 {
			pieces = nil
			for k, text := range []string{line[:4], line[4:9], line[9:]} {
				p := pieceOf(strconv.Itoa(n), k+1, k == 2, text)
				p["container_id"] = container
				pieces = append(pieces, p)
			}
		}
		for _, p := range pieces {
			d.send(c, p)
		}
	}
}

// send returns when the record is acked, as Docker does with request-ack.
func (d *dockers) send(c *fluent.Client, record map[string]string) {
	acked := make(chan struct{})
	var fields []fluent.Field
	for k, v := range record {
		fields = append(fields, fluent.Field{Name: k, Value: []byte(v)})
	}
	chunk := fluent.Chunk{Tag: "app", Entries: fluent.AppendEntry(nil, time.Now().UnixNano(), fields...), Events: 1, Acked: func() { d.acked.Add(1); close(acked) }}
	if err := c.Send(context.Background(), chunk); err != nil {
		d.t.Error(err)
		return
	}
	<-acked
}

// TestTenDeathsUnderLoadLoseAndDoubleNothing lets the process die ten times each
// by a kill and by a power cut, mostly within a write or a sync.
func TestTenDeathsUnderLoadLoseAndDoubleNothing(t *testing.T) {
	s := newStation(t)
	s.cfg.DrainTimeout = time.Second
	s.cfg.PartialTimeout, s.cfg.PartialMaxAge = time.Minute, time.Hour
	s.unix, s.ack = true, spool.AckSynced
	disk := powercut.New()
	s.disk = disk
	s.start()
	d := &dockers{t: t, addr: "unix://" + s.socket()}
	d.start(4)
	rnd := rand.New(rand.NewPCG(8, 8))
	for death := range 20 {
		before := d.acked.Load()
		s.await("acks", func() bool { return d.acked.Load() > before+40 })
		disk.DieAt(disk.Steps() + 1 + rnd.IntN(9))
		s.await("the end", func() bool {
			select {
			case <-disk.Died():
				return true
			default:
				return false
			}
		})
		_ = s.stop() // what its disk says now
		if death%2 == 0 {
			disk = disk.AfterPowerCut(rnd)
		} else {
			disk = disk.AfterKill()
		}
		s.disk = disk
		s.start()
	}
	d.stop.Store(true)
	d.wg.Wait()
	d.judge(s)
}

// judge waits until everything sent has arrived and looks whether it is all, once.
func (d *dockers) judge(s *station) {
	s.t.Helper()
	sent := 0
	d.sent.Range(func(any, any) bool { sent++; return true })
	s.await("all lines", func() bool { return len(s.out.lines()) >= sent })
	if err := s.stop(); err != nil {
		s.t.Fatal(err)
	}
	lines := s.out.lines()
	d.sent.Range(func(line, _ any) bool {
		if n := lines[line.(string)]; n != 1 {
			s.t.Errorf("%q %d times", line, n)
		}
		return true
	})
	if len(lines) != sent {
		s.t.Errorf("%d lines sent, %d different ones arrived", sent, len(lines))
	}
	s.t.Logf("%d lines in %d acked pieces", sent, d.acked.Load())
}

func TestAFullDiskHoldsTheContainersUntilThereIsRoom(t *testing.T) {
	s := newStation(t)
	s.cfg.PartialTimeout = 2 * time.Second // a busy machine keeps a client from its next piece
	s.unix, s.ack = true, spool.AckSynced
	disk := powercut.New()
	s.disk = disk
	s.start()
	d := &dockers{t: t, addr: "unix://" + s.socket()}
	d.start(4)
	s.await("acks", func() bool { return d.acked.Load() > 40 })
	var refused atomic.Int64
	disk.Fail(func(op, name string) error {
		if op == "write" && strings.Contains(name, ".seg") || op == "create" {
			refused.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	s.await("refusals", func() bool { return refused.Load() > 1 })
	held := d.acked.Load()
	<-time.After(50 * time.Millisecond)
	if now := d.acked.Load(); now != held {
		t.Errorf("%d acks on a full disk", now-held)
	}
	disk.Fail(nil)
	s.await("acks again", func() bool { return d.acked.Load() > held+40 })
	d.stop.Store(true)
	d.wg.Wait()
	d.judge(s)
}

func TestADiskThatCannotBeReadForAWhileStopsNothing(t *testing.T) {
	s := newStation(t)
	disk := powercut.New()
	s.disk = disk
	disk.FailReads(func(name string, off int64) error {
		if strings.HasSuffix(name, ".seg.tmp") && off > 0 { // its name when it was made
			return syscall.EIO
		}
		return nil
	})
	c := dial(t, s.start())
	for i := range 10 {
		post(t, c, map[string]string{"container_id": "c", "log": strconv.Itoa(i)})
	}
	if n := len(s.out.lines()); n > 0 {
		t.Fatalf("%d lines from an unreadable disk", n)
	}
	disk.FailReads(nil)
	s.await("all lines", func() bool { return len(s.out.lines()) == 10 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAFullSpoolDropsIsCountedAndTheRestArrives(t *testing.T) {
	s := newStation(t)
	s.cfg.PartialTimeout, s.cfg.PartialMaxAge = time.Minute, time.Hour
	s.cfg.LaneBytes = 64 << 10
	s.maxRequest = 1 << 20
	s.tune = func(cfg *spool.Config) {
		cfg.PendingBytes = 2 << 20
		cfg.OnFull, cfg.SegmentBytes, cfg.MaxBytes = spool.OnFullDropOldest, 64<<10, 2*(64<<10)+2*cfg.PendingBytes
	}
	s.out.block = make(chan struct{})
	c := dial(t, s.start())
	// A line whose beginning is read and whose end lies behind what is dropped.
	post(t, c, pieceOf("cut", 1, false, "begin "))
	const sent = 120
	filler := strings.Repeat("f", 100<<10)
	for i := range sent {
		post(t, c, map[string]string{"container_id": "c" + strconv.Itoa(i%3), "log": fmt.Sprintf("%04d %s", i, filler)})
	}
	post(t, c, pieceOf("cut", 2, true, "end"))
	post(t, c, map[string]string{"container_id": "c0", "log": "last"})
	close(s.out.block)
	s.await("the last line", func() bool { return s.out.lines()["last"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	dropped, lost := s.metric("tributary_spool_dropped_entries_total"), s.metric("tributary_forwarder_lost_pieces_total")
	if dropped < 50 || lost != 1 {
		t.Errorf("%v dropped, %v pieces lost", dropped, lost)
	}
	lines := s.out.lines()
	if want := sent + 2 - int(dropped); len(lines) != want {
		t.Errorf("%d lines arrived, want %d", len(lines), want)
	}
	for _, e := range s.out.events {
		if incomplete := e.Flags&schema.FlagIncomplete != 0; incomplete != (string(e.Line) == "end") {
			t.Errorf("%.20q incomplete: %v", e.Line, incomplete)
		}
	}
	// The order of each container.
	before := map[string]string{}
	for _, e := range s.out.events {
		if id := e.Origin.ContainerID; bytes.HasSuffix(e.Line, []byte("f")) {
			if string(e.Line[:4]) <= before[id] {
				t.Errorf("%s of %s comes behind %s", e.Line[:4], id, before[id])
			}
			before[id] = string(e.Line[:4])
		}
	}
	// Nothing of it comes again.
	n := len(lines)
	s.start()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if len(s.out.lines()) != n {
		t.Errorf("%d lines after a restart, %d before", len(s.out.lines()), n)
	}
}

// drainer is a forwarder over the station's spool that only drains.
func (s *station) drainer(out *shelf) *Forwarder {
	s.t.Helper()
	sp := spool.DefaultConfig()
	sp.Dir = s.dir
	f, err := New(s.cfg, fluent.DefaultConfig(), sp, s.rules(), out, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func TestADrainPublishesWhatADeadInstanceLeft(t *testing.T) {
	s := newStation(t)
	s.cfg.DrainTimeout = time.Second
	c := dial(t, s.start())
	for i := range 300 {
		post(t, c, map[string]string{"container_id": "c" + strconv.Itoa(i%7), "log": "line " + strconv.Itoa(i)})
	}
	s.await("some lines", func() bool { return len(s.out.lines()) > 0 })
	s.out.mu.Lock() // nothing more is published, and the cursor stays behind
	for i := range 300 {
		post(t, c, map[string]string{"container_id": "c" + strconv.Itoa(i%7), "log": "line " + strconv.Itoa(300+i)})
	}
	post(t, c, pieceOf("p", 1, false, "never finished"))
	s.out.mu.Unlock()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	// Cut off at once, then gone on with.
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.drainer(s.out).Drain(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("a drain that was cut off: %v", err)
	}
	for range 2 { // the second finds nothing
		if err := s.drainer(s.out).Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lines := s.out.lines()
	if len(lines) != 601 || lines["never finished"] != 1 {
		t.Errorf("%d lines", len(lines))
	}
	for line, n := range lines {
		if n != 1 {
			t.Errorf("%q %d times", line, n)
		}
	}
	for lane, keys := range s.out.keys {
		if len(keys) != 1 {
			t.Errorf("lane %s used %d partition keys", lane, len(keys))
		}
	}
}
