package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Local is the binary's "local" command on ports and a directory of its own. It
// can be killed and started again.
type Local struct {
	t      testing.TB
	binary string
	dir    string
	flags  []string
	listen string // Forward
	aws    string // endpoints
	admin  string
	cmd    *exec.Cmd
	exited chan error
	output *tail
	used   *os.ProcessState // of the process interrupted last
}

// Build compiles the binary once per test process.
func Build(t testing.TB, flags ...string) string {
	t.Helper()
	buildOnce.Lock()
	defer buildOnce.Unlock()
	key := fmt.Sprint(flags)
	if built[key] == "" {
		dir, err := os.MkdirTemp("", "tributary-e2e-")
		if err != nil {
			t.Fatal(err)
		}
		bin := filepath.Join(dir, "tributary")
		cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", bin, "tributary/cmd/tributary")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		built[key] = bin
	}
	return built[key]
}

var (
	buildOnce sync.Mutex
	built     = make(map[string]string)
)

// removeBuilt is called when the package's tests are over.
func removeBuilt() {
	for _, bin := range built {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
}

// freeAddr finds a loopback port nobody uses.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// NewLocal prepares a process in a temporary directory; flags are added to the
// command line.
func NewLocal(t testing.TB, binary string, flags ...string) *Local {
	l := &Local{t: t, binary: binary, dir: t.TempDir(), flags: flags, listen: freeAddr(t), aws: freeAddr(t), admin: freeAddr(t)}
	t.Cleanup(func() {
		if t.Failed() && l.cmd != nil {
			t.Logf("its figures:\n%s", l.figures())
		}
		if l.cmd != nil {
			l.Kill()
		}
		if t.Failed() && l.output != nil {
			t.Logf("last output of the process:\n%s", l.output)
		}
	})
	return l
}

// Start starts the process and waits until it listens.
func (l *Local) Start() {
	l.t.Helper()
	args := append([]string{
		"local", "--dir", l.dir, "--log-format", "text",
		"--set", "forward.server.listen=tcp://" + l.listen,
		"--set", "local.listen=" + l.aws,
		"--set", "admin.listen=" + l.admin,
	}, l.flags...)
	l.cmd = exec.Command(l.binary, args...)
	if l.output == nil {
		l.output = &tail{}
	}
	l.cmd.Stdout, l.cmd.Stderr = l.output, l.output
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(l.cmd, l.exited)
	l.WaitFor("the forwarder to listen", 60*time.Second, func() bool {
		select {
		case err := <-l.exited:
			l.cmd = nil
			l.t.Fatalf("the process ended: %v\n%s", err, l.output)
		default:
		}
		c, err := net.Dial("tcp", l.listen)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// figures are the process's own metrics that are not zero.
func (l *Local) figures() string {
	resp, err := http.Get("http://" + l.admin + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "tributary_") && !strings.HasSuffix(line, " 0\n") && !strings.Contains(line, "_bucket{") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// Kill is kill -9.
func (l *Local) Kill() {
	_ = l.cmd.Process.Kill()
	<-l.exited
	l.cmd = nil
}

// Interrupt is Ctrl-C; it returns when the process has ended.
func (l *Local) Interrupt(within time.Duration) error {
	if err := l.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case err := <-l.exited:
		l.used = l.cmd.ProcessState
		l.cmd = nil
		return err
	case <-time.After(within):
		return errors.New("the process does not end")
	}
}

// Used tells what the process interrupted last had taken of the machine.
func (l *Local) Used() string {
	usage, ok := l.used.SysUsage().(*syscall.Rusage)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%.1f CPU seconds, %d MiB at its peak", (l.used.UserTime() + l.used.SystemTime()).Seconds(), usage.Maxrss>>10)
}

// LakeDir is where the lake's objects lie.
func (l *Local) LakeDir() string { return filepath.Join(l.dir, "s3", "tributary", "lake") }

// Faults replaces the endpoints' fault rules.
func (l *Local) Faults(rules ...map[string]any) {
	l.t.Helper()
	body, err := json.Marshal(rules)
	if err != nil {
		l.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, "http://"+l.aws+"/_local/faults", bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		l.t.Fatalf("set faults: %s %s", resp.Status, text)
	}
}

// FaultHits returns how often each rule has struck.
func (l *Local) FaultHits() (hits []int) {
	l.t.Helper()
	resp, err := http.Get("http://" + l.aws + "/_local/faults")
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	var status []struct{ Hits int }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		l.t.Fatal(err)
	}
	for _, s := range status {
		hits = append(hits, s.Hits)
	}
	return hits
}

// WaitFor polls until ok, or fails the test.
func (l *Local) WaitFor(what string, within time.Duration, ok func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited %v for %s", within, what)
		}
		<-tick.C
	}
}

// tail keeps the last output of a process.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 64<<10; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
