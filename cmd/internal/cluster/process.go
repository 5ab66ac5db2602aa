package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A Process is one program under one command line. It has lives: Start begins one,
// Kill and Interrupt end it. Output, Usage and Running may be called from any
// goroutine; one goroutine at a time does the rest.
type Process struct {
	Name string // for messages
	Path string
	Args []string
	Env  []string // added to this process's own environment

	// Ready, when set, is polled after the start until it returns true.
	Ready func() bool

	output tail

	mu   sync.Mutex
	life *life // the latest; nil before the first
	past Usage // of the lives before it
}

// life is one run of the program.
type life struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when err and usage are final
	err    error
	usage  Usage
}

// startTimeout bounds how long a start may wait for Ready.
const startTimeout = 60 * time.Second

// Start begins a life and waits until it is ready. An end before that, or no
// readiness within a minute, is an error with the last output.
func (p *Process) Start(ctx context.Context) error {
	if p.Running() {
		return fmt.Errorf("start %s: it runs already", p.Name)
	}
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env = append(cmd.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	l := &life{cmd: cmd, exited: make(chan struct{})}
	p.mu.Lock()
	if p.life != nil {
		p.past = p.past.plus(p.life.usage)
	}
	p.life = l
	p.mu.Unlock()
	go l.watch()
	return p.waitReady(ctx, l)
}

func (p *Process) waitReady(ctx context.Context, l *life) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.Ready != nil && !p.Ready() {
		select {
		case <-l.exited:
			return fmt.Errorf("%s ended at its start: %w\n%s", p.Name, errors.Join(l.err, errEnded), p.Output())
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to be ready: %w\n%s", p.Name, ctx.Err(), p.Output())
		case <-tick.C:
		}
	}
	return nil
}

var errEnded = errors.New("the process has ended")

// watch notes what the process takes until it ends.
func (l *life) watch() {
	done := make(chan error, 1)
	go func() { done <- l.cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var peak int64
	for {
		select {
		case <-tick.C:
			peak = max(peak, peakRSS(l.cmd.Process.Pid))
		case err := <-done:
			s := l.cmd.ProcessState
			l.err = err
			l.usage = Usage{CPU: s.UserTime() + s.SystemTime(), PeakRSS: peak}
			close(l.exited)
			return
		}
	}
}

// latest returns the latest life, nil if there was none.
func (p *Process) latest() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// Running reports whether a life has begun and not ended.
func (p *Process) Running() bool {
	l := p.latest()
	if l == nil {
		return false
	}
	select {
	case <-l.exited:
		return false
	default:
		return true
	}
}

// Pid is that of the latest life, 0 before the first.
func (p *Process) Pid() int {
	l := p.latest()
	if l == nil {
		return 0
	}
	return l.cmd.Process.Pid
}

// Kill is kill -9. It returns when the process is gone; one that has ended already
// is no error.
func (p *Process) Kill() {
	l := p.latest()
	if l == nil {
		return
	}
	_ = l.cmd.Process.Kill()
	<-l.exited
}

// Interrupt is Ctrl-C. It returns when the process has ended, with its exit status
// as an error, or after within: the process then still runs.
func (p *Process) Interrupt(within time.Duration) error { return p.end(os.Interrupt, within) }

// Terminate is SIGTERM, what ECS and Kubernetes send first. It returns as Interrupt
// does.
func (p *Process) Terminate(within time.Duration) error { return p.end(syscall.SIGTERM, within) }

func (p *Process) end(s os.Signal, within time.Duration) error {
	if err := p.signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Wait(within)
}

// Wait returns when the process has ended by itself, with its exit status as an
// error, or after within.
func (p *Process) Wait(within time.Duration) error {
	l := p.latest()
	if l == nil {
		return fmt.Errorf("wait for %s: it was never started", p.Name)
	}
	select {
	case <-l.exited:
		if l.err != nil {
			return fmt.Errorf("%s: %w", p.Name, l.err)
		}
		return nil
	case <-time.After(within):
		return fmt.Errorf("%s has not ended after %v", p.Name, within)
	}
}

// Freeze is SIGSTOP: the process keeps its connections and does nothing. It returns
// when the process stands still: the signal reaches one thread first, and the others
// may answer a call after it was sent.
func (p *Process) Freeze() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pid := p.latest().cmd.Process.Pid
	for tries := 0; !stopped(pid); tries++ {
		if tries == 1000 || !p.Running() {
			return fmt.Errorf("freeze %s: it does not stop", p.Name)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Thaw is SIGCONT.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

// Hangup is SIGHUP.
func (p *Process) Hangup() error { return p.signal(syscall.SIGHUP) }

func (p *Process) signal(s os.Signal) error {
	l := p.latest()
	if l == nil {
		return fmt.Errorf("signal %s: it was never started", p.Name)
	}
	if err := l.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Output returns the last 64 KiB that all lives have printed.
func (p *Process) Output() string { return p.output.String() }

// tail keeps the last output.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
