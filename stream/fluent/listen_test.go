package fluent_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/fluent"
)

func listen(t *testing.T, where ...string) (*fluent.Server, error) {
	t.Helper()
	cfg := config()
	cfg.Listen = where
	cfg.UDPHeartbeat = true
	s, err := fluent.New(cfg, newMemory(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Listen()
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func TestAPortThatIsTakenIsKnownFromListen(t *testing.T) {
	first, err := listen(t, "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := "tcp://" + first.Addrs()[0].String()
	socket := filepath.Join(t.TempDir(), "s")
	if _, err = listen(t, "unix://"+socket, taken); err == nil || !strings.Contains(err.Error(), "listen on "+taken) {
		t.Errorf("Listen: %v", err)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("after a failed Listen its other socket is still there")
	}
}

func TestUnixSockets(t *testing.T) {
	t.Run("what a killed process has left is replaced", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		if _, err := listen(t, "unix://"+path); err != nil {
			t.Error(err)
		}
	})
	t.Run("a living server's socket is left alone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if _, err := listen(t, "unix://"+path); err != nil {
			t.Fatal(err)
		}
		if _, err := listen(t, "unix://"+path); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("second Listen: %v", err)
		}
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("the first server is gone: %v", err)
		}
		nc.Close()
	})
	t.Run("a file that is no socket is left alone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := listen(t, "unix://"+path); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("Listen: %v", err)
		}
		if b, err := os.ReadFile(path); string(b) != "precious" {
			t.Errorf("the file is %q, %v", b, err)
		}
	})
}

func TestRunWithoutListenIsAnError(t *testing.T) {
	s, err := fluent.New(config(), newMemory(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil {
		t.Error("Run returned nil")
	}
}

func TestUDPHeartbeatIsAnswered(t *testing.T) {
	cfg := config()
	cfg.UDPHeartbeat = true
	r := start(t, cfg)
	nc, err := net.Dial("udp", r.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	for range 3 {
		if _, err := nc.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 16)
		if n, err := nc.Read(b); err != nil || n != 1 || b[0] != 0 {
			t.Fatalf("answered %d bytes %v, %v", n, b[:n], err)
		}
	}
	if n := r.metric("heartbeats_total", "udp"); n != 3 {
		t.Errorf("%v counted", n)
	}
}

func TestServerStops(t *testing.T) {
	t.Run("after storing what clients had sent", func(t *testing.T) {
		store := newMemory()
		store.gate = make(chan struct{}, 1)
		r := startWith(t, config(), store)
		nc := r.dial()
		const lines = 300
		var all []byte
		for i := range lines {
			all = append(all, message(uint64(i+1), "log", string(make([]byte, 200)))...)
		}
		if _, err := nc.Write(all); err != nil {
			t.Fatal(err)
		}
		// The first part is in Store, the rest in the kernel.
		stopped := make(chan error, 1)
		go func() { stopped <- r.stop() }()
		waitRefused(t, r.Addrs()[0])
		close(store.gate)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		r.store.wait(t, lines)
		if got, err := io.ReadAll(nc); err != nil || len(got) > 0 {
			t.Errorf("the client reads %q, %v", got, err)
		}
	})
	t.Run("within its bound though Store blocks", func(t *testing.T) {
		cfg := config()
		cfg.Drain = 300 * time.Millisecond
		store := newMemory()
		store.gate = make(chan struct{})
		r := startWith(t, cfg, store)
		nc := r.send(array(str("t"), seconds(1), record("log", "x"), chunk("x")))
		begin := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("stopped after %s", d)
		}
		if got, _ := io.ReadAll(nc); len(got) > 0 {
			t.Errorf("what was not stored is answered %q", got)
		}
		if len(store.closed) != 1 {
			t.Errorf("Closed called %d times", len(store.closed))
		}
	})
	t.Run("within its bound though a client goes on writing", func(t *testing.T) {
		cfg := config()
		cfg.Drain = 300 * time.Millisecond
		r := start(t, cfg)
		nc := r.dial()
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(nc, &repeat{frame: message(1, "log", "x")})
		}()
		r.store.until(t, "events", func() bool { return len(r.store.events) > 0 })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		<-done
	})
	t.Run("and a request that is half there is not stored", func(t *testing.T) {
		cfg := config()
		cfg.Drain = 200 * time.Millisecond
		r := start(t, cfg)
		r.send(join(message(1, "log", "whole"), message(2, "log", "half")[:12]))
		r.store.wait(t, 1)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if n := r.metric("refused_connections_total", "incomplete"); n != 1 {
			t.Errorf("%v counted as incomplete", n)
		}
		r.store.wait(t, 1)
	})
}

// waitRefused waits until nobody listens at a.
func waitRefused(t *testing.T, a net.Addr) {
	t.Helper()
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		nc, err := net.Dial(a.Network(), a.String())
		if err != nil {
			return
		}
		nc.Close()
	}
	t.Fatal("the listener stays open")
}
