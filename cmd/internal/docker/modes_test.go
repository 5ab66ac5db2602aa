package docker

import (
	"testing"
	"time"
)

// subSecond is wished in every mode: without it all lines of a second have one time.
const subSecond = "fluentd-sub-second-precision=true"

// printAndJudge runs one container to its end.
func (w *shared) printAndJudge(t *testing.T, what string, unix bool, c container) measured {
	t.Helper()
	f := w.startForwarder(t)
	addr := f.Forward
	if unix {
		addr = "unix://" + f.unix
	}
	c.name = "c-" + f.name
	if err := w.run(t.Context(), t.TempDir(), addr, c); err != nil {
		t.Fatal(err)
	}
	w.wait(t, c.name, 2*time.Minute)
	r := w.settle(t, f)
	m := judge(t, w.lake.of(c.name), c, &r)
	m.what = what
	w.table.add(m)
	return m
}

func TestModesThatLoseNothing(t *testing.T) {
	w := need(t)
	const ack, async = "fluentd-request-ack=true", "fluentd-async=true"
	for name, test := range map[string]struct {
		unix bool
		c    container
	}{
		"tcp, waiting":                             {c: container{stdout: lines(0, 2000), opts: []string{subSecond}}},
		"unix socket, waiting":                     {unix: true, c: container{stdout: lines(0, 2000), opts: []string{subSecond}}},
		"tcp, stdout and stderr busy":              {c: container{stdout: lines(0, 1000), stderr: lines(1000, 1000), opts: []string{subSecond}}},
		"tcp, acks, one stream busy":               {c: container{stdout: lines(0, 500), opts: []string{subSecond, ack}}},
		"unix socket, acks, one stream busy":       {unix: true, c: container{stdout: lines(0, 500), opts: []string{subSecond, ack}}},
		"tcp, acks, both streams made one (2>&1)":  {c: container{stdout: lines(0, 250), stderr: lines(1000, 250), merge: true, opts: []string{subSecond, ack}}},
		"tcp, async, container stays a while":      {c: container{stdout: lines(0, 2000), stay: 6 * time.Second, opts: []string{subSecond, async}}},
		"tcp, non-blocking, below what Docker can": {c: container{stdout: lines(0, 500), pause: 50 * time.Millisecond, stay: time.Second, opts: []string{subSecond, "mode=non-blocking"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.printAndJudge(t, name, test.unix, test.c).lossless(t)
		})
	}
}

// TestModesThatDrop measures. The container prints as fast as it can and ends; each
// test runs alone, so that the machine is the only thing that is slow.
func TestModesThatDrop(t *testing.T) {
	w := need(t)
	for _, test := range []struct {
		name string
		opts []string
	}{
		{"full speed, 1 MB ring", []string{"mode=non-blocking"}},
		{"full speed, 32 MB ring", []string{"mode=non-blocking", "max-buffer-size=32m"}},
		{"full speed, async", []string{"fluentd-async=true"}},
		{"full speed, async, 1000 messages", []string{"fluentd-async=true", "fluentd-buffer-limit=1000"}},
		{"full speed, never block", []string{"mode=non-blocking", "max-buffer-size=32m", "fluentd-async=true"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := w.printAndJudge(t, test.name, false, container{stdout: lines(0, 5000), opts: append([]string{subSecond}, test.opts...)})
			if m.rows == 0 {
				t.Error("no line has arrived")
			}
		})
	}
}
