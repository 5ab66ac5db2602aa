package cloudwatch

import (
	"context"
	"sync"
	"time"
)

const (
	// burst is how much of what was not used may be caught up with at once.
	burst = 250 * time.Millisecond
	// growth is how long a limiter that is used all the time takes from nothing to its
	// bound.
	growth = time.Minute
)

// limiter spaces calls evenly. It learns from throttling: it halves its rate, down to
// one call a second, and grows back with each call that is let through. It is safe for
// concurrent use.
type limiter struct {
	bound float64 // calls a second
	show  func(rate float64)

	mu    sync.Mutex
	rate  float64
	next  time.Time // when the next call may begin
	slows time.Time // when the rate was last cut
}

func newLimiter(bound float64, show func(float64)) *limiter {
	show(bound)
	return &limiter{bound: bound, rate: bound, show: show}
}

// wait returns when a call may begin, or with the cause of ctx's end.
func (l *limiter) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := time.Now()
	at := l.take(now)
	if deadline, ok := ctx.Deadline(); ok && at.After(deadline) {
		return context.DeadlineExceeded
	}
	d := at.Sub(now)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (l *limiter) take(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if earliest := now.Add(-burst); l.next.Before(earliest) {
		l.next = earliest
	}
	at := l.next
	l.next = at.Add(time.Duration(float64(time.Second) / l.rate))
	return at
}

// throttled halves the rate, once for all calls that had begun before it was halved.
func (l *limiter) throttled(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if began.Before(l.slows) {
		return
	}
	l.rate, l.slows = max(1, l.rate/2), time.Now()
	l.show(l.rate)
}

// passed lets the rate grow.
func (l *limiter) passed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate < l.bound {
		l.rate = min(l.bound, l.rate+l.bound/growth.Seconds()/l.rate)
		l.show(l.rate)
	}
}
