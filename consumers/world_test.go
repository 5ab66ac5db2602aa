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
	opens    atomic.Int64
	closes   atomic.Int64 // of readers
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

func (w *world) MarkGap(_ context.Context, g lease.Gap) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost {
		return lease.ErrLost
	}
	w.item.Gap = &g
	w.note("gap in %s-%s", g.First, g.Last)
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
func (r *fakeReader) Tip() time.Time        { return time.Time{} }

func (r *fakeReader) Close() { r.w.closes.Add(1) }

func (r *fakeReader) Await(ctx context.Context, until time.Time) (int64, error) {
	before := *r
	b, err := r.look()
	wait := time.Second
	if !until.IsZero() {
		wait = min(wait, time.Until(until))
	}
	if b.Sequence == "" && err == nil {
		if err = sleep(ctx, wait); err == nil {
			b, err = r.look()
		}
	}
	*r = before
	if b.Sequence == "" {
		return 0, err
	}
	return max(cost(b), 1), err
}

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
			w.opens.Add(1)
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
