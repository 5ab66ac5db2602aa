package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// replayPatience bounds how long the flush of one replay may fail, and how long its
// records may be waited for, before the next shard's replay gets its turn.
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
	// Until it is its turn a shard holds nothing: the room is for the one whose turn it is.
	// An answer that it held would be taken back by others in time, and its turn would
	// begin with a wait for room, behind all of them.
	found, err := s.sight(reading)
	if err != nil || found == interrupted {
		return false, err
	}
	if found == gone {
		return true, s.giveUp(held, p)
	}
	s.closeReader()
	select {
	case s.replays <- struct{}{}:
	case <-reading.Done():
		return false, nil
	case <-held.Done():
		return false, context.Cause(held)
	}
	defer func() { <-s.replays }()
	s.budget.update(s.id, func(h *holder) { h.replaying = true })
	if err := s.begin(held, text, stream.At(p.First)); err != nil {
		return false, err
	}
	b, found, err := s.next(reading)
	if err != nil || found == interrupted {
		return false, err
	}
	if found == gone || b.Sequence.Compare(p.Last) > 0 {
		return true, s.giveUp(held, p)
	}
	r := stream.Range{Shard: s.id, Generation: p.Generation, After: s.after(), First: p.First, Last: p.Last}
	r.Truncated = b.Sequence.Compare(p.First) > 0
	found, err = s.collect(reading, p, b)
	if err != nil || found == interrupted {
		return false, err
	}
	if r.Truncated = r.Truncated || found == gone; r.Truncated {
		if err := s.alarm(held, "the stream no longer holds the whole of a pending range", p, s.span.first); err != nil {
			return false, err
		}
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

// sight waits until there is a record at or behind the beginning of the range. An
// empty answer proves nothing: the service may be throttling. Only a later record
// or the end of the shard shows that the range is gone, and as long as there is
// neither there is nothing to deliver anyway.
func (s *shard) sight(reading context.Context) (found, error) {
	for {
		if need, found, err := s.await(reading); err != nil || found != present || need > 0 {
			return found, err
		}
	}
}

// await waits for a record for as long as the reader does; see reader.Await.
func (s *shard) await(reading context.Context) (need int64, f found, err error) {
	if reading.Err() != nil || s.lease.Claimed() {
		return 0, interrupted, nil
	}
	if !s.lease.Valid() {
		return 0, gone, lease.ErrLost
	}
	need, err = s.reader.Await(reading, time.Time{})
	f, err = outcome(reading, err)
	return need, f, err
}

// outcome says what an answer of the reader means.
func outcome(reading context.Context, err error) (found, error) {
	switch {
	case err == nil:
		return present, nil
	case errors.Is(err, stream.ErrShardClosed):
		return gone, nil
	case reading.Err() != nil:
		return interrupted, nil
	}
	return gone, fmt.Errorf("read: %w", err)
}

// errSilent gives the next shard's replay its turn. This one waits again, without
// holding anything, for a sight of its range.
var errSilent = errors.New("the stream shows neither the rest of a pending range nor anything behind it")

// next reads the next record, within the budget. It waits at most replayPatience
// for the stream to show one.
func (s *shard) next(reading context.Context) (stream.Batch, found, error) {
	for since := time.Now(); ; {
		need, found, err := s.await(reading)
		switch {
		case err != nil || found != present:
			return stream.Batch{}, found, err
		case need == 0 && time.Since(since) >= replayPatience:
			return stream.Batch{}, gone, errSilent
		case need == 0:
			continue
		}
		since = time.Now()
		if s.budget.admit(reading, s.id, need) != admitted {
			continue
		}
		b, err := s.reader.Next(reading)
		s.budget.reserve(s.id, cost(b))
		if found, err = outcome(reading, err); err != nil || found != present || b.Sequence != "" {
			return b, found, err
		}
	}
}

// collect appends the records of the range, b first. Gone means that its end was
// trimmed while it was read.
func (s *shard) collect(reading context.Context, p lease.Pending, b stream.Batch) (found, error) {
	for {
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
		next, found, err := s.next(reading)
		if err != nil || found != present {
			return found, err
		}
		b = next
	}
}

// giveUp passes over a range of which the stream holds nothing any more.
func (s *shard) giveUp(held context.Context, p lease.Pending) error {
	if err := s.alarm(held, "the stream no longer holds any of a pending range", p, ""); err != nil {
		return err
	}
	s.durable = p.Last
	if err := s.checkpoint(held, true); err != nil {
		return err
	}
	s.sink = nil
	s.budget.drop(s.id)
	return nil
}

// alarm tells of a gap before anything hides it: in the log, in the metrics, and
// in the lease table, where it outlives this worker.
func (s *shard) alarm(held context.Context, message string, p lease.Pending, found stream.SequenceNumber) error {
	s.metrics.gaps.Inc()
	s.log.Error(message, "first", p.First, "last", p.Last, "found", found)
	return s.lease.MarkGap(held, lease.Gap{First: p.First, Last: p.Last, Found: found, At: time.Now()})
}
