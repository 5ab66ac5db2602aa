package held

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// Budget is the memory that all sinks of a destination may encode in. It is safe
// for concurrent use.
type Budget struct {
	limit int64
	room  *semaphore.Weighted
	gauge prometheus.Gauge
}

// NewBudget returns one of limit bytes; the gauge follows what is taken of it.
func NewBudget(limit int64, gauge prometheus.Gauge) *Budget {
	return &Budget{limit, semaphore.NewWeighted(limit), gauge}
}

// Reserve waits for n bytes, all of the budget for larger n, and returns what gives
// parts of it back.
func (b *Budget) Reserve(ctx context.Context, n int64) (*Reservation, error) {
	n = min(n, b.limit)
	if err := b.room.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for memory to encode: %w", err)
	}
	b.gauge.Add(float64(n))
	return &Reservation{b, n}, nil
}

// Reservation is a share of a budget. One goroutine uses it.
type Reservation struct {
	budget *Budget
	n      int64
}

// Shrink keeps at most n bytes.
func (r *Reservation) Shrink(n int64) {
	if n >= r.n {
		return
	}
	r.budget.gauge.Sub(float64(r.n - n))
	r.budget.room.Release(r.n - n)
	r.n = n
}
