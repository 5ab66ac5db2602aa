package fluent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// These tests reach behind Listen, because sockets know no synthetic time.

// pipes is a listener whose connections live in memory.
type pipes struct {
	come chan net.Conn
	end  chan struct{}

	fail  int // so many Accepts fail first
	tries int
}

func (p *pipes) Accept() (net.Conn, error) {
	p.tries++
	if p.tries <= p.fail {
		return nil, syscall.EMFILE
	}
	select {
	case nc := <-p.come:
		return nc, nil
	case <-p.end:
		return nil, os.ErrDeadlineExceeded
	}
}

// SetDeadline is asked for once, at the stop: nothing waits here as in a kernel.
func (p *pipes) SetDeadline(time.Time) error { close(p.end); return nil }

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// counting is a Store that counts.
type counting struct {
	delay time.Duration

	mu             sync.Mutex
	events, closed int
}

func (c *counting) Store(_ context.Context, _ uint64, reqs []Request) error {
	time.Sleep(c.delay)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range reqs {
		c.events += len(r.Events)
	}
	return nil
}

func (c *counting) Closed(uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
}

// withPipe runs a server with one connection in synthetic time.
func withPipe(t *testing.T, set func(*Config), test func(t *testing.T, client net.Conn, store *counting, s *Server)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		set(&cfg)
		store := &counting{}
		s, err := New(cfg, store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p := &pipes{come: make(chan net.Conn), end: make(chan struct{})}
		s.listeners = []listener{{Listener: p}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		client, server := net.Pipe()
		p.come <- server
		test(t, client, store, s)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if store.closed != 1 {
			t.Errorf("Closed called %d times", store.closed)
		}
	})
}

// whole is a request without an ack, acked one with.
const (
	whole = "\x93\xa1t\x01\x81\xa3log\xa1x"
	acked = "\x94\xa1t\x01\x81\xa3log\xa1x\x81\xa5chunk\xa1c"
)

// closedAfter reads until the server closes and returns how long that took.
func closedAfter(t *testing.T, client net.Conn) time.Duration {
	t.Helper()
	begin := time.Now()
	if _, err := io.ReadAll(client); err != nil {
		t.Errorf("read: %v", err)
	}
	return time.Since(begin)
}

func write(t *testing.T, client net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(client, s); err != nil {
		t.Fatalf("write: %v", err)
	}
	synctest.Wait()
}

func TestAHalfRequestIsCutOffAfterTheRequestTimeout(t *testing.T) {
	withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		write(t, client, whole+whole[:5])
		if d := closedAfter(t, client); d != s.cfg.RequestTimeout {
			t.Errorf("closed after %s", d)
		}
		if store.events != 1 {
			t.Errorf("%d events", store.events)
		}
	})
}

func TestASlowClientCannotStretchTheRequestTimeout(t *testing.T) {
	withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		var trickling sync.WaitGroup
		defer trickling.Wait()
		trickling.Go(func() {
			for i := range len(whole) {
				if _, err := io.WriteString(client, whole[i:i+1]); err != nil {
					return
				}
				time.Sleep(50 * time.Second)
			}
		})
		if d := closedAfter(t, client); d != s.cfg.RequestTimeout {
			t.Errorf("cut off after %s", d)
		}
	})
}

func TestEachRequestHasItsOwnTime(t *testing.T) {
	withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		// Never at a request's border, for longer than the timeout of one.
		write(t, client, whole[:5])
		for range 5 {
			time.Sleep(s.cfg.RequestTimeout - time.Second)
			write(t, client, whole[5:]+whole[:5])
		}
		time.Sleep(s.cfg.RequestTimeout - time.Second)
		write(t, client, whole[5:])
		if store.events != 6 {
			t.Errorf("%d events", store.events)
		}
		client.Close()
		synctest.Wait()
	})
}

func TestASilentContainerIsNotClosed(t *testing.T) {
	withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		write(t, client, whole[:5])
		write(t, client, whole[5:]) // a deadline was set and must be gone
		time.Sleep(48 * time.Hour)
		write(t, client, whole)
		if store.events != 2 {
			t.Errorf("%d events", store.events)
		}
		client.Close()
		synctest.Wait()
	})
}

func TestIdleConnectionsAreClosedWhenAsked(t *testing.T) {
	withPipe(t, func(c *Config) { c.IdleTimeout = time.Minute }, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		time.Sleep(50 * time.Second)
		write(t, client, whole)
		if d := closedAfter(t, client); d != time.Minute {
			t.Errorf("closed after %s", d)
		}
	})
}

