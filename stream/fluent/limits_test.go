package fluent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// from is a connection from elsewhere.
type from struct {
	net.Conn
	ip string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip), Port: 4711} }

// serveInMemory runs a server whose connections come out of a channel.
func serveInMemory(t *testing.T, cfg Config, store Store) (s *Server, come chan<- net.Conn, stop func()) {
	t.Helper()
	s, err := New(cfg, store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{come: make(chan net.Conn), end: make(chan struct{})}
	s.listeners = []listener{{Listener: p}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return s, p.come, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.MaxConnectionsPerAddress = 2
		s, come, stop := serveInMemory(t, cfg, &counting{})
		var open []net.Conn
		// dial reports whether the connection is served.
		dial := func(ip string) bool {
			ours, theirs := net.Pipe()
			come <- from{theirs, ip}
			synctest.Wait()
			if _, err := io.WriteString(ours, whole); err != nil {
				return false
			}
			open = append(open, ours)
			return true
		}
		for _, c := range []struct {
			ip   string
			want bool
		}{
			{"10.0.0.1", true}, {"10.0.0.1", true}, {"10.0.0.1", false}, {"::ffff:10.0.0.1", false}, {"10.0.0.2", true},
			{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::3", false}, {"2001:db8:0:1::1", true},
			{"127.0.0.1", true}, {"127.0.0.1", true}, {"127.0.0.1", true}, {"::1", true}, {"::1", true}, {"::1", true},
		} {
			if got := dial(c.ip); got != c.want {
				t.Errorf("a connection of %s is served: %v", c.ip, got)
			}
		}
		if n := value(t, s.metrics.refused[reasonPerAddress]); n != 3 {
			t.Errorf("%v counted", n)
		}
		open[0].Close()
		synctest.Wait()
		if !dial("10.0.0.1") || dial("10.0.0.1") {
			t.Error("the place of one that left is not one place")
		}
		for _, nc := range open {
			nc.Close()
		}
		synctest.Wait()
		if len(s.remotes) != 0 {
			t.Errorf("%d addresses remembered without connections", len(s.remotes))
		}
		stop()
	})
}

func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue() // one of them is there
}

func TestSilenceWithMemoryEndsWhenOthersWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{}
		cfg := small()
		cfg.MaxConnections = 2
		cfg.TotalBufferBytes = 2*cfg.ownBytes() + cfg.reserveBytes() // nothing to share
		s, come, stop := serveInMemory(t, cfg, store)
		dial := func() net.Conn {
			ours, theirs := net.Pipe()
			come <- theirs
			return ours
		}
		// Both requests outgrow a connection's own buffer; the first gets the reserve.
		head := "\x93\xa1t\x01\x81\xa3log\xda\x05\x00"
		half, rest := head+string(make([]byte, cfg.ReadBufferBytes-int64(len(head)))), string(make([]byte, 0x500-int(cfg.ReadBufferBytes)+len(head)))
		silent := dial()
		write(t, silent, half)
		time.Sleep(3 * cfg.StallTimeout) // nobody minds
		write(t, silent, rest[:1])
		slow := dial()
		write(t, slow, half)
		begin := time.Now()
		// A stall begins anew with each byte.
		time.Sleep(cfg.StallTimeout - time.Second)
		write(t, silent, rest[1:2])
		if d := closedAfter(t, silent); d != cfg.StallTimeout {
			t.Errorf("cut off after %s", d)
		}
		write(t, slow, rest)
		if d := time.Since(begin); store.events != 1 || d > 2*cfg.StallTimeout {
			t.Errorf("%d events after %s", store.events, d)
		}
		if n := value(t, s.metrics.refused[reasonStalled]); n != 1 {
			t.Errorf("%v counted", n)
		}
		slow.Close()
		stop()
	})
}
