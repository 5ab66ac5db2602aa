package docker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAcksWhileBothStreamsAreBusy measures what "fluentd-request-ack" does to a
// container that writes to stdout and stderr at once. Its two writers share one
// connection and take each other's acks; each closes the connection that the other
// has just opened, and with fluent-logger-golang v1.9.0 the reader in between finds
// none and the daemon panics. The daemon is the test's own, for that reason.
//
// Whatever it does: nothing is stored twice, and what was received is rows.
func TestAcksWhileBothStreamsAreBusy(t *testing.T) {
	w := need(t)
	const ack = "fluentd-request-ack=true"
	for name, test := range map[string]struct {
		opts []string
		stay time.Duration
		kept bool // one writer behind a queue: every line
	}{
		"waiting":                             {opts: []string{subSecond, ack}},
		"async, container stays a while":      {opts: []string{subSecond, ack, "fluentd-async=true"}, stay: 10 * time.Second, kept: true},
		"32 MB ring, container stays a while": {opts: []string{subSecond, ack, "mode=non-blocking", "max-buffer-size=32m"}, stay: 10 * time.Second, kept: true},
		"32 MB ring, container ends at once":  {opts: []string{subSecond, ack, "mode=non-blocking", "max-buffer-size=32m"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := container{stdout: lines(0, 1000), stderr: lines(1000, 1000), stay: test.stay, opts: test.opts}
			m := w.printToOwnDaemon(t, "acks, both streams busy: "+name, c, nil)
			if test.kept {
				m.lossless(t)
			}
		})
	}
	for how, stop := range map[string]bool{"ends": false, "is stopped": true} {
		name := "32 MB ring, container " + how + " while the forwarder is away"
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := container{stdout: lines(0, 200), stderr: lines(1000, 200), pause: 100 * time.Millisecond, opts: []string{subSecond, ack, "mode=non-blocking", "max-buffer-size=32m"}}
			m := w.printToOwnDaemon(t, "acks, both streams busy: "+name, c, func(d *daemon, f *forwarder) {
				w.leave(t, f)
				if stop {
					d.stopContainer(t, "c-"+f.name)
				}
			})
			// Its two last writers may still take each other's acks, once in a great while.
			if !stop && !strings.Contains(m.note, "panicked") {
				m.lossless(t)
			}
		})
	}
}

// printToOwnDaemon is printAndJudge with a daemon that may die of it. What meanwhile
// does is done when the container has started.
func (w *shared) printToOwnDaemon(t *testing.T, what string, c container, meanwhile func(*daemon, *forwarder)) measured {
	t.Helper()
	d, err := newDaemon()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := w.startForwarder(t)
	c.name = "c-" + f.name
	if err := d.run(t.Context(), t.TempDir(), f.Forward, c); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if meanwhile != nil {
		meanwhile(d, f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	_, err = d.docker(ctx, "wait", c.name)
	took := time.Since(begin).Round(100 * time.Millisecond)
	waitFor(t, "the forwarder to be back", time.Minute, func() bool { return f.Running() && f.Ready() })
	m, scrape := f.Metrics()
	if scrape != nil {
		t.Fatal(scrape)
	}
	// One is the test's own look whether the forwarder listens.
	note := fmt.Sprintf("%.0f connections in %v", m.Sum("tributary_fluent_connections_total")-1, took)
	switch {
	case d.panicked():
		note += ", then the daemon panicked"
	case err != nil:
		note += ", and no end"
		if meanwhile != nil {
			t.Error("the container does not end although the forwarder is back")
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	r := w.settle(t, f)
	counted := &r
	if meanwhile != nil {
		counted = nil
	}
	result := judge(t, w.lake.of(c.name), c, counted)
	result.what, result.note = what, note
	w.table.add(result)
	return result
}
