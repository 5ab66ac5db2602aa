package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"tributary/stream"
)

// Failover is how long the shards of a worker that ends are not read by the other
// of two: from the signal to the first record of the last of them, while every
// shard gets a record twenty times a second.
type Failover struct {
	Shards int `json:"shards"` // of the stream; the worker that ends has half
	// Killed are seconds after SIGKILL, Stopped after SIGTERM, of each run.
	Killed  []float64 `json:"killed_seconds"`
	Stopped []float64 `json:"stopped_seconds"`
	// Handed are seconds from SIGTERM until the last lease was taken.
	Handed []float64 `json:"handed_over_seconds"`
}

const feedEvery = 50 * time.Millisecond

func (b *bench) failover(ctx context.Context, r *Runtime) error {
	p := b.plan.runtime
	w, err := b.newWorld(ctx, p.failoverShards, true)
	if err != nil {
		return err
	}
	defer w.end()
	feed, err := b.startFill(ctx, w, FillOrder{Every: feedEvery})
	if err != nil {
		return err
	}
	defer feed.Kill()
	r.Failover = &Failover{Shards: p.failoverShards}
	for run := range p.runs {
		if err := b.changeovers(ctx, w, run, r.Failover); err != nil {
			return err
		}
	}
	if !feed.Running() {
		return fmt.Errorf("the feed has ended:\n%s", feed.Output())
	}
	return nil
}

// changeovers kills one worker of two, starts another, and stops one of these.
func (b *bench) changeovers(ctx context.Context, w *world, run int, found *Failover) error {
	p := b.plan.runtime
	c := w.crew(WorkerOrder{Group: fmt.Sprintf("bench-failover-%d", run), Lease: p.lease})
	defer func() { c.dismiss() }()
	for range 2 {
		if _, err := c.hire(ctx); err != nil {
			return err
		}
	}
	killed, err := c.lose(ctx, p, func(m *crewman) error { m.Kill(); return nil })
	if err != nil {
		return fmt.Errorf("after kill -9: %w", err)
	}
	found.Killed = append(found.Killed, killed.given)
	b.log("  SIGKILL: read again after %.2f s", killed.given)
	if _, err := c.hire(ctx); err != nil {
		return err
	}
	stopped, err := c.lose(ctx, p, (*crewman).terminate)
	if err != nil {
		return fmt.Errorf("after SIGTERM: %w", err)
	}
	found.Stopped = append(found.Stopped, stopped.given)
	found.Handed = append(found.Handed, stopped.opened)
	b.log("  SIGTERM: handed over after %.2f s, read after %.2f s", stopped.opened, stopped.given)
	return nil
}

// changeover is when the last shard was taken, and read, in seconds.
type changeover struct{ opened, given float64 }

// lose ends the first of two workers that share evenly, and measures how soon the
// other reads its shards. The first then is the other.
func (c *crew) lose(ctx context.Context, p runtimePlan, end func(*crewman) error) (took changeover, err error) {
	if _, err := c.even(ctx, p.failoverShards, p.settle, nil); err != nil {
		return took, err
	}
	// The end comes by chance: the workers became even with a look of one of them, and
	// looks and renewals keep their rhythm.
	if err := pause(ctx, rand.N(p.lease/3)); err != nil {
		return took, err
	}
	m := c.workers[0]
	shards, err := c.held(m)
	if err != nil {
		return took, err
	}
	start := time.Now()
	if err := end(m); err != nil {
		return took, err
	}
	took, err = c.heir(ctx, shards, start)
	if err != nil {
		return took, err
	}
	m.Kill() // it may still close what is of no matter any more
	c.workers = c.workers[1:]
	return took, nil
}

// heir waits until the other worker was given a record of each of the shards.
func (c *crew) heir(ctx context.Context, shards []stream.ShardID, start time.Time) (took changeover, err error) {
	heir := c.workers[1]
	err = waitFor(ctx, "shards to be read again", stageWithin, lookEvery, func() (bool, error) {
		if !heir.Running() {
			return false, fmt.Errorf("the other worker has ended:\n%s", heir.Output())
		}
		entries, err := readDiary(heir.path)
		if err != nil {
			return false, err
		}
		opened, _ := lastOf(entries, wasOpened, start, shards)
		given, all := lastOf(entries, wasGiven, start, shards)
		took = changeover{opened.Sub(start).Seconds(), given.Sub(start).Seconds()}
		return all, nil
	})
	return took, err
}

// terminate sends SIGTERM, as ECS does.
func (m *crewman) terminate() error {
	entries, err := readDiary(m.path)
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].What != wasBorn {
		return fmt.Errorf("%s does not say who it is", m.Name)
	}
	if err := syscall.Kill(entries[0].Number, syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate %s: %w", m.Name, err)
	}
	return nil
}
