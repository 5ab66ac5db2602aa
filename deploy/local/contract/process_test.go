package contract_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// startPatience is how long a server may take until it accepts connections; node reads 9 MB of script.
const startPatience = 30 * time.Second

// A command is a server's program. It runs in a directory that goes with the test, with env and little else in its environment.
type command struct {
	name string
	args []string
	env  []string
}

// startProcess runs a server until t ends and gives the first of its two ports, when that accepts connections. The server's output is
// shown when t has failed. Ports are free when they are chosen but not held until the server takes them, so it tries again.
func startProcess(t *testing.T, make func(ports []int) command) int {
	t.Helper()
	var last error
	for range 3 {
		ports := freePorts(t, 2)
		var err error
		if err = start(t, make(ports), ports[0]); err == nil {
			return ports[0]
		}
		last = err
	}
	t.Fatalf("start server: %v", last)
	return 0
}

func start(t *testing.T, c command, port int) error {
	cmd := exec.Command(c.name, c.args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, c.env...)
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // killed at the end, so it always fails
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
		if t.Failed() {
			t.Logf("output of %s:\n%s", c.name, out)
		}
	})
	deadline := time.After(startPatience)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("%s ended: %s", c.name, out)
		case <-deadline:
			return fmt.Errorf("%s does not accept connections after %s: %w", c.name, startPatience, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // not before all are chosen, or one might be chosen twice
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// output keeps the end of what a process wrote.
type output struct {
	mu  sync.Mutex
	buf []byte
}

const maxOutput = 64 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, p...)
	if over := len(o.buf) - maxOutput; over > 0 {
		o.buf = append(o.buf[:0], o.buf[over:]...)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.buf))
}
