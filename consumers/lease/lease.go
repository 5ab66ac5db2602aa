package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"tributary/stream"
)

// ErrLost says that this worker no longer holds the lease, or cannot know that
// it does. Nothing of the shard may be made durable any more.
var ErrLost = errors.New("lease lost")

// Lease is a held lease. Safe for concurrent use: its writes happen one at a
// time, because each is conditional on the counter that the one before it wrote.
type Lease struct {
	table *Table
	start Start
	write chan struct{} // holds a token through a write and its settling

	mu     sync.Mutex // guards the rest, never held during I/O
	item   Item       // as this worker last wrote it
	report *Report
	until  time.Time
	lost   error
}

// Item is the row as last written; Claim is the one exception, it is as last seen.
func (l *Lease) Item() Item {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.item
}

// Start is where the shard was told to begin when it was reset: for as long as it
// has no checkpoint.
func (l *Lease) Start() Start { return l.start }

// Until is when this worker must consider the lease lost, unless it writes before.
// It is counted from before the last successful write was sent; others count from
// when they saw that write, which is later.
func (l *Lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// Valid reports whether the lease is still held as far as anyone can know here.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost == nil && time.Now().Before(l.until)
}

// Claimed reports whether another worker asked for the lease.
func (l *Lease) Claimed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.item.Claim != "" && l.item.Claim != l.table.cfg.Worker
}

// Notice tells the lease of a claim that was seen in the table since its last
// write, so that the owner need not wait for its next one.
func (l *Lease) Notice(claim string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.item.Claim = claim
}

// Renew prolongs the lease. It tries until the lease has run out and then returns
// ErrLost.
func (l *Lease) Renew(ctx context.Context) error {
	return l.change(ctx, "renew lease", func(*Item) error { return nil })
}

// Prepare writes the range about to be flushed. There is at most one: a second
// Prepare before the checkpoint is refused, the same one again is not written.
func (l *Lease) Prepare(ctx context.Context, p Pending) error {
	if have := l.Item().Pending; have != nil && *have == p {
		return nil
	}
	return l.change(ctx, "prepare", func(i *Item) error {
		if i.Pending != nil {
			return fmt.Errorf("range %s to %s is pending already", i.Pending.First, i.Pending.Last)
		}
		i.Pending = &p
		return nil
	})
}

// Checkpoint writes the last durable sequence number, or ShardEnd, and clears
// what is pending. It never goes backwards.
func (l *Lease) Checkpoint(ctx context.Context, s stream.SequenceNumber) error {
	return l.change(ctx, "checkpoint", func(i *Item) error {
		if !isSequence(s) && s != ShardEnd {
			return fmt.Errorf("%q is no sequence number", s)
		}
		if before(s, i.Checkpoint) {
			return fmt.Errorf("%s is before the checkpoint at %s", s, i.Checkpoint)
		}
		if s != i.Checkpoint {
			i.Previous = i.Checkpoint
		}
		i.Checkpoint, i.Pending = s, nil
		return nil
	})
}

// before orders checkpoints; ShardEnd is behind every sequence number.
func before(a, b stream.SequenceNumber) bool {
	switch {
	case b == "" || a == b || a == ShardEnd:
		return false
	case b == ShardEnd:
		return true
	}
	return a.Compare(b) < 0
}

// Release gives the lease up, so that others need not wait for it to run out. settled
// says that nothing beyond the checkpoint can have been delivered. The Lease is of no
// use afterwards, whatever is returned.
func (l *Lease) Release(ctx context.Context, settled bool) error {
	err := l.change(ctx, "release lease", func(i *Item) error {
		i.Owner, i.Report, i.Unsettled = "", nil, !settled
		return nil
	})
	l.fail(errReleased)
	return err
}

var errReleased = fmt.Errorf("%w: released", ErrLost)

