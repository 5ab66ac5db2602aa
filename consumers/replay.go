package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// replayPatience bounds how long the flush of one replay may fail before the next
// shard's replay gets its turn.
const replayPatience = time.Minute

// replay delivers a pending range once more: the same records, the same range, by
// the plan written down with it, so that a destination that has it already finds
// its own names. It reports done when the range is behind the checkpoint; neither
// done nor an error means that reading ended or the lease was claimed.
func (s *shard) replay(reading, held context.Context, p lease.Pending) (done bool, err error) {
	s.progress.set(StateReplaying, nil)
	s.log.Info("replaying a pending range", "first", p.First, "last", p.Last, "plan", p.Plan)
	text, err := s.plans.Plan(held, p.Plan)
	if err != nil {
		return false, err
	}
	if err := s.begin(held, text, stream.At(p.First)); err != nil {
		return false, err
	}
	b, found, err := s.firstOf(reading)
	if err != nil || found == interrupted {
		return false, err
	}
	if found == gone || b.Sequence.Compare(p.Last) > 0 {
		return true, s.giveUp(held, p)
	}
	select {
	case s.replays <- struct{}{}:
	case <-reading.Done():
		return false, nil
	}
	defer func() { <-s.replays }()
	s.budget.update(s.id, func(h *holder) { h.replaying = true })
	r := stream.Range{Shard: s.id, Generation: p.Generation, After: s.after(), First: p.First, Last: p.Last}
	r.Truncated = b.Sequence.Compare(p.First) > 0
	found, err = s.collect(reading, p, b)
	if err != nil || found == interrupted {
		return false, err
	}
	if r.Truncated = r.Truncated || found == gone; r.Truncated {
		s.alarm("the stream no longer holds the whole of a pending range", p, s.span.first)
	}
	if err := s.deliver(held, r, min(replayPatience, s.policy.StuckAfter)); err != nil {
		return false, err
	}
	if err := s.checkpoint(held, true); err != nil {
		return false, err
	}
	s.sink = nil
	s.budget.drop(s.id)
	return true, nil
}

// found is what became of a search in the stream.
type found int

const (
	present     found = iota
	gone              // retention was faster
	interrupted       // reading ended or the lease was claimed
)

// firstOf waits for the first record at or behind the beginning of the range. An
// empty answer proves nothing: the service may be throttling. Only a later record
// or the end of the shard shows that the range is gone, and as long as there is
// neither there is nothing to deliver anyway.
func (s *shard) firstOf(reading context.Context) (stream.Batch, found, error) {
	for {
		b, found, err := s.pull(reading)
		if err != nil || found != present || b.Sequence != "" {
			return b, found, err
		}
	}
}

// pull reads the next record, within the budget: present with a record, or without
// when none came in time.
func (s *shard) pull(reading context.Context) (stream.Batch, found, error) {
	if reading.Err() != nil || s.lease.Claimed() {
		return stream.Batch{}, interrupted, nil
	}
	if !s.lease.Valid() {
		return stream.Batch{}, gone, lease.ErrLost
	}
	var b stream.Batch
	need, err := s.reader.Await(reading)
	if err == nil && need > 0 && s.budget.admit(reading, s.id, need) == admitted {
		b, err = s.reader.Next(reading)
		s.budget.reserve(s.id, cost(b))
	}
	switch {
	case errors.Is(err, stream.ErrShardClosed):
		return b, gone, nil
	case err != nil && reading.Err() != nil:
		return b, interrupted, nil
	case err != nil:
		return b, gone, fmt.Errorf("read: %w", err)
	}
	return b, present, nil
}

// collect appends the records of the range, b first. Gone means that its end was
// trimmed while it was read.
func (s *shard) collect(reading context.Context, p lease.Pending, b stream.Batch) (found, error) {
	for {
		if b.Sequence != "" {
			if b.Sequence.Compare(p.Last) > 0 {
				s.budget.reserve(s.id, 0)
				return gone, nil
			}
			if err := s.append(b); err != nil {
				return gone, err
			}
			if b.Sequence.Compare(p.Last) == 0 {
				return present, nil
			}
		}
		next, found, err := s.pull(reading)
		if err != nil || found != present {
			return found, err
		}
		b = next
	}
}

// giveUp passes over a range of which the stream holds nothing any more.
func (s *shard) giveUp(held context.Context, p lease.Pending) error {
	s.alarm("the stream no longer holds any of a pending range", p, "")
	s.durable = p.Last
	if err := s.checkpoint(held, true); err != nil {
		return err
	}
	s.sink = nil
	s.budget.drop(s.id)
	return nil
}

func (s *shard) alarm(message string, p lease.Pending, found stream.SequenceNumber) {
	s.metrics.gaps.Inc()
	s.log.Error(message, "first", p.First, "last", p.Last, "found", found)
}
