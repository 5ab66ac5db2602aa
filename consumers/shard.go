package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// reader hands out the records of one shard: Await waits, until then at most, and says
// what the next one may decode to, Next decodes it. *stream.Reader.
type reader interface {
	Await(ctx context.Context, until time.Time) (bytes int64, err error)
	Next(ctx context.Context) (stream.Batch, error)
	Close()
	Behind() time.Duration
	Tip() time.Time
}

// right is the right to read a shard.
type right interface {
	Item() lease.Item
	Valid() bool   // still held, as far as anyone can know
	Claimed() bool // another worker asks for it
}

// positions are written under that right.
type positions interface {
	Prepare(ctx context.Context, p lease.Pending) error
	Checkpoint(ctx context.Context, s stream.SequenceNumber) error
	MarkGap(ctx context.Context, g lease.Gap) error
}

// holding is a held lease. *lease.Lease.
type holding interface {
	right
	positions
}

// snapshots keep de-duplication maps. *lease.Table.
type snapshots interface {
	PutSnapshot(ctx context.Context, p lease.Place, data []byte) error
	Snapshot(ctx context.Context, p lease.Place) ([]byte, bool, error)
	DropSnapshot(ctx context.Context, p lease.Place) error
}

// plans keep plan texts. *lease.Table.
type plans interface {
	Plan(ctx context.Context, hash string) (string, error)
}

// plan is a destination's text and its hash in the state table.
type plan struct{ text, hash string }

// fixed is what all shards of a worker share.
type fixed struct {
	group   string
	alias   string    // another name that records may be for
	since   time.Time // what arrived before is passed over
	until   time.Time // records from then on are not taken; zero: all are
	policy  Policy    // with the range_bytes of the group
	entries int       // de-duplication map, of the group
	dest    Destination
	plan    plan // today's
	rejects RejectStore
	maps    snapshots
	plans   plans
	budget  *budget
	replays chan struct{} // one token: each replay may need a whole range of memory
	metrics *metrics
	log     *slog.Logger
}

// shard delivers one leased shard. One goroutine runs it and owns all of it,
// progress excepted.
type shard struct {
	*fixed
	id       stream.ShardID
	lease    holding
	open     func(from stream.Position) (reader, error)
	poll     func(from stream.Position) (reader, error) // open, without fan-out
	start    stream.Position                            // where to begin without a checkpoint
	reset    bool                                       // start is where a reset put it
	parents  []lease.Place                              // the final maps to begin with, without one of its own
	progress progress
	log      *slog.Logger
	// unsettled: this or an earlier life may have delivered more than the checkpoint
	// says. Never in a group with two phases.
	unsettled bool
	over      bool // the first record that arrived too late was seen

	// One life: from opening to the end or the next failure.
	reader  reader
	sink    Sink
	marks   *marks
	kept    *lease.Place // the newest stored map
	keptAt  time.Time
	span    span
	durable stream.SequenceNumber // flushed, to be checkpointed; "" = nothing
	written time.Time             // of the last checkpoint
	moved   bool                  // something became durable in this life
}

// Why a life ended although the shard is still held and reading goes on.
var (
	errStuck = errors.New("flush does not succeed: sink dropped, records are read again later")
	errPanic = errors.New("panic")
)

// run delivers until reading ends, the lease is claimed, or the shard is read to
// its end: nil, give the lease up. Otherwise the lease is lost, the time to drain
// is over, as held's cause tells, or the stream's name stands for another stream.
func (s *shard) run(reading, held context.Context) error {
	for failures := 0; ; {
		err := s.live(reading, held)
		s.drop()
		if err == nil {
			return nil
		}
		if cause := context.Cause(held); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		if errors.Is(err, lease.ErrLost) || errors.Is(err, stream.ErrRecreated) {
			return err
		}
		if s.moved {
			failures = 0
		}
		if over := s.rest(reading, failures, err); over {
			return nil
		}
		failures++
	}
}

