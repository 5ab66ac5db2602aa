package fluent

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// budget is the memory that connections borrow for requests beyond their own
// buffer. It has two parts: a shared one, and a reserve large enough for the
// largest request, which has one holder at a time.
//
// Why a reserve: connection A holds 10 MiB of a 16 MiB request, B the same, and
// nothing is left. Both would wait for the other for ever. Instead one of them
// becomes the holder, who never waits again until its request is stored; then
// the next one does. The client cannot delay that: stall_timeout ends a holder whose
// client is silent, request_timeout one whose client is slow.
type budget struct {
	held    prometheus.Gauge
	waiting atomic.Int64 // connections, for memory

	mu    sync.Mutex
	free  int64         // of the shared part
	lent  bool          // the reserve has a holder
	freed chan struct{} // closed and replaced when something is given back
}

func newBudget(shared int64, held prometheus.Gauge) *budget {
	return &budget{held: held, free: shared, freed: make(chan struct{})}
}

// loan is what one connection has borrowed. One goroutine uses it.
type loan struct {
	from     *budget
	shared   int64
	reserved int64
	holder   bool // of the reserve
}

// take borrows n bytes. It waits while there are none; an error is ctx's.
func (l *loan) take(ctx context.Context, n int64) error {
	for {
		freed, ok := l.try(n)
		if ok {
			l.from.held.Add(float64(n))
			return nil
		}
		if err := l.wait(ctx, freed); err != nil {
			return err
		}
	}
}

func (l *loan) wait(ctx context.Context, freed <-chan struct{}) error {
	l.from.waiting.Add(1)
	defer l.from.waiting.Add(-1)
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *loan) try(n int64) (freed chan struct{}, ok bool) {
	b := l.from
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !l.holder && n <= b.free:
		b.free -= n
		l.shared += n
		return nil, true
	case !l.holder && b.lent:
		return b.freed, false
	}
	b.lent, l.holder = true, true
	l.reserved += n
	return nil, true
}

// giveBack returns n of the bytes taken, those of the reserve first.
func (l *loan) giveBack(n int64) {
	if n == 0 {
		return
	}
	b := l.from
	b.mu.Lock()
	defer b.mu.Unlock()
	fromReserve := min(n, l.reserved)
	l.reserved -= fromReserve
	l.shared -= n - fromReserve
	b.free += n - fromReserve
	b.held.Sub(float64(n))
	if l.holder && l.reserved == 0 && l.shared == 0 {
		b.lent, l.holder = false, false
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

// settle returns all that is still borrowed.
func (l *loan) settle() { l.giveBack(l.shared + l.reserved) }
