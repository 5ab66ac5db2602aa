package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/stream"
)

// Sink collects the events of one shard and sends them on Flush. One goroutine calls
// it, Size excepted. It owns no goroutine, file or connection outside Flush.
type Sink struct {
	cw    *CloudWatch
	shard stream.ShardID
	plan  *readyPlan

	size    atomic.Int64
	pending *pending
	doubt   *doubt
	// flushed is the last range that was flushed whole.
	flushed stream.Range
}

func (s *Sink) reset() {
	s.pending = newPending(s.shard)
	s.size.Store(0)
}

// Size is the bytes held by what was appended and not yet flushed.
func (s *Sink) Size() int64 { return s.size.Load() }

// Append takes one record and keeps its lines until Flush returns. Records come in the
// order of their sequence numbers.
func (s *Sink) Append(b stream.Batch) error {
	if b.Sequence == "" {
		return nil
	}
	if err := s.pending.Check(b); err != nil {
		return err
	}
	s.size.Add(s.add(b))
	return nil
}

// Flush sends what was appended, each log stream's events in the order of their times,
// and returns nil when all of it is accepted or kept as rejects. It sends to every log
// stream that it can before it reports those that fail. Called again it sends only
// what was not accepted; with a range that was flushed it does nothing. After an error
// everything that was not accepted is still held.
func (s *Sink) Flush(ctx context.Context, r stream.Range) error {
	began := time.Now()
	if s.pending.Taken == 0 && r == s.flushed {
		return nil
	}
	if err := s.pending.Within(r); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if err := s.deliver(ctx); err != nil {
		return fmt.Errorf("flush %s to %s: %w", r.First, r.Last, err)
	}
	if err := s.keep(ctx, r); err != nil {
		return fmt.Errorf("flush %s to %s: %w", r.First, r.Last, err)
	}
	s.count()
	s.settle()
	s.cw.metrics.flush.Observe(time.Since(began).Seconds())
	s.flushed = r
	s.reset()
	return nil
}

// deliver sends to all log streams, Config.Parallel at a time. What one of them cannot
// take holds up no other.
func (s *Sink) deliver(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(s.cw.cfg.Parallel)
	failures := make([]error, len(s.pending.queues))
	look := &lookBudget{until: time.Now().Add(s.cw.cfg.ReadBack.Time)}
	look.calls.Store(int64(s.cw.cfg.ReadBack.Calls))
	suspicions := s.suspicions()
	for i, q := range s.pending.queues {
		if q.empty() {
			continue
		}
		g.Go(func() error {
			q.sort()
			s.inquire(ctx, q, suspicions[i], look)
			failures[i] = s.deliverQueue(ctx, q)
			return nil
		})
	}
	_ = g.Wait() // each error is in failures
	if s.doubt != nil {
		s.doubt.bound(s.cw.cfg.ReadBack.Bytes)
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return summary(failures)
}

// maxNarrowed bounds how many answers of "invalid" one flush of a log stream takes:
// about fourteen find one event among ten thousand.
const maxNarrowed = 256

// deliverQueue sends to one log stream, batch after batch. If it fails for long enough
// the rest goes to the rejects.
func (s *Sink) deliverQueue(ctx context.Context, q *queue) error {
	k := key{q.group, s.shard}
	var scratch []byte
	for narrowed := 0; !q.empty(); {
		release, err := s.cw.reserve(ctx, q.memory())
		if err != nil {
			return err
		}
		var b *batch
		b, scratch = s.assemble(q, scratch)
		err = s.send(ctx, k, q, b)
		release()
		if failure := (*callError)(nil); errors.As(err, &failure) && failure.is(invalid) && failure.action == "PutLogEvents" && narrowed < maxNarrowed {
			narrowed++
			q.narrow(b)
			continue
		}
		if err != nil {
			return s.park(ctx, k, q, err)
		}
	}
	return nil
}

// send sends a batch and takes it off the queue.
func (s *Sink) send(ctx context.Context, k key, q *queue, b *batch) error {
	if len(b.events) == 0 {
		q.accept(b, nil)
	} else {
		info, err := s.cw.put(ctx, k, b)
		if err != nil {
			return err
		}
		q.accept(b, info)
		s.cw.parking.accepted(k, time.Now())
	}
	m := s.cw.metrics
	stored := 0
	bytes := map[int32]int64{}
	for i, at := range b.at {
		if b.sizes[i] > 0 {
			stored++
			bytes[q.entries[at].service] += int64(b.sizes[i])
		}
	}
	m.events.Add(float64(stored))
	for service, n := range bytes {
		label := s.cw.services.of(s.pending.services[service])
		m.sent.WithLabelValues(label).Add(float64(n))
		m.sentCost.WithLabelValues(label).Add(s.cw.cfg.Price.of(n))
	}
	m.skipped.Add(float64(b.skipped))
	m.changed.WithLabelValues("mended").Add(float64(b.mended))
	m.changed.WithLabelValues("filled").Add(float64(b.filled))
	m.changed.WithLabelValues("split").Add(float64(b.split))
	return nil
}

// park decides what becomes of a log stream that failed: err, or nil when its events
// go to the rejects.
func (s *Sink) park(ctx context.Context, k key, q *queue, err error) error {
	var failure *callError
	if ctx.Err() != nil || !errors.As(err, &failure) {
		return err
	}
	park, first := s.cw.parking.failed(k, failure.trouble.own(), time.Now())
	if !park {
		return err
	}
	n := q.park(reasonParked + plainCode(failure.code))
	s.cw.metrics.parked.Add(float64(n))
	if first {
		s.cw.log.Error("log stream parked, its events go to the rejects until it takes some again",
			"group", k.group, "stream", k.shard, "after", s.cw.cfg.ParkAfter, "err", err)
	}
	return nil
}

// summary joins failures, those with one cause in one.
func summary(failures []error) error {
	type cause struct {
		action, code string
		trouble      trouble
	}
	var errs []error
	first := map[cause]int{} // index into errs
	more := map[cause]int{}
	var order []cause
	for _, err := range failures {
		if err == nil {
			continue
		}
		var failure *callError
		if !errors.As(err, &failure) {
			errs = append(errs, err)
			continue
		}
		c := cause{failure.action, failure.code, failure.trouble}
		if _, known := first[c]; known {
			more[c]++
			continue
		}
		first[c] = len(errs)
		order = append(order, c)
		errs = append(errs, err)
	}
	for _, c := range order {
		if n := more[c]; n > 0 {
			errs[first[c]] = fmt.Errorf("%w (and %d more log streams alike)", errs[first[c]], n)
		}
	}
	return errors.Join(errs...)
}
