package consumers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// killAt starts a worker and ends its life, as kill -9 would, at the given step of
// its n-th range. What it had in memory is gone.
func killAt(t *testing.T, w *world, p Policy, planText, step string, n int) {
	t.Helper()
	s := w.worker(p, planText)
	d := &deadly{world: w, step: step, left: n}
	s.lease, s.maps, s.rejects = d, d, d
	w.onFlush = func(_ context.Context, r stream.Range) error { return d.die("before flush") }
	r := newWorker(s)
	d.kill = func() { r.held(errKilled) }
	r.start()
	pass(5 * time.Minute)
	if err := r.kill(errKilled); !errors.Is(err, errKilled) {
		t.Fatalf("the worker lived on: %v", err)
	}
	w.onFlush = nil
}

var errKilled = errors.New("killed")

// deadly is a world in which a worker dies at one step.
type deadly struct {
	*world
	step string
	left int
	kill func()
}

func (d *deadly) die(step string) error {
	if step == d.step {
		d.left--
	}
	if d.left > 0 {
		return nil
	}
	d.kill()
	return errKilled
}

func (d *deadly) Prepare(ctx context.Context, p lease.Pending) error {
	if err := d.die("before prepare"); err != nil {
		return err
	}
	return d.world.Prepare(ctx, p)
}

func (d *deadly) PutSnapshot(ctx context.Context, p lease.Place, data []byte) error {
	if err := d.die("after flush"); err != nil {
		return err
	}
	return d.world.PutSnapshot(ctx, p, data)
}

func (d *deadly) Checkpoint(ctx context.Context, s stream.SequenceNumber) error {
	if err := d.die("before checkpoint"); err != nil {
		return err
	}
	if err := d.world.Checkpoint(ctx, s); err != nil {
		return err
	}
	return d.die("after checkpoint")
}

// Whatever the step at which a worker dies: its heir delivers the same range by
// the same plan again if it was written down, and nothing is left out or new under
// a name that exists already.
func TestAHeirDeliversTheRangeOfTheDead(t *testing.T) {
	for step, replayed := range map[string]bool{
		"before prepare": false, "before flush": true, "after flush": true, "before checkpoint": true, "after checkpoint": false,
	} {
		for _, nth := range []int{1, 2} {
			t.Run(step+[]string{"", " of the first range", " of the second range"}[nth], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					w.add(record(1, 1, 1, 2), record(2, 1, 2, 3), record(3, 1, 3, 4), record(4, 1, 5))
					old := testPolicy()
					old.RangeBytes = 4
					killAt(t, w, old, "old plan", step, nth)
					heir := old
					heir.RangeBytes = 1000
					r := run(w.worker(heir, "new plan"))
					pass(5 * time.Minute)
					expect(t, "stop", r.stop(), nil)

					byRange := map[stream.Range]string{}
					events, last := "", stream.SequenceNumber("")
					for _, f := range w.flushed {
						if seen, again := byRange[f.Range]; again {
							expect(t, "a range flushed twice", f.plan+f.events, seen)
							continue
						}
						byRange[f.Range] = f.plan + f.events
						events += f.events
						expect(t, "the range before", f.After, last)
						last = f.Last
					}
					expect(t, "events, each range once", events, "1 2 3 4 5 ")
					expect(t, "checkpoint", w.item.Checkpoint, "4")
					expect(t, "pending", w.item.Pending == nil, true)
					if replayed && w.flushed[nth-1].plan != "old plan" {
						t.Errorf("replayed by %q", w.flushed[nth-1].plan)
					}
				})
			})
		}
	}
}

// pendingWorld has a range 2-4 pending behind a checkpoint at 1.
func pendingWorld() *world {
	w := newWorld()
	w.item = lease.Item{Checkpoint: "1", Generation: 7, Pending: &lease.Pending{First: "2", Last: "4", Generation: 7, Plan: "h:old"}}
	w.plans["h:old"] = "old"
	w.add(record(1, 1, 1), record(2, 1, 2), record(3, 1, 3), record(4, 1, 4), record(5, 1, 5))
	return w
}

func TestReplayOfWhatTheStreamStillHolds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		want   []string
		gaps   float64
	}{
		"the whole range": {func(*world) {}, []string{"2-4 [2 3 4 ]", "5-5 [5 ]"}, 0},
		"its beginning is trimmed: the remainder goes under its name": {
			func(w *world) { w.records = w.records[3:] }, []string{"2-4 [4 ]", "5-5 [5 ]"}, 1},
		"all of it is trimmed: on behind it": {
			func(w *world) { w.records = w.records[4:] }, []string{"5-5 [5 ]"}, 1},
		"its end is trimmed away in between": {
			func(w *world) { w.records = append(w.records[1:2:2], w.records[4]) }, []string{"2-4 [2 ]", "5-5 [5 ]"}, 1},
		"nothing is left of a closed shard": {
			func(w *world) { w.records, w.closed = nil, true }, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := pendingWorld()
				c.change(w)
				s := w.worker(testPolicy(), "new")
				r := run(s)
				pass(5 * time.Minute)
				expect(t, "ranges", w.ranges(), c.want)
				expect(t, "gaps", valueOf(t, s.metrics.gaps), c.gaps)
				expect(t, "a gap is in the lease table", w.item.Gap != nil && w.item.Gap.First == "2" && w.item.Gap.Last == "4", c.gaps > 0)
				if len(w.flushed) > 1 {
					first := w.flushed[0]
					if first.plan != "old" || first.Generation != 7 || first.Truncated != (c.gaps > 0) {
						t.Errorf("replayed as %+v", first)
					}
					expect(t, "plan behind it", w.flushed[1].plan, "new")
				}
				_ = r.kill(nil)
			})
		})
	}
}

