package fluent_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/stream/fluent"
)

func TestClientAndServerUnderstandEachOther(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			cfg := config()
			if network == "unix" {
				cfg.Listen = []string{"unix://" + filepath.Join(t.TempDir(), "s")}
			}
			r := start(t, cfg)
			cc := clientConfig()
			cc.Address = network + "://" + r.Addrs()[0].String()
			s := run(t, cc, &net.Dialer{})
			long := strings.Repeat("x", 70_000)
			at := time.Date(2026, 11, 22, 17, 0, 1, 234567890, time.UTC).UnixNano()
			var fields []fluent.Field
			for i := range 20 { // beyond a fixmap; names and values of every width of head
				n := []int{0, 31, 32, 255, 256, 65535, 65536}[i%7]
				fields = append(fields, fluent.Field{Name: fmt.Sprintf("%02d%s", i, long[:n/2]), Value: []byte(long[:n])})
			}
			entries := fluent.AppendEntry(nil, at, fields...)
			entries = fluent.AppendEntry(entries, at+1, fluent.Field{Name: "log", Value: []byte("a\xff\x00\r")})
			acks := make(chan struct{}, 1)
			if err := s.Send(context.Background(), fluent.Chunk{Tag: "t", Entries: entries, Events: 2, Acked: func() { acks <- struct{}{} }}); err != nil {
				t.Fatal(err)
			}
			<-acks
			events := r.store.wait(t, 2)
			if e := events[0]; e.time != at || e.tag != "t" || len(e.chunk) != 24 {
				t.Fatalf("%+v", e)
			}
			for _, f := range fields {
				if got := events[0].field(f.Name); got != string(f.Value) {
					t.Fatalf("field %.4s has %d bytes, want %d", f.Name, len(got), len(f.Value))
				}
			}
			if e := events[1]; e.time != at+1 || e.field("log") != "a\xff\x00\r" {
				t.Fatalf("%+v", e)
			}
			s.finish()
		})
	}
}

// cutter dials connections that break after some bytes in either direction.
type cutter struct {
	mu   sync.Mutex
	rng  *rand.Rand
	cuts int
}

func (c *cutter) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts++
	return &cut{Conn: nc, writes: c.rng.IntN(40_000), reads: c.rng.IntN(600)}, nil
}

type cut struct {
	net.Conn
	writes, reads int
}

func (c *cut) Write(b []byte) (int, error) {
	if len(b) > c.writes {
		n, _ := c.Conn.Write(b[:c.writes])
		c.Close()
		return n, io.ErrClosedPipe
	}
	c.writes -= len(b)
	return c.Conn.Write(b)
}

func (c *cut) Read(b []byte) (int, error) {
	if c.reads == 0 {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.reads)])
	c.reads -= n
	return n, err
}

func TestEachEntryArrivesOnceAndInOrderOverConnectionsThatBreak(t *testing.T) {
	r := start(t, config())
	cc := clientConfig()
	cc.Address = "tcp://" + r.Addrs()[0].String()
	cc.RetryWait, cc.MaxRetryWait = time.Millisecond, time.Millisecond
	cc.MaxChunkBytes, cc.MaxPendingBytes = 4<<10, 32<<10
	d := &cutter{rng: rand.New(rand.NewPCG(7, 7))}
	s := run(t, cc, d)
	const chunks, each = 300, 5
	for i := range chunks {
		var entries []byte
		for j := range each {
			entries = fluent.AppendEntry(entries, 1, fluent.Field{Name: "log", Value: fmt.Appendf(nil, "%d %s", i*each+j, strings.Repeat("x", 300))})
		}
		if err := s.Send(context.Background(), fluent.Chunk{Tag: "t", Entries: entries, Events: each}); err != nil {
			t.Fatal(err)
		}
	}
	s.finish()
	r.store.waitClosed(t, d.cuts)
	// What the server's side does with ids it knows (see the spool), done here.
	known, next, copies := map[string]bool{}, 0, 0
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for i := 0; i < len(r.store.events); i += each {
		if known[r.store.events[i].chunk] {
			copies++
			continue
		}
		known[r.store.events[i].chunk] = true
		for _, e := range r.store.events[i : i+each] {
			if got, want := e.field("log"), fmt.Sprintf("%d x", next); !strings.HasPrefix(got, want) {
				t.Fatalf("%.10q where %q is due", got, want)
			}
			next++
		}
	}
	if next != chunks*each || copies == 0 || d.cuts < 5 {
		t.Fatalf("%d of %d entries, %d copies over %d connections", next, chunks*each, copies, d.cuts)
	}
}

func FuzzClientTakesAnyAnswer(f *testing.F) {
	f.Add([]byte("\x81\xa3ack\xb8AAAAAAAAAAAAAAAAAAAAAA=="))
	f.Add([]byte("\x82\xa1a\x01\xa3ack\xd9\x04abcd\xc0"))
	f.Add([]byte("\x92\xa4HELO\x80"))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			s := run(t, clientConfig(), w)
			s.send("a")
			p := w.accept(t)
			first := p.read()
			_, _ = p.nc.Write(answer) // the client may hang up meanwhile
			p.nc.Close()
			p = w.accept(t)
			again := p.read()
			if first.id != again.id {
				t.Fatalf("id %s became %s", first.id, again.id)
			}
			p.ack(again.id)
			s.finish("a")
		})
	})
}
