package fluent_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	client "github.com/fluent/fluent-logger-golang/fluent"

	"net"
)

// dockerConfig is how Docker's driver configures the client.
func dockerConfig(t *testing.T, r *running) client.Config {
	t.Helper()
	c := client.Config{FluentNetwork: r.Addrs()[0].Network(), Timeout: patience, WriteTimeout: patience, ReadTimeout: patience}
	switch a := r.Addrs()[0].(type) {
	case *net.TCPAddr:
		c.FluentHost, c.FluentPort = a.IP.String(), a.Port
	case *net.UnixAddr:
		c.FluentSocketPath = a.Name
	}
	return c
}

func TestDockersClientIsUnderstood(t *testing.T) {
	at := time.Date(2026, 11, 22, 17, 0, 1, 234567890, time.UTC)
	for name, set := range map[string]func(*client.Config){
		"synchronous":          func(c *client.Config) {},
		"with acks":            func(c *client.Config) { c.RequestAck = true },
		"asynchronous":         func(c *client.Config) { c.Async = true },
		"with nanoseconds":     func(c *client.Config) { c.SubSecondPrecision = true },
		"acks and nanoseconds": func(c *client.Config) { c.RequestAck, c.SubSecondPrecision = true, true },
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+" over "+network, func(t *testing.T) {
				cfg := config()
				if network == "unix" {
					cfg.Listen = []string{"unix://" + filepath.Join(t.TempDir(), "s")}
				}
				r := start(t, cfg)
				conf := dockerConfig(t, r)
				set(&conf)
				f, err := client.New(conf)
				if err != nil {
					t.Fatal(err)
				}
				const lines = 500
				for i := range lines {
					if err := f.PostWithTime("docker.web", at, map[string]string{"log": fmt.Sprintf("line %d", i), "source": "stdout"}); err != nil {
						t.Fatal(err)
					}
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				want := at.Unix() * int64(time.Second)
				if conf.SubSecondPrecision {
					want = at.UnixNano()
				}
				for i, e := range r.store.wait(t, lines) {
					if e.field("log") != fmt.Sprintf("line %d", i) || e.field("source") != "stdout" || e.tag != "docker.web" || e.time != want {
						t.Fatalf("event %d is %+v", i, e)
					}
					if (e.chunk != "") != conf.RequestAck {
						t.Fatalf("event %d has chunk %q", i, e.chunk)
					}
				}
				r.store.waitClosed(t, 1)
			})
		}
	}
}

func TestTwoHundredContainersAtOnce(t *testing.T) {
	r := start(t, config())
	const containers, lines = 200, 20
	var wg sync.WaitGroup
	for i := range containers {
		wg.Go(func() {
			conf := dockerConfig(t, r)
			conf.RequestAck = true
			f, err := client.New(conf)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for n := range lines {
				if err := f.Post(fmt.Sprint(i), map[string]string{"log": fmt.Sprint(n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	conns := map[uint64]string{}
	for _, e := range r.store.wait(t, containers*lines) {
		if e.field("log") != fmt.Sprint(next[e.tag]) {
			t.Fatalf("container %s: line %s comes before line %d", e.tag, e.field("log"), next[e.tag])
		}
		next[e.tag]++
		if was, ok := conns[e.conn]; ok && was != e.tag {
			t.Fatalf("connection %d carries containers %s and %s", e.conn, was, e.tag)
		}
		conns[e.conn] = e.tag
	}
	r.store.waitClosed(t, containers)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := r.metric("acks_total"); got != containers*lines {
		t.Errorf("%v acks counted", got)
	}
	if open, held := r.metric("connections"), r.metric("buffer_bytes"); open != 0 || held != 0 {
		t.Errorf("after the end %v connections hold %v bytes", open, held)
	}
}
