package consumers

import (
	"context"
	"errors"
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
		expect(t, "large", b.admit(t.Context(), "large", 70), admitted)
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
