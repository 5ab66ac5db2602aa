package docker

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// container is what to print and through which driver options.
type container struct {
	name   string
	stdout []string
	stderr []string
	tail   string        // printed to stdout at the end, without a newline
	pause  time.Duration // between ten lines and the next ten
	stay   time.Duration // lives on after the last line
	opts   []string      // "fluentd-async=true"
	merge  bool          // "2>&1": both streams are stdout, and lines alternate
}

// printed are all its lines.
func (c container) printed() []string {
	all := append(append([]string{}, c.stdout...), c.stderr...)
	if c.tail != "" {
		all = append(all, c.tail)
	}
	return all
}

// script prints the files of both streams at once.
func (c container) script() string {
	out := "cd /lines; "
	if c.merge {
		out += "exec 2>&1; for f in out/*; do cat $f; cat err/${f#out/} >&2; done"
		return out
	}
	each := "cat %s/*"
	if c.pause > 0 {
		each = fmt.Sprintf("for f in %%s/*; do [ -f $f ] && cat $f; usleep %d; done", c.pause.Microseconds())
	}
	if len(c.stderr) > 0 {
		out += "(" + fmt.Sprintf(each, "err") + ") >&2 & "
	}
	return out + fmt.Sprintf(each, "out") + fmt.Sprintf("; wait; sleep %g", c.stay.Seconds())
}

// run starts the container, and returns when Docker says that it has started.
func (d *daemon) run(ctx context.Context, dir string, addr string, c container) error {
	for name, all := range map[string][]string{"out": c.stdout, "err": c.stderr} {
		tail := ""
		if name == "out" {
			tail = c.tail
		}
		if err := writeScript(filepath.Join(dir, c.name, name), all, tail); err != nil {
			return err
		}
	}
	args := []string{"run", "--detach", "--name", c.name, "--network=host", "--volume", filepath.Join(dir, c.name) + ":/lines:ro",
		"--log-driver=fluentd", "--log-opt", "fluentd-address=" + addr}
	for _, o := range c.opts {
		args = append(args, "--log-opt", o)
	}
	_, err := d.docker(ctx, append(args, image, "/bin/sh", "-c", c.script())...)
	return err
}

// wait returns when the container has ended; Docker has closed its log by then.
func (d *daemon) wait(t *testing.T, name string, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if _, err := d.docker(ctx, "wait", name); err != nil {
		t.Fatalf("wait for %s: %v", name, err)
	}
}

// stopContainer begins "docker stop". The shell does not heed SIGTERM: after one
// second it is SIGKILL.
func (d *daemon) stopContainer(t *testing.T, name string) {
	t.Helper()
	var stopping sync.WaitGroup
	// How long that takes is seen from the container's end.
	stopping.Go(func() { _, _ = d.docker(t.Context(), "stop", "--time", "1", name) })
	t.Cleanup(stopping.Wait)
}

// options says the driver's options in a few words, for the table.
func options(opts []string) string {
	if len(opts) == 0 {
		return "default"
	}
	var out []string
	for _, o := range opts {
		o = strings.TrimPrefix(o, "fluentd-")
		if o != "sub-second-precision=true" {
			out = append(out, strings.TrimSuffix(o, "=true"))
		}
	}
	return strings.Join(out, " ")
}