// An empty answer may be a throttled one: a quiet stream is no reason to pass over
// a range.
func TestAReplayWaitsForProofThatARangeIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pendingWorld()
		records := w.records
		w.records = nil
		s := w.worker(testPolicy(), "new")
		r := run(s)
		pass(time.Hour)
		expect(t, "checkpoint", w.item.Checkpoint, "1")
		expect(t, "state", s.progress.status("s").State, StateReplaying)
		w.add(records...)
		pass(5 * time.Minute)
		expect(t, "ranges", w.ranges(), []string{"2-4 [2 3 4 ]", "5-5 [5 ]"})
		expect(t, "stop", r.stop(), nil)
	})
}

func TestAStopLeavesAnUnfinishedReplayPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pendingWorld()
		w.records = w.records[:3] // 4 is not there yet
		r := run(w.worker(testPolicy(), "new"))
		pass(time.Minute)
		expect(t, "stop", r.stop(), nil)
		expect(t, "flushed", len(w.flushed), 0)
		expect(t, "pending", w.item.Pending != nil, true)
	})
}

func TestAReplayWithoutItsPlanParksTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pendingWorld()
		delete(w.plans, "h:old")
		s := w.worker(testPolicy(), "new")
		r := run(s)
		pass(time.Second)
		expect(t, "state", s.progress.status("s").State, StateParked)
		expect(t, "flushed", len(w.flushed), 0)
		expect(t, "stop", r.stop(), nil)
	})
}

func TestReplaysOfOneWorkerGoOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pendingWorld(), pendingWorld()
		busy, most := 0, 0
		slow := func(_ context.Context, r stream.Range) error {
			if r.First != "2" {
				return nil // not a replay
			}
			busy++
			most = max(most, busy)
			time.Sleep(time.Minute)
			busy--
			return nil
		}
		a.onFlush, b.onFlush = slow, slow
		first := a.worker(testPolicy(), "new")
		second := b.worker(testPolicy(), "new")
		second.fixed.replays = first.fixed.replays
		ra, rb := run(first), run(second)
		pass(90 * time.Second)
		expect(t, "replays at once", most, 1)
		pass(10 * time.Minute)
		expect(t, "first", a.item.Checkpoint, "5")
		expect(t, "second", b.item.Checkpoint, "5")
		expect(t, "stop", errors.Join(ra.stop(), rb.stop()), nil)
	})
}

// Three shards have a range to deliver again, and the worker has room for one of
// them: who waits for its turn takes none.
func TestReplaysThatWaitForTheirTurnTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := testPolicy()
		policy.RangeBytes, policy.WorkerBytes, policy.MaxBytes = 20, 20, 20
		var shared *fixed
		var worlds []*world
		var workers []*worker
		for n := range 3 {
			w := pendingWorld()
			for i := range w.records {
				w.records[i].Bytes = 6
			}
			w.scale = 6
			s := w.worker(policy, "new")
			s.id = stream.ShardID(fmt.Sprint("s", n))
			if shared == nil {
				shared = s.fixed
			}
			s.budget, s.replays = shared.budget, shared.replays
			worlds, workers = append(worlds, w), append(workers, run(s))
		}
		pass(10 * time.Minute)
		for n, w := range worlds {
			expect(t, fmt.Sprint("checkpoint of shard ", n), w.item.Checkpoint, "5")
			expect(t, "ranges", w.ranges(), []string{"2-4 [2 3 4 ]", "5-5 [5 ]"})
		}
		for _, r := range workers {
			expect(t, "stop", r.stop(), nil)
		}
	})
}

// The end of a range was trimmed while its shard was read, and nothing has come
// behind it. The other shards get their turn, and what is there is not passed over.
func TestAReplayThatFindsNoEndGivesOthersTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, other := pendingWorld(), pendingWorld()
		silent.records = silent.records[:3]
		first := silent.worker(testPolicy(), "new")
		second := other.worker(testPolicy(), "new")
		second.id, second.budget, second.replays = "other", first.budget, first.replays
		a := run(first)
		pass(time.Second)
		b := run(second)
		pass(5 * time.Minute)
		expect(t, "the other shard", other.item.Checkpoint, "5")
		expect(t, "the silent one", silent.item.Checkpoint, "1")
		silent.add(record(5, 1, 5))
		pass(5 * time.Minute)
		expect(t, "ranges", silent.ranges(), []string{"2-4 [2 3 ]", "5-5 [5 ]"})
		expect(t, "gaps", valueOf(t, first.metrics.gaps), 1)
		expect(t, "stop", errors.Join(a.stop(), b.stop()), nil)
	})
}