// change makes one conditional write and does not return before it is known what
// came of it, or that the lease is gone.
func (l *Lease) change(ctx context.Context, action string, mutate func(*Item) error) error {
	select {
	case l.write <- struct{}{}:
		defer func() { <-l.write }()
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", action, l.Item().Shard, context.Cause(ctx))
	}
	l.mu.Lock()
	seen, report, until, err := l.item, l.report, l.until, l.lost
	l.mu.Unlock()
	if err == nil && !time.Now().Before(until) {
		err = l.fail(fmt.Errorf("%w: not renewed in time", ErrLost))
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	want := seen
	want.Report = report
	if err == nil {
		err = mutate(&want)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", action, seen.Shard, err)
	}
	l.table.stamp(&want, time.Now())
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	got, sent, err := l.table.replace(bounded, seen, want, ownerAndCounter)
	if err != nil {
		return fmt.Errorf("%s %s: %w", action, seen.Shard, l.fail(err))
	}
	l.adopt(got, sent)
	return nil
}

func (l *Lease) adopt(i Item, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.item, l.until = i, sent.Add(l.table.cfg.Duration)
}

// fail ends the lease for this worker; the first reason stays.
func (l *Lease) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost = err
	}
	return err
}

// stamp makes want the successor of what was seen.
func (t *Table) stamp(want *Item, sent time.Time) {
	want.Counted = true
	want.Counter++
	if want.Claim == t.cfg.Worker { // what was asked for is here
		want.Claim = ""
	}
	want.Duration = t.cfg.Duration
	want.Timeout = sent.Add(t.cfg.Duration).UTC().Format(time.RFC3339Nano)
}

// replace writes want over seen and settles an unknown outcome. It returns the item
// as it stands and a moment before the attempt that landed was sent, or an error that
// wraps ErrLost.
//
// Why settling is safe: the write carries seen's counter, so at most one of its
// attempts lands, and none can land once any other write has. Suppose the first
// attempt times out in the network, the read finds the item unchanged and the
// second attempt lands: when the first arrives at last, its condition fails.
// Suppose it arrives before the second: the second's condition fails, and the
// read that follows finds exactly what was wanted. The timeout text in want names
// this write alone, so another's write cannot be mistaken for it.
//
// For the same reason an attempt that succeeds is the one that landed: a lease that
// was throttled for long and then written lasts its whole duration.
func (t *Table) replace(ctx context.Context, seen, want Item, cond condition) (Item, time.Time, error) {
	var unknown time.Time // before the first attempt whose outcome is not known
	for attempt := 0; ; attempt++ {
		sent := time.Now()
		got, err := t.update(ctx, seen, want, cond)
		if err == nil {
			t.outcome(attempt)
			return got, sent, nil
		}
		cause := err
		if unknown.IsZero() && !isThrottled(cause) {
			unknown = sent
		}
		// What was throttled was not done: a read would tell nothing and add to what
		// throttles the table, just when every lease in it needs its renewal.
		if err = cause; !isThrottled(cause) {
			got, err = t.read(ctx, seen.Shard)
		}
		switch {
		case err != nil: // nothing learned; the same write again is safe
		case same(got, want):
			t.metrics.settled.Inc()
			return got, unknown, nil
		case !same(got, seen):
			t.metrics.lost.Inc()
			return Item{}, sent, fmt.Errorf("%w: now of %s", ErrLost, describeOwner(got))
		}
		if err := sleep(ctx, pause(attempt)); err != nil {
			t.metrics.lost.Inc()
			return Item{}, sent, fmt.Errorf("%w: outcome unknown: %w", ErrLost, cause)
		}
	}
}

func (t *Table) outcome(attempt int) {
	if attempt == 0 {
		t.metrics.written.Inc()
		return
	}
	t.metrics.settled.Inc()
}

func describeOwner(i Item) string {
	if i.Owner == "" {
		return "nobody"
	}
	return "worker " + i.Owner
}

// pause grows from 50 ms to 800 ms, half of it by chance.
func pause(attempt int) time.Duration {
	d := 50 * time.Millisecond << min(attempt, 4)
	return d/2 + rand.N(d/2)
}

func (t *Table) read(ctx context.Context, shard stream.ShardID) (Item, error) {
	a, err := t.get(ctx, t.leases(), attrShard, string(shard))
	if err != nil {
		return Item{}, err
	}
	if a == nil {
		return Item{Shard: shard}, nil
	}
	return decode(a)
}
