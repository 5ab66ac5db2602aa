package consumers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tributary/consumers/lease"
	"tributary/schema"
	"tributary/stream"
)

func TestARangeGoesThroughItsStepsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		bad := record(11, 1)
		bad.Rejects = []schema.Reject{{Reason: "unknown format", Data: []byte("?")}}
		w.add(record(9, 1, 1, 2), record(10, 1, 3), bad)
		r := run(w.worker(testPolicy(), "plan"))
		pass(2 * time.Minute)
		expect(t, "steps", w.trace, []string{"prepare 9-11", "rejects 9-11", "flush 9-11", "map 11", "checkpoint 11"})
		expect(t, "ranges", w.ranges(), []string{"9-11 [1 2 3 ]"})
		for _, items := range w.rejected {
			if len(items) != 1 || items[0].Sequence != "11" || string(items[0].Data) != "?" {
				t.Errorf("rejects %+v", items)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		expect(t, "counters", r.metrics.counters(), Counters{Records: 3, Events: 3, Bytes: 3, Rejects: 1, Flushes: 1})
	})
}

func TestFlushesHappenWhenTheyAreDue(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Policy)
		want   []string
	}{
		"a record that would exceed range_bytes starts the next range": {
			func(p *Policy) { p.RangeBytes = 3 }, []string{"1-2 [1 2 3 ]", "3-4 [4 5 ]"}},
		"a sink that holds max_bytes": {
			func(p *Policy) { p.MaxBytes = 2 }, []string{"1-1 [1 2 ]", "2-3 [3 4 ]"}},
		"nothing before max_age": {func(p *Policy) { p.MaxAge = time.Hour }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.add(record(1, 1, 1, 2), record(2, 1, 3), record(3, 1, 4), record(4, 1, 5))
				p := testPolicy()
				p.MaxAge = time.Minute
				c.change(&p)
				r := run(w.worker(p, "plan"))
				pass(30 * time.Second)
				got := w.ranges()
				if name[0] == 'a' && name[2] == 'r' { // the rest flushes by age
					pass(time.Minute)
					got = w.ranges()
				}
				expect(t, "ranges", got, c.want)
				if err := r.stop(); err != nil {
					t.Error(err)
				}
				expect(t, "checkpoint after a stop", w.item.Checkpoint, "4")
			})
		})
	}
}

func TestStopDuringASlowFlushLetsItFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onFlush = func(ctx context.Context, _ stream.Range) error { return sleep(ctx, 20*time.Second) }
		w.add(record(1, 1, 1))
		p := testPolicy()
		p.MaxBytes = 1
		r := run(w.worker(p, "plan"))
		pass(5 * time.Second)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		expect(t, "steps", w.trace, []string{"prepare 1-1", "flush 1-1", "map 1", "checkpoint 1"})
	})
}

func TestALeaseLostDuringASlowFlushIsNeverCheckpointed(t *testing.T) {
	for name, flush := range map[string]func(context.Context) error{
		"the flush heeds its context": func(ctx context.Context) error { return sleep(ctx, 20*time.Second) },
		"the flush succeeds all the same": func(context.Context) error {
			time.Sleep(20 * time.Second)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.onFlush = func(ctx context.Context, _ stream.Range) error { return flush(ctx) }
				w.add(record(1, 1, 1))
				p := testPolicy()
				p.MaxBytes = 1
				r := run(w.worker(p, "plan"))
				pass(5 * time.Second)
				w.mu.Lock()
				w.lost = true
				w.mu.Unlock()
				r.held(lease.ErrLost)
				if err := <-r.done; !errors.Is(err, lease.ErrLost) {
					t.Errorf("error %v", err)
				}
				r.reading(nil)
				expect(t, "checkpoint", w.item.Checkpoint, "")
				if w.item.Pending == nil {
					t.Error("the pending range is gone: nobody would replay it")
				}
			})
		})
	}
}

func TestTheEndOfTheDrainLeavesTheRangePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onFlush = func(context.Context, stream.Range) error { return errors.New("down") }
		w.add(record(1, 1, 1))
		p := testPolicy()
		p.MaxBytes = 1
		r := run(w.worker(p, "plan"))
		pass(time.Second)
		r.reading(context.Canceled)
		pass(20 * time.Second)
		r.held(errDrained)
		if err := <-r.done; !errors.Is(err, errDrained) {
			t.Errorf("error %v", err)
		}
		expect(t, "checkpoint", w.item.Checkpoint, "")
		expect(t, "pending", w.item.Pending != nil, true)
	})
}

func TestTheLagGrowsWhileAShardIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onFlush = func(context.Context, stream.Range) error { return stream.Permanent(errors.New("no")) }
		w.add(record(1, 1, 1))
		p := testPolicy()
		p.MaxBytes, p.ParkedRetry = 1, time.Hour
		s := w.worker(p, "plan")
		r := run(s)
		pass(30 * time.Minute)
		if lag := valueOf(t, s.metrics.lag.WithLabelValues("s")); lag < 1790 {
			t.Errorf("lag %v s after half an hour", lag)
		}
		expect(t, "stop", r.stop(), nil)
	})
}

func TestAnUnknownFailureIsRetriedWithTheSameRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var tried []stream.Range
		w.onFlush = func(_ context.Context, r stream.Range) error {
			if tried = append(tried, r); len(tried) < 4 {
				return errors.New("access denied")
			}
			return nil
		}
		w.add(record(1, 1, 1), record(2, 1, 2))
		p := testPolicy()
		p.MaxAge = time.Second
		s := w.worker(p, "plan")
		r := run(s)
		pass(time.Minute)
		if len(tried) != 4 || tried[3] != tried[0] {
			t.Errorf("tried %v", tried)
		}
		expect(t, "ranges", w.ranges(), []string{"1-2 [1 2 ]"})
		expect(t, "state", s.progress.status("s").State, StateReading)
		expect(t, "retries", valueOf(t, s.metrics.retries.WithLabelValues(stepFlush)), 3.0)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What stops one shard is seen, and tried again without restart; delivery goes on
// exactly where it stopped.
func TestAStoppedShardShowsItsErrorAndTriesAgainSlowly(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func() error
		state State
	}{
		"a permanent failure":   {func() error { return stream.Permanent(errors.New("broken")) }, StateParked},
		"a panic":               {func() error { panic("broken") }, StateParked},
		"a flush that is stuck": {func() error { return errors.New("broken") }, StateStuck},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				var broken atomic.Bool
				broken.Store(true)
				w.onFlush = func(context.Context, stream.Range) error {
					if broken.Load() {
						return c.fail()
					}
					return nil
				}
				w.add(record(1, 1, 1), record(2, 1, 2))
				p := testPolicy()
				p.MaxAge, p.StuckAfter, p.ParkedRetry = time.Second, time.Minute, 5*time.Minute
				s := w.worker(p, "plan")
				r := run(s)
				pass(3 * time.Minute)
				status := s.progress.status("s")
				if status.State != c.state || status.Error == "" {
					t.Errorf("status %+v", status)
				}
				expect(t, "held while stopped", s.budget.bytes(), 0)
				broken.Store(false)
				w.add(record(3, 1, 3))
				pass(time.Hour)
				expect(t, "ranges", w.ranges(), []string{"1-2 [1 2 ]", "3-3 [3 ]"})
				expect(t, "checkpoint", w.item.Checkpoint, "3")
				expect(t, "parked", valueOf(t, s.metrics.parked.WithLabelValues("s")), 0.0)
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestARecordTheSinkRefusesParksTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onAppend = func(stream.Batch) error { return stream.Permanent(errors.New("no")) }
		w.add(record(1, 1, 1))
		s := w.worker(testPolicy(), "plan")
		r := run(s)
		pass(time.Second)
		expect(t, "state", s.progress.status("s").State, StateParked)
		w.mu.Lock()
		w.claimed = true
		w.mu.Unlock()
		if err := <-r.done; err != nil { // whoever claims it may have its luck
			t.Error(err)
		}
		r.reading(nil)
		r.held(nil)
	})
}

func TestAClosedShardEndsWithItsMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(record(1, 1, 1))
		w.closed = true
		r := run(w.worker(testPolicy(), "plan"))
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		expect(t, "steps", w.trace, []string{"prepare 1-1", "flush 1-1", "map 1", "checkpoint 1", "map SHARD_END", "checkpoint SHARD_END"})
		child := newWorld()
		child.maps = w.maps
		child.add(record(5, 1, 1, 2)) // offset 1 was delivered from the parent
		s := child.worker(testPolicy(), "plan")
		s.parents = []lease.Place{{Shard: "s", Sequence: lease.ShardEnd}, {Shard: "unknown", Sequence: lease.ShardEnd}}
		c := run(s)
		pass(2 * time.Minute)
		expect(t, "child's ranges", child.ranges(), []string{"5-5 [2 ]"})
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		// A child without a map at its checkpoint, as without two phases.
		young := newWorld()
		young.maps = w.maps
		young.item.Checkpoint = "4"
		young.add(record(6, 1, 1, 2))
		s = young.worker(testPolicy(), "plan")
		s.parents = []lease.Place{{Shard: "s", Sequence: lease.ShardEnd}}
		c = run(s)
		pass(2 * time.Minute)
		expect(t, "young child's ranges", young.ranges(), []string{"6-6 [2 ]"})
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		r.reading(nil)
		r.held(nil)
	})
}

func TestAClaimedShardIsFlushedAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(record(1, 1, 1))
		r := run(w.worker(testPolicy(), "plan"))
		pass(time.Second)
		w.mu.Lock()
		w.claimed = true
		w.mu.Unlock()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		expect(t, "checkpoint", w.item.Checkpoint, "1")
		r.reading(nil)
		r.held(nil)
	})
}

func TestDuplicatesAreDroppedAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(record(1, 1, 1, 2), record(2, 1, 2, 3), record(3, 2, 1))
		r := run(w.worker(testPolicy(), "plan"))
		pass(2 * time.Minute)
		expect(t, "stop", r.stop(), nil)
		foreign := record(6, 0, 0, 0)
		foreign.Epoch = schema.Epoch{}
		w.add(record(4, 1, 1, 3), record(5, 2, 1, 2), foreign)
		r = run(w.worker(testPolicy(), "plan"))
		pass(2 * time.Minute)
		expect(t, "stop", r.stop(), nil)
		expect(t, "ranges", w.ranges(), []string{"1-3 [1 2 3 1 ]", "4-6 [2 0 0 ]"})
		expect(t, "duplicates", r.metrics.counters().Duplicates, 3)
		expect(t, "maps kept", len(w.maps), 1)
	})
}

func TestARangeOfDuplicatesOnlyIsFlushedEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(record(1, 1, 1))
		p := testPolicy()
		p.MaxAge = time.Second
		r := run(w.worker(p, "plan"))
		pass(time.Minute)
		w.add(record(2, 1, 1))
		pass(time.Minute)
		expect(t, "ranges", w.ranges(), []string{"1-1 [1 ]", "2-2 []"})
		expect(t, "checkpoint", w.item.Checkpoint, "2")
		expect(t, "stop", r.stop(), nil)
	})
}

// Without two phases a checkpoint may be put off while the next range fills: the
// map of that moment is ahead and must not be stored for it.
func TestAMapIsNeverAheadOfItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p := testPolicy()
		p.TwoPhase, p.MaxBytes, p.MaxAge, p.CheckpointEvery = false, 2, time.Hour, 90*time.Second
		s := w.worker(p, "plan")
		r := run(s)
		w.add(record(1, 1, 1, 2)) // flushed by size; checkpointed as the first
		pass(80 * time.Second)
		w.add(record(2, 1, 3, 4)) // flushed; its checkpoint is put off
		pass(5 * time.Second)
		w.add(record(3, 1, 5)) // waits in the sink
		pass(time.Minute)
		expect(t, "checkpoint", w.item.Checkpoint, "2")
		expect(t, "killed", r.kill(lease.ErrLost) != nil, true)
		r = run(w.worker(p, "plan"))
		pass(time.Second)
		expect(t, "stop", r.stop(), nil)
		expect(t, "ranges", w.ranges(), []string{"1-1 [1 2 ]", "2-2 [3 4 ]", "3-3 [5 ]"})
	})
}

func TestWhatWasReadOfADeletedStreamIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.add(record(1, 1, 1))
		s := w.worker(testPolicy(), "plan")
		r := run(s)
		pass(time.Second)
		w.mu.Lock()
		w.readErr = stream.Permanent(errors.New("no such stream"))
		w.mu.Unlock()
		pass(10 * time.Second)
		expect(t, "ranges", w.ranges(), []string{"1-1 [1 ]"})
		expect(t, "state", s.progress.status("s").State, StateParked)
		expect(t, "stop", r.stop(), nil)
	})
}

// claimer has the shard claimed once it was opened a second time, when it is about to
// take a record.
type claimer struct {
	*fakeReader
}

func (c claimer) Await(ctx context.Context, until time.Time) (int64, error) {
	n, err := c.fakeReader.Await(ctx, until)
	if c.w.opens.Load() > 1 {
		c.w.mu.Lock()
		c.w.claimed = true
		c.w.mu.Unlock()
	}
	return n, err
}

func TestAShardWhoseLastFlushFailedIsNotOverForItsNextHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		early, late := record(1, 1, 1), record(2, 1, 2)
		early.Arrival, late.Arrival = time.Unix(100, 0), time.Unix(200, 0)
		w.add(early, late)
		w.onFlush = func(context.Context, stream.Range) error { return stream.Permanent(errors.New("no")) }
		p := testPolicy()
		p.TwoPhase = false // with two the pending range would be replayed first
		s := w.worker(p, "plan")
		s.until = time.Unix(150, 0)
		open := s.open
		s.open = func(from stream.Position) (reader, error) {
			r, err := open(from)
			return claimer{r.(*fakeReader)}, err
		}
		r := run(s)
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		if w.item.Checkpoint == lease.ShardEnd {
			t.Error("it ended, and nothing was flushed")
		}
		r.reading(nil)
		r.held(nil)
	})
}
