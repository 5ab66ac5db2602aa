package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// away is how long the forwarder is gone.
const away = 10 * time.Second

// profiles are the ways to run the driver, each with what it promises when the
// forwarder is killed and when it is stopped.
var profiles = []struct {
	name string
	opts []string
	kept bool // every line, whatever happens to the forwarder
}{
	{"waiting", []string{subSecond}, false},
	{"waiting, acks", []string{subSecond, "fluentd-request-ack=true"}, true},
	{"async", []string{subSecond, "fluentd-async=true"}, false},
	{"async, acks", []string{subSecond, "fluentd-async=true", "fluentd-request-ack=true"}, true},
	{"32 MB ring, acks", []string{subSecond, "mode=non-blocking", "max-buffer-size=32m", "fluentd-request-ack=true"}, true},
	{"never block", []string{subSecond, "mode=non-blocking", "max-buffer-size=32m", "fluentd-async=true"}, false},
}

// TestTheForwarderIsAwayWhileContainersPrint prints 100 lines a second throughout.
func TestTheForwarderIsAwayWhileContainersPrint(t *testing.T) {
	w := need(t)
	for name, leave := range map[string]func(*forwarder) error{
		"killed":  func(f *forwarder) error { f.Kill(); return nil },
		"stopped": func(f *forwarder) error { return f.Interrupt(30 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := w.startForwarder(t)
			dir := t.TempDir()
			var all []container
			for i, p := range profiles {
				c := container{name: fmt.Sprintf("c%d-%s", i, f.name), stdout: lines(0, 1500), pause: 100 * time.Millisecond, stay: 20 * time.Second, opts: p.opts}
				if err := w.run(t.Context(), dir, f.Forward, c); err != nil {
					t.Fatal(err)
				}
				all = append(all, c)
			}
			waitFor(t, "lines to arrive", 30*time.Second, func() bool {
				m, err := f.Metrics()
				return err == nil && m.Sum("tributary_forwarder_lines_total") > 500
			})
			if err := leave(f); err != nil {
				t.Fatal(err)
			}
			pause(away)
			if err := f.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, c := range all {
				w.wait(t, c.name, time.Minute)
			}
			w.settle(t, f)
			for i, c := range all {
				m := judge(t, w.lake.of(c.name), c, nil)
				m.what = fmt.Sprintf("forwarder %s for %v: %s", name, away, profiles[i].name)
				w.table.add(m)
				if profiles[i].kept {
					m.lossless(t)
				}
			}
		})
	}
}

// TestAContainerEndsWhileTheForwarderIsAway: by itself after some lines more, or by
// "docker stop". A driver that waits holds the container until the forwarder is back.
func TestAContainerEndsWhileTheForwarderIsAway(t *testing.T) {
	w := need(t)
	for how, stop := range map[string]bool{"ends": false, "is stopped": true} {
		for _, p := range profiles {
			if p.name == "32 MB ring, acks" {
				continue // has two writers at its end: TestAcksWhileBothStreamsAreBusy, with a daemon of its own
			}
			t.Run(how+", "+p.name, func(t *testing.T) {
				t.Parallel()
				f := w.startForwarder(t)
				c := container{name: "c-" + f.name, stdout: lines(0, 300), pause: 100 * time.Millisecond, opts: p.opts}
				if err := w.run(t.Context(), t.TempDir(), f.Forward, c); err != nil {
					t.Fatal(err)
				}
				w.leave(t, f)
				begin := time.Now()
				if stop {
					w.stopContainer(t, c.name)
				}
				w.wait(t, c.name, time.Minute)
				took := time.Since(begin)
				waitFor(t, "the forwarder to be back", time.Minute, func() bool { return f.Running() && f.Ready() })
				w.settle(t, f)
				m := judge(t, w.lake.of(c.name), c, nil)
				m.what = fmt.Sprintf("forwarder away, container %s: %s", how, p.name)
				m.note = fmt.Sprintf("ended after %v", took.Round(time.Second))
				if stop {
					m.note += ", most of them never printed"
				}
				w.table.add(m)
			})
		}
	}
}

// leave kills the forwarder when lines have arrived, and brings it back later.
func (w *shared) leave(t *testing.T, f *forwarder) {
	t.Helper()
	waitFor(t, "lines to arrive", 30*time.Second, func() bool {
		m, err := f.Metrics()
		return err == nil && m.Sum("tributary_forwarder_lines_total") > 50
	})
	f.Kill()
	var back sync.WaitGroup
	back.Go(func() {
		pause(away)
		if err := f.Start(context.Background()); err != nil {
			t.Errorf("start the forwarder again: %v", err)
		}
	})
	t.Cleanup(back.Wait)
}

// TestAContainerStartsWhileTheForwarderIsAway: without async Docker refuses.
func TestAContainerStartsWhileTheForwarderIsAway(t *testing.T) {
	w := need(t)
	for _, p := range profiles {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			f := w.startForwarder(t)
			f.Kill()
			c := container{name: "c-" + f.name, stdout: lines(0, 20), stay: 15 * time.Second, opts: p.opts}
			err := w.run(t.Context(), t.TempDir(), f.Forward, c)
			if !slices.Contains(p.opts, "fluentd-async=true") {
				if err == nil || !strings.Contains(err.Error(), "connection refused") {
					t.Errorf("a container whose driver waits has started: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.wait(t, c.name, time.Minute)
			r := w.settle(t, f)
			m := judge(t, w.lake.of(c.name), c, &r)
			m.what = "container starts before the forwarder: " + p.name
			w.table.add(m)
			m.lossless(t)
		})
	}
}
