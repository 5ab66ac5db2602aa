package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// mapEvery is how often a group without two-phase stores its de-duplication map.
const mapEvery = time.Minute

// flushIfDue flushes what is full, old or wanted by the other shards, and writes
// the checkpoint that was put off.
func (s *shard) flushIfDue(held context.Context) error {
	due := s.held() >= s.policy.MaxBytes ||
		time.Since(s.span.since) >= s.policy.MaxAge ||
		s.budget.wanted(s.id)
	if due && !s.span.empty() {
		return s.flush(held)
	}
	if s.durable != "" && time.Since(s.written) >= s.policy.CheckpointEvery {
		return s.checkpoint(held, false)
	}
	return nil
}

// finish makes durable what was taken and writes the checkpoint.
func (s *shard) finish(held context.Context) error {
	if err := s.flush(held); err != nil {
		return err
	}
	return s.checkpoint(held, true)
}

// end closes a shard that was read to its end. The final map is stored before the
// checkpoint: children start from it as soon as they see SHARD_END.
func (s *shard) end(held context.Context) error {
	if err := s.finish(held); err != nil {
		return err
	}
	old := s.kept
	if err := s.keep(held, lease.ShardEnd); err != nil {
		return err
	}
	if err := s.lease.Checkpoint(held, lease.ShardEnd); err != nil {
		return err
	}
	if old != nil && *old != *s.kept {
		s.forget(held, *old)
	}
	s.progress.set(StateFinished, nil)
	s.log.Info("shard read to its end")
	return nil
}

// flush makes the range durable. With two phases the range is written down first:
// whoever comes after a crash delivers exactly this range again.
func (s *shard) flush(held context.Context) error {
	if s.span.empty() {
		return nil
	}
	generation := s.lease.Item().Generation
	r := stream.Range{Shard: s.id, Generation: generation, After: s.after(), First: s.span.first, Last: s.span.last}
	if s.policy.TwoPhase {
		pending := lease.Pending{First: r.First, Last: r.Last, Generation: generation, Plan: s.plan.hash}
		if err := s.lease.Prepare(held, pending); err != nil {
			return err
		}
	}
	if err := s.deliver(held, r, s.policy.StuckAfter); err != nil {
		return err
	}
	if s.policy.TwoPhase {
		return s.checkpoint(held, true)
	}
	if time.Since(s.written) >= s.policy.CheckpointEvery {
		return s.checkpoint(held, false)
	}
	return nil
}

// after is the end of what was flushed before. A group without two phases may
// have flushed more than its checkpoint says.
func (s *shard) after() stream.SequenceNumber {
	if s.durable != "" {
		return s.durable
	}
	return s.lease.Item().Checkpoint
}

// deliver stores the rejects and flushes the sink, the same range again and again
// until both succeed.
func (s *shard) deliver(held context.Context, r stream.Range, patience time.Duration) error {
	s.progress.set(StateFlushing, nil)
	s.unsettled = !s.policy.TwoPhase
	began := time.Now()
	if len(s.span.rejects) > 0 {
		err := s.persist(held, stepRejects, patience, func() error { return s.rejects.Put(held, r, s.span.rejects) })
		if err != nil {
			return err
		}
	}
	err := s.persist(held, stepFlush, patience, func() error {
		// A process that slept may find itself here long after its lease.
		if !s.lease.Valid() {
			return lease.ErrLost
		}
		return s.sink.Flush(held, r)
	})
	if err != nil {
		return err
	}
	s.metrics.flushSeconds.Observe(time.Since(began).Seconds())
	s.metrics.flushes.add(1)
	s.durable, s.span, s.moved = r.Last, span{}, true
	s.budget.update(s.id, func(h *holder) { h.size, h.failing = s.held(), false })
	s.progress.set(StateReading, nil)
	return nil
}

// checkpoint writes what is durable as the position to go on from. The map goes
// first: found at the checkpoint it must be the one of that moment.
func (s *shard) checkpoint(held context.Context, final bool) error {
	if s.durable == "" {
		return nil
	}
	old := s.kept
	// While a range is being filled the map is ahead of what is durable: stored now,
	// it would drop the events of that range after a crash.
	exact := s.span.empty()
	if exact && (s.policy.TwoPhase || final || time.Since(s.keptAt) >= mapEvery) {
		if err := s.keep(held, s.durable); err != nil {
			return err
		}
	}
	if err := s.lease.Checkpoint(held, s.durable); err != nil {
		return err
	}
	s.durable, s.written = "", time.Now()
	s.unsettled = s.unsettled && s.doubts()
	s.metrics.lanes.WithLabelValues(string(s.id)).Set(float64(len(s.marks.at)))
	s.showLag()
	if old != nil && *old != *s.kept {
		s.forget(held, *old)
	}
	return nil
}

