package main

import (
	"context"
	"fmt"
	"time"

	"tributary/cmd/internal/cluster"
)

// Stages, in the order in which a round runs them.
const (
	stageForward = "forwarder" // load → forwarder → stream
	stageRead    = "read"      // stream → decoded events
	stageLake    = "lake"      // stream, filled before → Parquet
	stageRejoin  = "rejoin"    // load → forwarder, published nowhere; of lines that are cut
	stageChain   = "chain"     // load → forwarder → stream → Parquet
)

// A round is one run of every stage with one size of lines.
type round struct {
	*bench
	size  int
	lines int64
	run   int // from 1
	yard  *zstdYard
	last  float64 // what the yardstick said last
	out   []Run
}

// all runs the stages over two worlds: the stream that the forwarder fills alone is
// what reader and lake find.
func (r *round) all(ctx context.Context) (err error) {
	if r.last, err = r.yard.measure(); err != nil {
		return err
	}
	w, err := r.newWorld(ctx, r.plan.shards, false)
	if err != nil {
		return err
	}
	err = r.stage(ctx, w, stageForward, r.forward)
	if err == nil {
		err = r.stage(ctx, w, stageRead, r.read)
	}
	if err == nil {
		err = r.stage(ctx, w, stageLake, r.lake)
	}
	if err == nil && r.size > 16<<10 {
		err = r.stage(ctx, w, stageRejoin, r.rejoin)
	}
	w.end()
	if err != nil {
		return err
	}
	if w, err = r.newWorld(ctx, r.plan.shards, false); err != nil {
		return err
	}
	defer w.end()
	return r.stage(ctx, w, stageChain, r.chain)
}

// stage runs one stage and measures the yardstick behind it; the one before it
// stands behind the stage before.
func (r *round) stage(ctx context.Context, w *world, name string, run func(context.Context, *world) error) error {
	if err := run(ctx, w); err != nil {
		return fmt.Errorf("stage %s, %d B: %w", name, r.size, err)
	}
	now, err := r.yard.measure()
	if err != nil {
		return err
	}
	r.out[len(r.out)-1].Yardstick = (r.last + now) / 2
	r.last = now
	return nil
}

func (r *round) note(stage string, lines int64, seconds float64, m *meter) *Run {
	r.out = append(r.out, Run{Stage: stage, LineBytes: r.size, Lines: lines, Seconds: seconds, Processes: m.read()})
	r.log("  %-9s %6d B  %8.0f lines/s", stage, r.size, float64(lines)/seconds)
	return &r.out[len(r.out)-1]
}

// load is the load generator for all lines of the round, as fast as they are taken.
func (r *round) load(to *cluster.Node) (*cluster.Process, error) {
	return newChild(processLoad, LoadOrder{
		Address: to.Forward, Lines: r.source(r.size), Count: r.lines, Connections: r.plan.connections,
	}, nil)
}

// forward ends when the forwarder has stopped by itself: everything it took is in
// the stream then.
func (r *round) forward(ctx context.Context, w *world) error {
	f, err := w.forwarder(ctx)
	if err != nil {
		return err
	}
	load, err := r.load(f)
	if err != nil {
		return err
	}
	var m meter
	m.add(processForwarder, &f.Process)
	m.add(processLoad, load)
	m.add(processEndpoints, &w.endpoints.Process)
	stop := r.profile.watch(ctx, stageForward, r.size, r.run, f, w.endpoints)
	start := time.Now()
	if err := r.send(ctx, load); err != nil {
		return err
	}
	stop()
	if err := f.Interrupt(stopWithin); err != nil {
		return fmt.Errorf("%w\n%s", err, f.Output())
	}
	r.note(stageForward, r.lines, time.Since(start).Seconds(), &m)
	return nil
}

// send runs the load generator to its end.
func (r *round) send(ctx context.Context, load *cluster.Process) error {
	if err := load.Start(ctx); err != nil {
		return err
	}
	found, err := collect[LoadFound](ctx, load, stageWithin)
	if err != nil {
		return err
	}
	if found.Lines != r.lines {
		return fmt.Errorf("the load generator sent %d lines of %d", found.Lines, r.lines)
	}
	return nil
}

// read also tells what the lines took in the stream, for the stage before it.
func (r *round) read(ctx context.Context, w *world) error {
	child, err := newChild("read", ReadOrder{
		Stream: streamName, Lines: r.lines, Seed: r.plan.seed, Passes: r.plan.readPasses, Within: stageWithin,
		Profile: r.profile.path(stageRead, r.size, r.run, processReader),
	}, w.Env())
	if err != nil {
		return err
	}
	defer child.Kill()
	var m meter
	m.add(processReader, child)
	m.add(processEndpoints, &w.endpoints.Process)
	if err := child.Start(ctx); err != nil {
		return err
	}
	found, err := collect[ReadFound](ctx, child, stageWithin+10*time.Second)
	if err != nil {
		return err
	}
	passes := int64(r.plan.readPasses)
	before := &r.out[len(r.out)-1]
	before.StreamBytes, before.Records = found.Bytes/passes, found.Records/passes
	run := r.note(stageRead, r.lines*passes, found.Seconds, &m)
	run.StreamBytes, run.Records = found.Bytes, found.Records
	return nil
}

// lake counts the process from its start to its end.
func (r *round) lake(ctx context.Context, w *world) error {
	l, err := w.lakeWorker()
	if err != nil {
		return err
	}
	var m meter
	m.add(processLake, &l.Process)
	m.add(processEndpoints, &w.endpoints.Process)
	start := time.Now()
	if err := w.start(ctx, l); err != nil {
		return err
	}
	stop := r.profile.watch(ctx, stageLake, r.size, r.run, l)
	err = r.drain(ctx, w, l)
	stop()
	if err != nil {
		return err
	}
	r.note(stageLake, r.lines, time.Since(start).Seconds(), &m)
	return checkRows(w.LakeDir(), r.plan.seed, r.lines)
}

// drain waits until the lake worker has read all lines, then stops it: it flushes
// what it holds and ends.
func (r *round) drain(ctx context.Context, w *world, l *cluster.Node) error {
	err := waitFor(ctx, "the lake to read all lines", stageWithin, 100*time.Millisecond, func() (bool, error) {
		m, err := l.Metrics()
		if err != nil {
			return false, fmt.Errorf("%w\n%s", err, l.Output())
		}
		return m.Sum("tributary_consumers_events_total") >= float64(r.lines), nil
	})
	if err == nil {
		err = l.Interrupt(stopWithin)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, l.Output())
	}
	return nil
}

// chain ends when every line is a row.
func (r *round) chain(ctx context.Context, w *world) error {
	l, err := w.lakeWorker()
	if err != nil {
		return err
	}
	if err := w.start(ctx, l); err != nil {
		return err
	}
	f, err := w.forwarder(ctx)
	if err != nil {
		return err
	}
	load, err := r.load(f)
	if err != nil {
		return err
	}
	var m meter
	m.add(processForwarder, &f.Process)
	m.add(processLake, &l.Process)
	m.add(processLoad, load)
	m.add(processEndpoints, &w.endpoints.Process)
	stop := r.profile.watch(ctx, stageChain, r.size, r.run, f, l, w.endpoints)
	defer stop()
	start := time.Now()
	if err := r.send(ctx, load); err != nil {
		return err
	}
	if err := f.Interrupt(stopWithin); err != nil {
		return fmt.Errorf("%w\n%s", err, f.Output())
	}
	if err := r.drain(ctx, w, l); err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	r.note(stageChain, r.lines, seconds, &m)
	return checkRows(w.LakeDir(), r.plan.seed, r.lines)
}