// rest waits after a failure, long after one that nobody but a person or a new
// release will mend. It holds the lease all the while: another worker would fail
// the same way, and one poisoned shard would keep all of them busy. It reports
// whether to give up the lease instead: somebody claims it, or reading ends.
func (s *shard) rest(reading context.Context, failures int, err error) (over bool) {
	state, pause := StateRetrying, backoff(failures)
	switch {
	case stream.IsPermanent(err) || errors.Is(err, errPanic):
		state, pause = StateParked, s.policy.ParkedRetry<<min(failures, 4)
	case errors.Is(err, errStuck):
		state, pause = StateStuck, s.policy.ParkedRetry<<min(failures, 4)
	}
	s.progress.set(state, err)
	s.metrics.stopped.WithLabelValues(string(state)).Inc()
	if state != StateRetrying {
		s.metrics.parked.WithLabelValues(string(s.id)).Set(1)
	}
	level := slog.LevelWarn
	if state != StateRetrying {
		level = slog.LevelError
	}
	s.log.Log(reading, level, "shard stopped", "state", string(state), "retry_in", pause, "err", err)
	for until := time.Now().Add(pause); ; {
		s.publishLag()
		left := time.Until(until)
		if left <= 0 {
			return false
		}
		if sleep(reading, min(left, time.Second)) != nil || s.lease.Claimed() || !s.lease.Valid() {
			return true
		}
	}
}

// live opens, replays what is pending and reads. A panic below, most likely in a
// sink, ends this life only: the other shards go on.
func (s *shard) live(reading, held context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	s.moved = false
	s.progress.set(StateOpening, nil)
	if err := s.recall(held); err != nil {
		return err
	}
	if p := s.lease.Item().Pending; p != nil {
		if done, err := s.replay(reading, held, *p); err != nil || !done {
			return err
		}
	}
	if err := s.begin(held, s.plan.text, s.from()); err != nil {
		return err
	}
	if err := s.revisit(reading); err != nil || reading.Err() != nil {
		return err
	}
	s.progress.set(StateReading, nil)
	s.metrics.parked.WithLabelValues(string(s.id)).Set(0)
	return s.read(reading, held)
}

// from is the position behind the checkpoint.
func (s *shard) from() stream.Position {
	if at := s.lease.Item().Checkpoint; at != "" {
		return stream.After(at)
	}
	return s.start
}

// begin opens the sink for a plan and the reader at a position.
func (s *shard) begin(held context.Context, planText string, from stream.Position) (err error) {
	if s.sink, err = s.dest.Open(held, s.id, planText); err != nil {
		return fmt.Errorf("open sink: %w", err)
	}
	s.closeReader()
	r, err := s.open(from)
	if err != nil {
		return fmt.Errorf("open reader: %w", err)
	}
	s.reader = r
	return nil
}

// drop forgets everything that is not durable.
func (s *shard) drop() {
	s.closeReader()
	s.sink, s.marks = nil, nil
	// Left over from a life whose last flush failed, it would end the shard of the next
	// one before that has read as far.
	s.over = false
	s.span, s.durable = span{}, ""
	s.budget.drop(s.id)
}

func (s *shard) closeReader() {
	if s.reader != nil {
		s.reader.Close()
		s.reader = nil
	}
}

// read takes records until reading ends, the lease is claimed or the shard ends.
func (s *shard) read(reading, held context.Context) error {
	for {
		if !s.lease.Valid() {
			return lease.ErrLost
		}
		if reading.Err() != nil || s.lease.Claimed() {
			return s.finish(held)
		}
		if err := s.flushIfDue(held); err != nil {
			return err
		}
		need, err := s.reader.Await(reading, s.due())
		switch {
		case errors.Is(err, stream.ErrShardClosed):
			return s.end(held)
		case err != nil && reading.Err() != nil:
			return s.finish(held)
		case err != nil:
			// The stream may be gone: what was taken cannot be read again, so it is
			// delivered before the error counts.
			return errors.Join(fmt.Errorf("read: %w", err), s.finish(held))
		case need == 0:
			s.progress.atTip(s.reader.Tip())
			s.showLag()
			if !s.until.IsZero() && s.reader.Tip().After(s.until.Add(clocks)) {
				return s.end(held)
			}
			continue
		}
		if stop, err := s.take(reading, held, need); err != nil {
			return err
		} else if s.over {
			return s.end(held)
		} else if stop {
			return s.finish(held)
		}
	}
}

