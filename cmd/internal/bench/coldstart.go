package main

import (
	"context"
	"fmt"

	"tributary/stream"
)

// Cold is the very first start of a group, its tables not yet made, on shards that
// hold records: from the start of the process to the first record of the last
// shard.
type Cold struct {
	Shards  int       `json:"shards"`
	Seconds []float64 `json:"seconds"` // of each run
}

func (b *bench) coldStart(ctx context.Context, r *Runtime) error {
	p := b.plan.runtime
	r.Cold = &Cold{Shards: p.coldShards}
	w, _, err := b.filled(ctx, p.coldShards, FillOrder{Bare: 1})
	if err != nil {
		return err
	}
	defer w.end()
	for run := range p.runs {
		c := w.crew(WorkerOrder{Group: fmt.Sprintf("bench-cold-%d", run), Lease: p.lease})
		m, err := c.hire(ctx)
		if err != nil {
			return err
		}
		took, err := firstOfEach(ctx, m, p.coldShards)
		if err == nil {
			_, err = m.leave(ctx)
		}
		m.Kill()
		if err != nil {
			return err
		}
		r.Cold.Seconds = append(r.Cold.Seconds, took)
		b.log("  %.2f s", took)
	}
	return nil
}

// firstOfEach waits until a worker was given a record of each shard and returns the
// seconds from its start to the last of them.
func firstOfEach(ctx context.Context, m *crewman, shards int) (seconds float64, err error) {
	err = waitFor(ctx, "a record of each shard", stageWithin, lookEvery, func() (bool, error) {
		if !m.Running() {
			return false, fmt.Errorf("the worker has ended:\n%s", m.Output())
		}
		entries, err := readDiary(m.path)
		if err != nil {
			return false, err
		}
		given := firsts(entries, wasGiven, m.started)
		var ids []stream.ShardID
		for id := range given {
			ids = append(ids, id)
		}
		last, _ := lastOf(entries, wasGiven, m.started, ids)
		seconds = last.Sub(m.started).Seconds()
		return len(given) == shards, nil
	})
	return seconds, err
}
