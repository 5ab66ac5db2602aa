package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"tributary/consumers/lease"
	"tributary/schema"
	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what outlives a worker: the stream, the lease item, the state table,
// the destination.
type world struct {
	mu       sync.Mutex
	records  []stream.Batch
	closed   bool
	readErr  error
	item     lease.Item
	lost     bool
	claimed  bool
	maps     map[lease.Place][]byte
	plans    map[string]string
	rejected map[stream.Range][]Reject
	trace    []string // prepare, flush, map, checkpoint in their order

	flushed  []flushed
	onFlush  func(ctx context.Context, r stream.Range) error // before anything is stored
	onAppend func(b stream.Batch) error
	scale    int64 // Size per event
}

// flushed is one successful flush, with the plan of its sink.
type flushed struct {
	stream.Range
	plan   string
	events string // their offsets
}

func newWorld() *world {
	return &world{maps: map[lease.Place][]byte{}, plans: map[string]string{}, rejected: map[stream.Range][]Reject{}, scale: 1}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// Item and the rest make the world a holding.
func (w *world) Item() lease.Item { w.mu.Lock(); defer w.mu.Unlock(); return w.item }
func (w *world) Valid() bool      { w.mu.Lock(); defer w.mu.Unlock(); return !w.lost }
func (w *world) Claimed() bool    { w.mu.Lock(); defer w.mu.Unlock(); return w.claimed }

func (w *world) Prepare(_ context.Context, p lease.Pending) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost {
		return lease.ErrLost
	}
	if w.item.Pending != nil && *w.item.Pending != p {
		return errors.New("another range is pending")
	}
	w.item.Pending = &p
	w.note("prepare %s-%s", p.First, p.Last)
	return nil
}

func (w *world) Checkpoint(_ context.Context, s stream.SequenceNumber) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost {
		return lease.ErrLost
	}
	w.item.Previous, w.item.Checkpoint, w.item.Pending = w.item.Checkpoint, s, nil
	w.note("checkpoint %s", s)
	return nil
}

func (w *world) PutSnapshot(_ context.Context, p lease.Place, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.maps[p]; !ok {
		w.maps[p] = data
	}
	w.note("map %s", p.Sequence)
	return nil
}

func (w *world) Snapshot(_ context.Context, p lease.Place) ([]byte, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	data, ok := w.maps[p]
	return data, ok, nil
}

func (w *world) DropSnapshot(_ context.Context, p lease.Place) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.maps, p)
	return nil
}

func (w *world) Plan(_ context.Context, hash string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, ok := w.plans[hash]
	if !ok {
		return "", stream.Permanent(errors.New("no such plan"))
	}
	return text, nil
}

// Put makes the world a reject store.
func (w *world) Put(_ context.Context, r stream.Range, items []Reject) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rejected[r] = items
	w.note("rejects %s-%s", r.First, r.Last)
	return nil
}

// fakeReader reads the world's records in their order.
type fakeReader struct {
	w     *world
	after stream.SequenceNumber
	at    stream.SequenceNumber
}

func (r *fakeReader) Behind() time.Duration { return 0 }

func (r *fakeReader) Next(ctx context.Context) (stream.Batch, error) {
	if b, err := r.look(); b.Sequence != "" || err != nil {
		return b, err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return stream.Batch{}, err
	}
	return r.look()
}

func (r *fakeReader) look() (stream.Batch, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.readErr != nil {
		return stream.Batch{}, r.w.readErr
	}
	for _, b := range r.w.records {
		if b.Sequence.Compare(r.after) > 0 && b.Sequence.Compare(r.at) >= 0 {
			r.after = b.Sequence
			b.Events = slices.Clone(b.Events) // each read decodes anew
			return b, nil
		}
	}
	if r.w.closed {
		return stream.Batch{}, stream.ErrShardClosed
	}
	return stream.Batch{}, nil
}

