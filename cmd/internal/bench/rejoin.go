package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tinylib/msgp/msgp"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
	"tributary/cmd/internal/workload"
	"tributary/schema"
	"tributary/schema/edit"
	"tributary/stream"
	"tributary/stream/forwarder"
)

// RejoinOrder tells the child "rejoin" to be a forwarder that drops every line by a
// rule: what receiving, spooling, rejoining and classifying take alone.
type RejoinOrder struct {
	Listen string // host:port
	Dir    string
	Lines  int64 // to end behind

	Profile string // file for a CPU profile; empty: none
}

// RejoinFound is what it did.
type RejoinFound struct{ Lines int64 }

// nowhere is asked for nothing.
type nowhere struct{}

func (nowhere) Publish(context.Context, stream.Record) error { return nil }
func (nowhere) Run(ctx context.Context) error                { <-ctx.Done(); return nil }
func (nowhere) Called() time.Time                            { return time.Now() }
func (nowhere) MaxRecordBytes() int64                        { return forwarder.SmallRecordBytes }
func (nowhere) Known() bool                                  { return true }

func runRejoin(ctx context.Context, o RejoinOrder) (RejoinFound, error) {
	s, err := app.Load(app.Defaults(), "", forwardSets)
	if err != nil {
		return RejoinFound{}, err
	}
	profiled, err := startProfile(o.Profile)
	if err != nil {
		return RejoinFound{}, err
	}
	defer profiled()
	s.Forward.Server.Listen, s.Forward.Spool.Dir = []string{"tcp://" + o.Listen}, o.Dir
	s.Forward.Edits.Rules = []edit.Rule{{Name: "all", Action: edit.Drop}}
	rules, err := s.LineRules()
	if err != nil {
		return RejoinFound{}, err
	}
	reg := prometheus.NewRegistry()
	f, err := forwarder.New(s.Forward.Config, s.Forward.Server, s.Forward.Spool, rules, nowhere{}, reg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return RejoinFound{}, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(running) }()
	lines := int64(0)
	// Each look takes half a millisecond of this process.
	err = waitFor(ctx, "all lines to be rejoined", stageWithin, 200*time.Millisecond, func() (bool, error) {
		lines, err = sumOf(reg, "tributary_forwarder_rule_events_total")
		return lines >= o.Lines, err
	})
	stop()
	if end := <-ended; err == nil {
		err = end
	}
	return RejoinFound{lines}, err
}

func sumOf(reg prometheus.Gatherer, name string) (sum int64, err error) {
	families, err := reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += int64(m.GetCounter().GetValue())
			}
		}
	}
	return sum, err
}

// rejoinPasses is how often the stage's lines are sent: nothing slows this one down, and
// the start of the process should not count for more than a hundredth.
const rejoinPasses = 4

// rejoin is the stage for lines that Docker cuts.
func (r *round) rejoin(ctx context.Context, w *world) error {
	lines := r.lines
	r.lines *= rejoinPasses
	defer func() { r.lines = lines }()
	addr, err := cluster.FreeAddr()
	if err != nil {
		return err
	}
	child, err := newChild(processForwarder, RejoinOrder{Listen: addr, Dir: filepath.Join(w.Dir, "rejoin"), Lines: r.lines, Profile: r.profile.path(stageRejoin, r.size, r.run, processForwarder)}, nil)
	if err != nil {
		return err
	}
	child.Args[1] = "rejoin"
	child.Ready = func() bool { return cluster.Listens(addr) }
	defer child.Kill()
	load, err := r.load(&cluster.Node{Forward: addr})
	if err != nil {
		return err
	}
	var m meter
	m.add(processForwarder, child)
	m.add(processLoad, load)
	if err := child.Start(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := r.send(ctx, load); err != nil {
		return err
	}
	found, err := collect[RejoinFound](ctx, child, stageWithin)
	if err != nil {
		return err
	}
	if found.Lines != r.lines {
		return fmt.Errorf("%d lines came out of %d", found.Lines, r.lines)
	}
	r.note(stageRejoin, r.lines, time.Since(start).Seconds(), &m)
	return nil
}

// partsOf is what the least of a forwarder's work takes on lines of one size, in CPU
// seconds per million: zstd of them, a scan of the JSON, and reading the msgpack that
// Docker sends them in. One thread does the three after one another.
func partsOf(p yardPlan, lines *workload.Lines, size int, zstd float64) (float64, error) {
	const some = 2000
	var texts [][]byte
	var messages []byte // one behind the other, as a socket brings them
	container := workload.NewContainer("parts")
	for i := range int64(max(20, some*500/size)) {
		text, _ := lines.Append(nil, i)
		texts = append(texts, text)
		messages = container.Append(messages, time.Now(), workload.Stdout, text)
	}
	scan, err := perMillion(p, len(texts), func() error {
		for _, text := range texts {
			_ = schema.WalkObject(text, func(_, _ []byte) bool { return true }) // raw lines are no JSON
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	decode, err := perMillion(p, len(texts), func() error {
		for rest := messages; len(rest) > 0; {
			var err error
			if rest, err = readMessage(rest); err != nil {
				return err
			}
		}
		return nil
	})
	return zstd + scan + decode, err
}

// readMessage reads a message as a server has to: tag, time, each key and text, the
// option. It returns what follows.
func readMessage(b []byte) ([]byte, error) {
	_, b, err := msgp.ReadArrayHeaderBytes(b)
	if err == nil {
		_, b, err = msgp.ReadStringZC(b)
	}
	if err == nil {
		b, err = msgp.Skip(b)
	}
	fields := uint32(0)
	if err == nil {
		fields, b, err = msgp.ReadMapHeaderBytes(b)
	}
	for i := uint32(0); err == nil && i < 2*fields; i++ {
		_, b, err = msgp.ReadStringZC(b)
	}
	if err == nil {
		b, err = msgp.Skip(b)
	}
	return b, err
}

// perMillion measures do, which handles n lines, until it took long enough.
func perMillion(p yardPlan, n int, do func() error) (float64, error) {
	if err := do(); err != nil { // warm
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, err := threadCPU()
	if err != nil {
		return 0, err
	}
	for rounds := 1; ; rounds++ {
		if err := do(); err != nil {
			return 0, err
		}
		now, err := threadCPU()
		if err != nil {
			return 0, err
		}
		if took := (now - start).Seconds(); took >= p.cpu {
			return took / float64(rounds*n) * 1e6, nil
		}
	}
}