func TestTimeInStoreIsNotTheClients(t *testing.T) {
	withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		store.delay = time.Hour
		write(t, client, whole+whole[:5])
		write(t, client, whole[5:]) // waits until Store has returned
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if store.events != 2 {
			t.Errorf("%d events", store.events)
		}
		client.Close()
		synctest.Wait()
	})
}

func TestAClientThatDoesNotReadItsAcksIsCutOff(t *testing.T) {
	withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, store *counting, s *Server) {
		begin := time.Now()
		write(t, client, acked)
		if _, err := io.WriteString(client, acked); err == nil {
			t.Error("the second request was read before the first was acked")
		}
		if d := time.Since(begin); d != s.cfg.WriteTimeout {
			t.Errorf("cut off after %s", d)
		}
		if store.events != 1 {
			t.Errorf("%d events", store.events)
		}
	})
}

// Docker's two writers share a connection, and each takes all that it reads for its
// own ack: the first reader would swallow both, the second wait for ever.
func TestTwoWritersOfOneConnectionGetTheirAcksOneByOne(t *testing.T) {
	const ack = "\x81\xa3ack\xa1c"
	for name, c := range map[string]struct {
		requests int
		reads    []string
	}{
		"one writer":      {1, []string{ack}},
		"two writers":     {2, []string{ack, ack}},
		"one that queues": {3, []string{ack + ack + ack}},
	} {
		t.Run(name, func(t *testing.T) {
			withPipe(t, func(*Config) {}, func(t *testing.T, client net.Conn, _ *counting, _ *Server) {
				write(t, client, strings.Repeat(acked, c.requests))
				var last time.Time
				for i, want := range c.reads {
					b := make([]byte, 1024)
					n, err := client.Read(b)
					if err != nil || string(b[:n]) != want {
						t.Fatalf("read %q, %v, want %q", b[:n], err, want)
					}
					if i > 0 && time.Since(last) < ackGap {
						t.Errorf("%s after the first", time.Since(last))
					}
					last = time.Now()
				}
			})
		})
	}
}

func TestTheRestOfARequestMayComeDuringTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{}
		s, err := New(DefaultConfig(), store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p := &pipes{come: make(chan net.Conn), end: make(chan struct{})}
		s.listeners = []listener{{Listener: p}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		client, server := net.Pipe()
		p.come <- server
		write(t, client, whole[:5])
		cancel()
		time.Sleep(s.cfg.Drain/2 - time.Second)
		write(t, client, whole[5:])
		begin := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != drainQuiet {
			t.Errorf("stopped %s after the last request", d)
		}
		if store.events != 1 {
			t.Errorf("%d events", store.events)
		}
	})
}

func TestTheServerOutlivesALackOfFileDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{}
		s, err := New(DefaultConfig(), store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p := &pipes{come: make(chan net.Conn), end: make(chan struct{}), fail: 20}
		s.listeners = []listener{{Listener: p}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		begin := time.Now()
		go func() { done <- s.Run(ctx) }()
		client, server := net.Pipe()
		p.come <- server
		// 5 ms, doubled seven times, then 12 times a second.
		if d := time.Since(begin); d < 12*time.Second || d > 20*time.Second {
			t.Errorf("accepts again after %s", d)
		}
		write(t, client, whole)
		client.Close()
		cancel()
		if err := <-done; err != nil || store.events != 1 {
			t.Errorf("%d events, Run: %v", store.events, err)
		}
	})
}

func TestWaitingForMemoryEndsWithTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{}
		cfg := small()
		cfg.MaxConnections = 2
		cfg.TotalBufferBytes = 2*cfg.ownBytes() + cfg.reserveBytes() // nothing to share
		s, err := New(cfg, store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p := &pipes{come: make(chan net.Conn), end: make(chan struct{})}
		s.listeners = []listener{{Listener: p}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		// Both requests outgrow a connection's own buffer; the first gets the reserve.
		half := "\x92\xa1t\xc5\xf0\x00" + string(make([]byte, cfg.ReadBufferBytes-6))
		for range 2 {
			client, server := net.Pipe()
			p.come <- server
			write(t, client, half)
		}
		if held := s.budget.lent; !held {
			t.Error("nobody holds the reserve")
		}
		cancel()
		begin := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d > cfg.Drain {
			t.Errorf("stopped after %s", d)
		}
		if store.closed != 2 || s.budget.lent {
			t.Errorf("%d closed, reserve lent: %v", store.closed, s.budget.lent)
		}
	})
}
