package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Balance is how soon many shards are shared evenly, at most one more here than
// there, each read by somebody: counted from the start of a process, or from the
// signal that ends it.
type Balance struct {
	Shards  int     `json:"shards"`
	Workers int     `json:"workers"`
	Start   float64 `json:"start_seconds"` // all but one worker, at once, on a group never started
	Join    float64 `json:"join_seconds"`  // of the last worker
	Leave   float64 `json:"leave_seconds"` // of one, by SIGTERM
	// Moved are the shards that were opened in the join and in the leave; MustMove is
	// the least that even shares take.
	JoinMoved     int `json:"join_moved"`
	JoinMustMove  int `json:"join_must_move"`
	LeaveMoved    int `json:"leave_moved"`
	LeaveMustMove int `json:"leave_must_move"`
}

// Idle is what a group without any records asks of the services.
type Idle struct {
	Shards  int     `json:"shards"`
	Workers int     `json:"workers"`
	Seconds float64 `json:"seconds"`
	// PerShardMinute are requests to DynamoDB by operation, of all workers together.
	PerShardMinute map[string]float64 `json:"dynamodb_requests_per_shard_and_minute"`
	// Reads are GetRecords calls.
	Reads float64 `json:"read_requests_per_shard_and_second"`
	CPU   float64 `json:"cpu_share_per_worker"`
}

func (b *bench) balance(ctx context.Context, r *Runtime) error {
	p := b.plan.runtime
	w, err := b.newWorld(ctx, p.shards, true)
	if err != nil {
		return err
	}
	defer w.end()
	c := w.crew(WorkerOrder{Group: "bench-balance", Lease: p.lease})
	defer c.dismiss()
	found := &Balance{Shards: p.shards, Workers: p.workers}
	r.Balance = found
	if found.Start, err = c.begin(ctx, p); err != nil {
		return err
	}
	b.log("  %d workers from nothing: %.2f s", p.workers-1, found.Start)
	if err := c.join(ctx, p, found); err != nil {
		return err
	}
	b.log("  one joins: %.2f s", found.Join)
	if r.Idle, err = c.idle(ctx, p); err != nil {
		return err
	}
	if err := c.part(ctx, p, found); err != nil {
		return err
	}
	b.log("  one leaves: %.2f s", found.Leave)
	return nil
}

// begin starts all workers but one.
func (c *crew) begin(ctx context.Context, p runtimePlan) (float64, error) {
	start := time.Now()
	for range p.workers - 1 {
		if _, err := c.hire(ctx); err != nil {
			return 0, err
		}
	}
	since, err := c.even(ctx, p.shards, p.settle, nil)
	return since.Sub(start).Seconds(), err
}

func (c *crew) join(ctx context.Context, p runtimePlan, found *Balance) error {
	m, err := c.hire(ctx)
	if err != nil {
		return err
	}
	since, err := c.even(ctx, p.shards, p.settle, nil)
	if err != nil {
		return err
	}
	found.Join = since.Sub(m.started).Seconds()
	found.JoinMustMove = p.shards / p.workers
	found.JoinMoved, err = c.opened(m.started, nil)
	return err
}

// part ends the first worker.
func (c *crew) part(ctx context.Context, p runtimePlan, found *Balance) error {
	if err := pause(ctx, rand.N(p.lease/3)); err != nil {
		return err
	}
	m := c.workers[0]
	held, err := c.held(m)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := m.terminate(); err != nil {
		return err
	}
	since, err := c.even(ctx, p.shards, p.settle, m)
	if err != nil {
		return err
	}
	found.Leave = since.Sub(start).Seconds()
	found.LeaveMustMove = len(held)
	found.LeaveMoved, err = c.opened(start, m)
	return err
}

// idle watches the crew do nothing.
func (c *crew) idle(ctx context.Context, p runtimePlan) (*Idle, error) {
	var m meter
	for _, w := range c.workers {
		m.add(processWorker, w.Process)
	}
	start := time.Now()
	if err := pause(ctx, p.idle); err != nil {
		return nil, err
	}
	all, err := c.diaries(nil)
	if err != nil {
		return nil, err
	}
	found := &Idle{Shards: p.shards, Workers: len(c.workers), PerShardMinute: make(map[string]float64)}
	for _, u := range m.read() {
		found.CPU += u.CPUSeconds / time.Since(start).Seconds() / float64(len(c.workers))
	}
	for _, entries := range all {
		first, last := countedIn(entries, start)
		seconds := last.At.Sub(first.At).Seconds()
		if seconds <= 0 {
			return nil, fmt.Errorf("%v are too short to count requests", p.idle)
		}
		found.Seconds = max(found.Seconds, seconds)
		for op, n := range since(first, last, "tributary_lease_requests_total") {
			found.PerShardMinute[op] += n / seconds * 60 / float64(p.shards)
		}
		reads := last.Figures["tributary_stream_read_requests_total"] - first.Figures["tributary_stream_read_requests_total"]
		found.Reads += reads / seconds / float64(p.shards)
	}
	return found, nil
}

// since is by how much the counters of a name have grown, by operation.
func since(first, last entry, name string) map[string]float64 {
	grown := make(map[string]float64)
	before := operations(first.Figures, name)
	for op, n := range operations(last.Figures, name) {
		if n > before[op] {
			grown[op] = n - before[op]
		}
	}
	return grown
}