type fakeSink struct {
	w      *world
	plan   string
	events []schema.Event
}

func (s *fakeSink) Append(b stream.Batch) error {
	if s.w.onAppend != nil {
		if err := s.w.onAppend(b); err != nil {
			return err
		}
	}
	s.events = append(s.events, b.Events...)
	return nil
}

func (s *fakeSink) Size() int64 { return int64(len(s.events)) * s.w.scale }

func (s *fakeSink) Flush(ctx context.Context, r stream.Range) error {
	if s.w.onFlush != nil {
		if err := s.w.onFlush(ctx, r); err != nil {
			return err
		}
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	f := flushed{Range: r, plan: s.plan}
	for _, e := range s.events {
		f.events += fmt.Sprint(e.Offset, " ")
	}
	s.w.flushed = append(s.w.flushed, f)
	s.w.note("flush %s-%s", r.First, r.Last)
	s.events = nil
	return nil
}

// record is one record with events at the given offsets of a lane.
func record(sequence int, lane uint32, offsets ...uint64) stream.Batch {
	b := stream.Batch{Shard: "s", Sequence: stream.SequenceNumber(fmt.Sprint(sequence)), Arrival: time.Now(), Epoch: schema.Epoch{1}, Lane: lane, Bytes: int64(len(offsets))}
	for i, o := range offsets {
		b.Events = append(b.Events, schema.Event{Offset: o, Index: uint32(i)})
	}
	return b
}

func (w *world) add(records ...stream.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, records...)
}

// worker is one process' life on the world's shard.
type worker struct {
	*shard
	start         func()
	reading, held func(error)
	done          chan error
}

func testPolicy() Policy {
	p := DefaultPolicy()
	p.RangeBytes, p.WorkerBytes, p.MaxBytes = 1000, 1000, 1000
	return p
}

func (w *world) worker(policy Policy, planText string) *shard {
	w.plans["h:"+planText] = planText
	b := newBudget(policy.WorkerBytes)
	f := &fixed{
		policy: policy, entries: 1024, rejects: w, maps: w, plans: w, budget: b,
		plan:    plan{text: planText, hash: "h:" + planText},
		replays: make(chan struct{}, 1),
		metrics: newMetrics(prometheus.NewRegistry(), func() float64 { return float64(b.bytes()) }),
		log:     slog.New(slog.DiscardHandler),
		dest: Destination{Plan: planText, Open: func(_ context.Context, _ stream.ShardID, plan string) (Sink, error) {
			return &fakeSink{w: w, plan: plan}, nil
		}},
	}
	return &shard{
		fixed: f, id: "s", lease: w, start: stream.TrimHorizon(), log: f.log,
		open: func(from stream.Position) (reader, error) {
			r := &fakeReader{w: w}
			if p := w.item.Pending; p != nil && from == stream.At(p.First) {
				r.at = p.First
			} else {
				r.after = w.item.Checkpoint
			}
			return r, nil
		},
	}
}

// run starts the shard; stop and kill end what its two contexts stand for.
func run(s *shard) *worker {
	w := newWorker(s)
	w.start()
	return w
}

func newWorker(s *shard) *worker {
	w := &worker{shard: s, done: make(chan error, 1)}
	reading, stop := context.WithCancelCause(context.Background())
	held, kill := context.WithCancelCause(context.Background())
	w.reading, w.held = stop, kill
	w.start = func() { go func() { w.done <- s.run(reading, held) }() }
	return w
}

func (w *worker) stop() error { w.reading(context.Canceled); err := <-w.done; w.held(nil); return err }
func (w *worker) kill(cause error) error {
	w.held(cause)
	w.reading(cause)
	return <-w.done
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// pass lets time pass, and everything that is due by then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func (w *world) ranges() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.flushed {
		all = append(all, fmt.Sprintf("%s-%s [%s]", f.First, f.Last, f.events))
	}
	return all
}

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
