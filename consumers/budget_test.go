package consumers

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tributary/stream"
)

func TestTheLargestFlushesAndTheOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		expect(t, "small", b.admit(t.Context(), "small", 20), admitted)
		b.hold("small", 20)
		expect(t, "large", b.admit(t.Context(), "large", 70), admitted)
		b.hold("large", 70)
		began := time.Now()
		expect(t, "small, no room", b.admit(t.Context(), "small", 20), askAgain)
		expect(t, "waited", time.Since(began), patience)
		expect(t, "wanted of the large", b.wanted("large"), true)
		expect(t, "wanted of the small", b.wanted("small"), false)
		expect(t, "large, no room", b.admit(t.Context(), "large", 20), flushFirst)
		go func() {
			time.Sleep(300 * time.Millisecond)
			b.hold("large", 0)
		}()
		began = time.Now()
		expect(t, "small, woken", b.admit(t.Context(), "small", 20), askAgain)
		expect(t, "woken after", time.Since(began), 300*time.Millisecond)
		expect(t, "small, room", b.admit(t.Context(), "small", 20), admitted)
		expect(t, "bytes", b.bytes(), 40)
		time.Sleep(pressure)
		expect(t, "pressure is over", b.wanted("small"), false)
	})
}

func TestFailingSinksAreDroppedOnlyWhenNobodyElseCanGive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		b.hold("failing", 60)
		b.update("failing", func(h *holder) { h.failing = true })
		b.hold("healthy", 40)
		expect(t, "healthy gives first", b.admit(t.Context(), "healthy", 10), flushFirst)
		expect(t, "evicted while another can give", b.evicted("failing"), false)
		b.hold("failing", 95)
		b.hold("healthy", 0)
		expect(t, "healthy waits", b.admit(t.Context(), "healthy", 10), askAgain)
		expect(t, "evicted", b.evicted("failing"), true)
		b.drop("failing")
		expect(t, "healthy goes on", b.admit(t.Context(), "healthy", 10), admitted)
	})
}

func TestAReplayTakesItsTurnWhenTheOthersHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		b.hold("replay", 90)
		b.update("replay", func(h *holder) { h.replaying = true })
		b.hold("other", 10)
		expect(t, "while another can flush", b.admit(t.Context(), "replay", 50), askAgain)
		expect(t, "the other is asked to", b.wanted("other"), true)
		b.hold("other", 0)
		expect(t, "beyond the bound rather than never", b.admit(t.Context(), "replay", 50), admitted)
		b.hold("replay", 140)
		expect(t, "the other waits for its end", b.admit(t.Context(), "other", 1), askAgain)
	})
}

func TestARecordLargerThanTheBoundIsTakenAlone(t *testing.T) {
	b := newBudget(10)
	expect(t, "admitted", b.admit(t.Context(), "s", 50), admitted)
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		b.hold("other", 10)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		b.admit(ctx, "s", 5)
		expect(t, "waited", time.Since(began), 0)
	})
}

// Two shards share a budget that holds less than both need, and one of them has a
// destination that is down: the other goes on, and in the end all is delivered.
func TestShardsInOneBudgetDoNotBlockEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy, sick := newWorld(), newWorld()
		for n := 1; n <= 40; n++ {
			healthy.add(record(n, 1, uint64(n)))
			sick.add(record(n, 1, uint64(n)))
		}
		var down atomic.Bool
		down.Store(true)
		sick.onFlush = func(context.Context, stream.Range) error {
			if down.Load() {
				return errors.New("down")
			}
			return nil
		}
		p := testPolicy()
		p.WorkerBytes, p.MaxBytes, p.MaxAge = 30, 25, 10*time.Second
		a, b := healthy.worker(p, "plan"), sick.worker(p, "plan")
		b.id = "sick"
		b.fixed.budget = a.fixed.budget
		ra, rb := run(a), run(b)
		pass(2 * time.Minute)
		expect(t, "the healthy one", healthy.item.Checkpoint, "40")
		expect(t, "the sick one", sick.item.Checkpoint, "")
		down.Store(false)
		pass(time.Hour)
		expect(t, "the sick one, mended", sick.item.Checkpoint, "40")
		expect(t, "stop", errors.Join(ra.stop(), rb.stop()), nil)
		expect(t, "held", a.budget.bytes(), 0)
	})
}

// decoding counts what its reader has decoded and nobody has flushed yet.
type decoding struct {
	reader
	live, peak *atomic.Int64
}

func (d decoding) Await(ctx context.Context, until time.Time) (int64, error) {
	n, err := d.reader.Await(ctx, until)
	return 3 * n, err // what it may be is more than what it is
}

func (d decoding) Next(ctx context.Context) (stream.Batch, error) {
	b, err := d.reader.Next(ctx)
	if now := d.live.Add(cost(b)); now > d.peak.Load() {
		d.peak.Store(now)
	}
	return b, err
}

// Sixty-four shards that could each fill the budget hold no more than its bound
// together, records on their way to a sink included, and all are delivered.
func TestSixtyFourShardsStayWithinWorkerBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, records, bound = 64, 20, 200
		p := testPolicy()
		p.WorkerBytes, p.MaxBytes, p.RangeBytes, p.MaxAge = bound, bound, bound, 10*time.Second
		b := newBudget(bound)
		var live, peak atomic.Int64
		var workers []*worker
		var worlds []*world
		for n := range shards {
			w := newWorld()
			for i := 1; i <= records; i++ {
				w.add(record(i, 1, uint64(3*i), uint64(3*i+1), uint64(3*i+2)))
			}
			w.onFlush = func(ctx context.Context, r stream.Range) error {
				if err := sleep(ctx, time.Second); err != nil {
					return err
				}
				var first, last int64
				fmt.Sscan(string(r.First), &first)
				fmt.Sscan(string(r.Last), &last)
				live.Add(-3 * (last - first + 1))
				return nil
			}
			s := w.worker(p, "plan")
			s.id, s.fixed.budget = stream.ShardID(fmt.Sprint(n)), b
			open := s.open
			s.open = func(from stream.Position) (reader, error) {
				r, err := open(from)
				return decoding{r, &live, &peak}, err
			}
			worlds, workers = append(worlds, w), append(workers, run(s))
		}
		most := int64(0)
		done := func() (n int) {
			for _, w := range worlds {
				if w.Item().Checkpoint == stream.SequenceNumber(fmt.Sprint(records)) {
					n++
				}
			}
			return n
		}
		for began := time.Now(); done() < shards && time.Since(began) < time.Hour; time.Sleep(50 * time.Millisecond) {
			most = max(most, b.bytes())
		}
		t.Logf("%d shards: at most %d bytes decoded, %d counted, of %d", shards, peak.Load(), most, bound)
		if n := done(); n != shards {
			t.Errorf("%d of %d shards delivered", n, shards)
		}
		if peak.Load() > bound || most > bound || peak.Load() < bound/2 {
			t.Errorf("at most %d bytes decoded, %d counted", peak.Load(), most)
		}
		for _, w := range workers {
			expect(t, "stop", w.stop(), nil)
		}
		expect(t, "held in the end", b.bytes(), 0)
		opened, closed := int64(0), int64(0)
		for _, w := range worlds {
			opened, closed = opened+w.opens.Load(), closed+w.closes.Load()
		}
		expect(t, "readers closed", closed, opened)
	})
}
