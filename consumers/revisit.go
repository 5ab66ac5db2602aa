package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/stream"
)

// revisited is how long before the checkpoint records are looked at again. What an
// event looks like that was delivered before the checkpoint can only matter to one
// behind it that looks the same, its time included, and events come within seconds
// of their time.
const revisited = 10 * time.Second

// revisit follows a life that may have delivered more than the checkpoint says, as
// far as the sink can make use of it. Reading the last records before the checkpoint
// again also makes up for a de-duplication map, which a group without two phases
// stores less often than checkpoints.
func (s *shard) revisit(reading context.Context) error {
	heir, ok := s.sink.(Heir)
	if !ok || !s.unsettled || s.reset && s.lease.Item().Checkpoint == "" { // a reset delivers again
		return nil
	}
	until := time.Now()
	at := s.lease.Item().Checkpoint
	if at == "" {
		heir.Inherit(time.Time{}, until)
		return nil
	}
	since, err := s.before(reading, at, until, heir)
	if err != nil || reading.Err() != nil {
		return err
	}
	heir.Inherit(since, until)
	s.log.Info("an earlier reader may have delivered more than the checkpoint says", "checkpoint", at, "since", since, "until", until)
	return nil
}

// before shows the sink the records up to the checkpoint, and returns since when
// they arrived that were shown: not one of them if the stream has forgotten.
func (s *shard) before(reading context.Context, at stream.SequenceNumber, now time.Time, heir Heir) (since time.Time, err error) {
	err = s.each(reading, stream.At(at), func(b stream.Batch) bool {
		if b.Sequence == at {
			since = b.Arrival.Add(-revisited)
		}
		return false
	})
	if err != nil || since.IsZero() {
		return now, err
	}
	err = s.each(reading, stream.AtTime(since), func(b stream.Batch) bool {
		if b.Sequence.Compare(at) > 0 {
			return false
		}
		if s.addressed(b) {
			heir.Recall(b)
		}
		s.marks.drop(&b) // raised by it; what is left of b is of no interest
		return b.Sequence != at
	})
	return since, err
}

// each goes through records, one of them in memory at a time, for as long as do
// returns true.
func (s *shard) each(reading context.Context, from stream.Position, do func(stream.Batch) bool) error {
	r, err := s.poll(from)
	if err != nil {
		return fmt.Errorf("open reader: %w", err)
	}
	s.reader, r = r, s.reader
	defer func() {
		s.closeReader()
		s.reader = r
		s.budget.reserve(s.id, 0)
	}()
	for {
		b, found, err := s.next(reading)
		switch {
		case errors.Is(err, errSilent):
			return nil // nothing there, which is then not shown
		case err != nil || found != present:
			return err
		case !do(b):
			return nil
		}
	}
}

// doubts reports whether the sink still holds possible what an earlier life did.
func (s *shard) doubts() bool {
	heir, ok := s.sink.(Heir)
	return ok && !heir.Settled()
}