// clocks is how much earlier than this machine the service may think it is: the time
// of a tip is by this machine's clock, that of an arrival by the service's.
const clocks = 10 * time.Second

// due is when the range has waited long enough; zero if there is none.
func (s *shard) due() time.Time {
	if s.span.empty() {
		return time.Time{}
	}
	return s.span.since.Add(s.policy.MaxAge)
}

// take appends one record of at most need bytes, after the flush that makes room
// for it if need be. It reports stop when reading ended or the lease was claimed in
// the meantime.
func (s *shard) take(reading, held context.Context, need int64) (stop bool, err error) {
	for in := false; !in; {
		switch s.budget.admit(reading, s.id, need) {
		case admitted:
			in = true
		case flushFirst:
			err = s.flush(held)
		case askAgain:
			err = s.flushIfDue(held)
		}
		if err != nil {
			return false, err
		}
		if reading.Err() != nil || s.lease.Claimed() {
			return true, nil
		}
	}
	b, err := s.reader.Next(reading)
	if err != nil || b.Sequence == "" {
		s.budget.reserve(s.id, 0)
		return false, nil // taken back while we waited; Await says what is wrong
	}
	if s.over = !s.until.IsZero() && !b.Arrival.Before(s.until); s.over {
		s.budget.reserve(s.id, 0)
		return true, nil
	}
	s.budget.reserve(s.id, cost(b))
	if !s.span.empty() && s.span.bytes+cost(b) > s.policy.RangeBytes {
		if err := s.flush(held); err != nil {
			return false, err
		}
	}
	return false, s.append(b)
}

// cost is what a record counts toward a range: its decoded bytes before
// de-duplication, and what could not be decoded.
func cost(b stream.Batch) int64 {
	n := b.Bytes
	for i := range b.Rejects {
		n += int64(len(b.Rejects[i].Data))
	}
	return n
}

// append gives a record to the sink, without the events delivered before, and
// makes it part of the range.
func (s *shard) append(b stream.Batch) error {
	early := b.Arrival.Before(s.since)
	if early {
		b.Rejects = nil
	}
	s.span.add(b, time.Now())
	s.metrics.records.add(1)
	s.metrics.bytes.add(int(b.Bytes))
	s.metrics.events.add(len(b.Events))
	s.metrics.rejects.add(len(b.Rejects))
	if !s.addressed(b) {
		s.metrics.elsewhere.Add(float64(len(b.Events)))
		b.Events = nil
	}
	b.Duplicates = s.marks.drop(&b)
	s.metrics.duplicates.add(b.Duplicates)
	if early {
		b.Events, b.Duplicates = nil, 0
	}
	if err := s.sink.Append(b); err != nil {
		return fmt.Errorf("append %s: %w", b.Sequence, err)
	}
	s.budget.hold(s.id, s.held())
	s.showLag()
	return nil
}

// addressed reports whether a record is for this group.
func (s *shard) addressed(b stream.Batch) bool {
	return b.To == "" || b.To == s.group || b.To == s.alias
}

// held is what this shard holds in memory: events, and rejects not yet stored.
func (s *shard) held() int64 { return s.sink.Size() + s.span.rejectBytes }

func (s *shard) showLag() {
	s.progress.reached(s.reader.Behind(), s.span.arrival)
	s.publishLag()
}

// publishLag keeps the metric growing while a shard is stopped or retries.
func (s *shard) publishLag() {
	s.metrics.lag.WithLabelValues(string(s.id)).Set(s.progress.lagNow().Seconds())
}

// span is the range being filled.
type span struct {
	first, last stream.SequenceNumber
	bytes       int64     // see cost
	since       time.Time // of the first record here
	arrival     time.Time // of the first record in the stream
	rejects     []Reject
	rejectBytes int64
}

func (p *span) empty() bool { return p.first == "" }

func (p *span) add(b stream.Batch, now time.Time) {
	if p.empty() {
		p.first, p.since, p.arrival = b.Sequence, now, b.Arrival
	}
	p.last = b.Sequence
	p.bytes += cost(b)
	for _, r := range b.Rejects {
		p.rejects = append(p.rejects, Reject{Sequence: b.Sequence, Arrival: b.Arrival, Reject: r})
		p.rejectBytes += int64(len(r.Data))
	}
}
