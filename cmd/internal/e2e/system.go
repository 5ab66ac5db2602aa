package e2e

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/cmd/internal/cluster"
	"tributary/deploy/local/fault"
)

var journal = flag.Bool("e2e.journal", false, "print what was done, the figures and the last output of each process even when all is well")

// System is the product as processes, and a record of what was done to it. When
// the test ends the processes are killed; if it has failed, it prints what was
// done, the figures and the last output of each.
type System struct {
	*cluster.Cluster
	t       testing.TB
	kinesis *kinesis.Client
	nodes   map[string]*cluster.Node
	names   []string // of nodes, in the order they were added

	ruling sync.Mutex // held while the endpoints are told the rules
	rules  []fault.Rule

	began   time.Time
	mu      sync.Mutex
	journal strings.Builder
	strikes []Strike
}

// A Strike is an outage that befell a process.
type Strike struct {
	At   time.Time
	Step Step
	Pid  int // of the life that it befell
}

// NewSystem has no process yet. flags are those of the build.
func NewSystem(t testing.TB, flags ...string) *System {
	t.Helper()
	binary, err := cluster.Built(flags...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &System{Cluster: c, t: t, kinesis: kinesis.NewFromConfig(awsConfig(c.AWS)), nodes: make(map[string]*cluster.Node), began: time.Now()}
	t.Cleanup(s.close)
	return s
}

// Add starts a process and takes it into the system under its name. It is made for
// the methods of Cluster: s.Add(s.Forwarder("forwarder-1")).
func (s *System) Add(n *cluster.Node, err error) *cluster.Node {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	// A race that is found must not be lost with the kill that follows.
	n.Env = append(n.Env, "GORACE=halt_on_error=1")
	s.nodes[n.Name] = n
	s.names = append(s.names, n.Name)
	if err := n.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *System) close() {
	telling := s.t.Failed() || *journal
	if telling {
		s.mu.Lock()
		s.t.Logf("what was done:\n%s", &s.journal)
		s.mu.Unlock()
	}
	for _, name := range s.names {
		n := s.nodes[name]
		if !telling {
			n.Kill()
			continue
		}
		s.t.Logf("figures of %s:\n%s", name, figures(n))
		n.Kill()
		s.t.Logf("last output of %s:\n%s", name, n.Output())
	}
}

// figures are a process's metrics that are not zero.
func figures(n *cluster.Node) string {
	if !n.Running() {
		return "it does not run"
	}
	if err := n.Thaw(); err != nil {
		return err.Error()
	}
	m, err := n.Metrics()
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(name, "tributary_") && !strings.Contains(name, "_bucket{") && m[name] != 0 {
			fmt.Fprintf(&b, "%s %v\n", name, m[name])
		}
	}
	return b.String()
}

// note writes into the journal.
func (s *System) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.journal, "%7.3fs ", time.Since(s.began).Seconds())
	fmt.Fprintf(&s.journal, format+"\n", args...)
}

// strike notes an outage that begins.
func (s *System) strike(step Step) {
	s.note("%s %s", step.Verb, step.Target)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strikes = append(s.strikes, Strike{At: time.Now(), Step: step, Pid: s.nodes[step.Target].Pid()})
}

// Strikes are the outages so far.
func (s *System) Strikes() []Strike {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.strikes)
}

// SetFaults puts rules in force in the place of all earlier ones. It goes on until
// the endpoints have taken them or ctx ends.
func (s *System) SetFaults(ctx context.Context, rules ...fault.Rule) error {
	s.ruling.Lock()
	s.rules = rules
	s.ruling.Unlock()
	return s.tellRules(ctx)
}

// tellRules tells the endpoints the rules now in force, whichever call set them.
func (s *System) tellRules(ctx context.Context) error {
	return untilDone(ctx, func() (bool, error) {
		s.ruling.Lock()
		defer s.ruling.Unlock()
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		err := s.Cluster.SetFaults(ctx, s.rules...)
		return err == nil, err
	})
}

// Running tells which process has ended by itself, if one has.
func (s *System) Running() error {
	for _, name := range s.names {
		if err := s.alive(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *System) alive(name string) error {
	if n := s.nodes[name]; !n.Running() {
		return fmt.Errorf("%s has ended by itself: %w", name, n.Wait(0))
	}
	return nil
}

// WaitForAcks returns when n more lines are acked than at the call.
func (s *System) WaitForAcks(l *Ledger, n int) {
	s.t.Helper()
	before := l.Acked()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	err := untilDone(ctx, func() (bool, error) { return l.Acked() >= before+n, s.Running() })
	if err != nil {
		s.t.Fatalf("wait for %d lines to be acked: %v", n, err)
	}
}

// Report logs what each process took and how often consumers had to replay a range
// or drop what they had, as far as their last lives tell.
func (s *System) Report() {
	for _, name := range s.names {
		n := s.nodes[name]
		used := n.Usage()
		line := fmt.Sprintf("%s took %.1f CPU seconds, %d MiB at its peak", name, used.CPU.Seconds(), used.PeakRSS>>20)
		if replays := strings.Count(n.Output(), "replaying a pending range"); replays > 0 {
			line += fmt.Sprintf(", replayed %d ranges", replays)
		}
		s.t.Log(line)
	}
}
