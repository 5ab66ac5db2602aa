package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"tributary/cmd/internal/cluster"
	"tributary/consumers"
	"tributary/stream"
)

// A crew is the workers of one group in a world.
type crew struct {
	world   *world
	order   WorkerOrder // of all of them, their diaries excepted
	workers []*crewman
	hired   int // ever: names of diaries
}

// A crewman is a worker's process and its diary.
type crewman struct {
	*cluster.Process
	path    string
	started time.Time // just before its process was
}

// filled is a world with limits on and shards that hold already what the order
// says; it was put there without limits.
func (b *bench) filled(ctx context.Context, shards int, o FillOrder) (*world, int64, error) {
	w, err := b.newWorld(ctx, shards, false)
	if err != nil {
		return nil, 0, err
	}
	lines, err := b.fill(ctx, w, o)
	if err == nil {
		err = w.limit(ctx)
	}
	if err != nil {
		w.end()
		return nil, 0, err
	}
	return w, lines, nil
}

func (b *bench) fill(ctx context.Context, w *world, o FillOrder) (int64, error) {
	child, err := b.startFill(ctx, w, o)
	if err != nil {
		return 0, err
	}
	found, err := collect[FillFound](ctx, child, stageWithin)
	return found.Lines, err
}

func (b *bench) startFill(ctx context.Context, w *world, o FillOrder) (*cluster.Process, error) {
	o.Stream, o.Lines = streamName, b.source(limitsSize)
	child, err := newChild("fill", o, w.Env())
	if err != nil {
		return nil, err
	}
	return child, child.Start(ctx)
}

// limit starts the endpoints anew over what they hold, with the limits of real
// shards.
func (w *world) limit(ctx context.Context) error {
	if err := w.endpoints.Interrupt(stopWithin); err != nil {
		return fmt.Errorf("%w\n%s", err, w.endpoints.Output())
	}
	n, err := w.Endpoints("--limits", "true", "--set", "admin.pprof=true")
	if err != nil {
		return err
	}
	w.endpoints = n
	return w.start(ctx, n)
}

func (w *world) crew(o WorkerOrder) *crew {
	o.Stream = streamName
	if o.Counts == 0 {
		o.Counts = time.Second
	}
	return &crew{world: w, order: o}
}

// hire starts a worker; its start is part of what it does, so nobody waits for it.
func (c *crew) hire(ctx context.Context) (*crewman, error) {
	o := c.order
	o.Diary = filepath.Join(c.world.Dir, fmt.Sprintf("%s-%d.diary", o.Group, c.hired))
	c.hired++
	child, err := newChild("worker", o, c.world.Env())
	if err != nil {
		return nil, err
	}
	m := &crewman{Process: child, path: o.Diary, started: time.Now()}
	c.workers = append(c.workers, m)
	return m, child.Start(ctx)
}

// leave ends a worker gracefully and returns what it did in its life.
func (m *crewman) leave(ctx context.Context) (consumers.Counters, error) {
	if err := m.Interrupt(stopWithin); err != nil {
		return consumers.Counters{}, fmt.Errorf("%w\n%s", err, m.Output())
	}
	return collect[consumers.Counters](ctx, m.Process, stopWithin)
}

// dismiss kills whoever is left.
func (c *crew) dismiss() {
	for _, m := range c.workers {
		m.Kill()
	}
}

// diaries are those of the workers that run; one that has ended by itself is an
// error.
func (c *crew) diaries(but *crewman) (all [][]entry, err error) {
	for _, m := range c.workers {
		if m == but {
			continue
		}
		if !m.Running() {
			return nil, fmt.Errorf("a worker has ended:\n%s", m.Output())
		}
		entries, err := readDiary(m.path)
		if err != nil {
			return nil, err
		}
		all = append(all, entries)
	}
	return all, nil
}

// even waits until the workers, one that leaves excepted, share the shards evenly,
// and go on doing so for a while; it returns the moment from which on they did.
func (c *crew) even(ctx context.Context, shards int, settle time.Duration, but *crewman) (since time.Time, err error) {
	err = waitFor(ctx, "shards to be shared evenly", stageWithin, 50*time.Millisecond, func() (bool, error) {
		all, err := c.diaries(but)
		if err != nil {
			return false, err
		}
		at, even := evenSince(all, shards)
		since = at
		return even && time.Since(at) >= settle, nil
	})
	if err != nil && len(c.workers) > 0 {
		err = fmt.Errorf("%w\n%s", err, c.workers[len(c.workers)-1].Output())
	}
	return since, err
}

// opened counts how often any worker opened a shard after a moment.
func (c *crew) opened(after time.Time, but *crewman) (n int, err error) {
	all, err := c.diaries(but)
	for _, entries := range all {
		for _, e := range entries {
			if e.What == wasOpened && e.At.After(after) {
				n++
			}
		}
	}
	return n, err
}

// held are the shards whose last opening, among all workers, was a worker's own.
func (c *crew) held(of *crewman) ([]stream.ShardID, error) {
	last := make(map[stream.ShardID]*crewman)
	at := make(map[stream.ShardID]time.Time)
	for _, m := range c.workers {
		entries, err := readDiary(m.path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.What == wasOpened && e.At.After(at[e.Shard]) {
				last[e.Shard], at[e.Shard] = m, e.At
			}
		}
	}
	var ids []stream.ShardID
	for id, m := range last {
		if m == of {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}