// keep stores the de-duplication map under a checkpoint about to be written.
func (s *shard) keep(held context.Context, at stream.SequenceNumber) error {
	place := lease.Place{Shard: s.id, Generation: s.lease.Item().Generation, Sequence: at}
	data := s.marks.encode()
	err := s.persist(held, stepMap, s.policy.StuckAfter, func() error { return s.maps.PutSnapshot(held, place, data) })
	if err != nil {
		return err
	}
	s.kept, s.keptAt = &place, time.Now()
	return nil
}

// forget sweeps a map that no checkpoint leads to any more. What it leaves behind
// in a failure is swept at the next start of a worker.
func (s *shard) forget(held context.Context, p lease.Place) {
	if err := s.maps.DropSnapshot(held, p); err != nil {
		s.log.Debug("map not swept", "err", err)
	}
}

// recall loads the map of the checkpoint, or those of the parents for a child at
// its beginning or without a map at its checkpoint: what parents delivered, a young
// child may meet again. Without any none is used: duplicates are possible then, loss
// never.
func (s *shard) recall(held context.Context) error {
	item := s.lease.Item()
	s.kept, s.marks = nil, newMarks(s.entries)
	if item.Checkpoint == "" {
		return s.inherit(held)
	}
	place := lease.Place{Shard: s.id, Generation: item.Generation, Sequence: item.Checkpoint}
	m, err := s.load(held, place)
	if err != nil {
		return err
	}
	if m != nil {
		s.marks, s.kept = m, &place
	} else if err := s.inherit(held); err != nil {
		return err
	}
	// A worker that died between checkpoint and sweep left the one before.
	if item.Previous != "" && item.Previous != item.Checkpoint {
		place.Sequence = item.Previous
		s.forget(held, place)
	}
	return nil
}

func (s *shard) inherit(held context.Context) error {
	var found []*marks
	for _, place := range s.parents {
		m, err := s.load(held, place)
		if err != nil {
			return err
		}
		if m != nil {
			found = append(found, m)
		}
	}
	s.marks = mergeMarks(s.entries, found...)
	return nil
}

func (s *shard) load(held context.Context, place lease.Place) (*marks, error) {
	data, ok, err := s.maps.Snapshot(held, place)
	if err != nil || !ok {
		return nil, err
	}
	m, err := decodeMarks(data, s.entries)
	if err != nil {
		return nil, fmt.Errorf("map at %s: %w", place.Sequence, stream.Permanent(err))
	}
	return m, nil
}

// persist repeats a step until it succeeds, the lease or the time to drain ends,
// the remote says that no retry will help, or patience is over.
func (s *shard) persist(held context.Context, step string, patience time.Duration, do func() error) error {
	began := time.Now()
	for failures := 0; ; failures++ {
		if cause := context.Cause(held); cause != nil {
			return fmt.Errorf("%s: %w", step, cause)
		}
		err := do()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", step, err)
		if cause := context.Cause(held); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		if stream.IsPermanent(err) || errors.Is(err, lease.ErrLost) {
			return err
		}
		if time.Since(began) >= patience || s.budget.evicted(s.id) {
			return fmt.Errorf("%w: %w", errStuck, err)
		}
		s.budget.update(s.id, func(h *holder) { h.failing = true })
		s.progress.set(StateRetrying, err)
		s.publishLag()
		s.metrics.retries.WithLabelValues(step).Inc()
		if failures&(failures-1) == 0 { // the 1st, 2nd, 3rd, 5th, 9th …
			s.log.Warn("step failed, trying again", "step", step, "failures", failures+1, "err", err)
		}
		if err := sleep(held, backoff(failures)); err != nil {
			return err
		}
	}
}

// backoff grows from 200 ms to 25.6 s, half of it by chance.
func backoff(failures int) time.Duration {
	d := 200 * time.Millisecond << min(failures, 7)
	return d/2 + rand.N(d/2)
}

// sleep returns the cause of ctx's end if that comes first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
