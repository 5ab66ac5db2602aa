package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tributary/stream"
)

// Where a reset shard begins.
const (
	StartTrimHorizon = "trim_horizon" // the oldest record of the shard
	StartTimestamp   = "timestamp"    // the first that arrived at Start.Time or later
	StartSequence    = "sequence"     // the record Start.Sequence
)

// startVersion is that of a reset with a start. A program that knows version 1
// only would begin such a shard elsewhere; so it leaves it alone.
const startVersion = 2

// Start is where a shard begins while it has no checkpoint. The zero Start means
// that the shard was never told: it begins where its group does.
type Start struct {
	From     string // one of the Start constants
	Time     time.Time
	Sequence stream.SequenceNumber
}

// Position is the place in the stream; false for the zero Start.
func (s Start) Position() (stream.Position, bool) {
	switch s.From {
	case StartTrimHorizon:
		return stream.TrimHorizon(), true
	case StartTimestamp:
		return stream.AtTime(s.Time), true
	case StartSequence:
		return stream.At(s.Sequence), true
	}
	return stream.Position{}, false
}

// Equal compares times as moments, to the millisecond, as they are stored.
func (s Start) Equal(o Start) bool {
	return s.From == o.From && s.Sequence == o.Sequence && millis(s.Time).Equal(millis(o.Time))
}

func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func (s Start) check() error {
	ok := false
	switch s.From {
	case "":
		ok = true
	case StartTrimHorizon:
		ok = s.Time.IsZero() && s.Sequence == ""
	case StartTimestamp:
		ok = !s.Time.IsZero() && s.Sequence == ""
	case StartSequence:
		ok = s.Time.IsZero() && isSequence(s.Sequence)
	}
	if !ok {
		return fmt.Errorf("start %q with time %s and sequence number %q is none", s.From, s.Time, s.Sequence)
	}
	return nil
}

// Reset is how often a shard's position was reset, and to what the last time.
type Reset struct {
	Generation uint64
	Start      Start
}

// Reset returns the zero Reset for a shard that never was.
func (t *Table) Reset(ctx context.Context, shard stream.ShardID) (Reset, error) {
	a, err := t.get(ctx, t.state(), attrKey, generationKey(shard))
	if err != nil || a == nil {
		return Reset{}, wrap("read reset", err)
	}
	r, err := decodeReset(a)
	return r, wrap("read reset", err)
}

func wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", action, err)
}

func encodeReset(shard stream.ShardID, r Reset) attributes {
	a := attributes{attrKey: text(generationKey(shard)), attrVersion: number(version), attrGeneration: number(r.Generation)}
	if r.Start.From == "" {
		return a
	}
	a[attrVersion], a["Start"] = number(startVersion), text(r.Start.From)
	if !r.Start.Time.IsZero() {
		a["StartTime"] = text(millis(r.Start.Time).Format(time.RFC3339Nano))
	}
	if r.Start.Sequence != "" {
		a["StartSequence"] = text(string(r.Start.Sequence))
	}
	return a
}

func decodeReset(a attributes) (Reset, error) {
	r := row{a: a}
	if err := r.within(version, startVersion); err != nil {
		return Reset{}, err
	}
	reset := Reset{Generation: r.number(attrGeneration), Start: Start{From: r.text("Start"), Sequence: stream.SequenceNumber(r.text("StartSequence"))}}
	if s := r.text("StartTime"); s != "" {
		var err error
		if reset.Start.Time, err = time.Parse(time.RFC3339Nano, s); err != nil {
			r.err = first(r.err, err)
		}
	}
	return reset, first(r.err, reset.Start.check())
}

// Apply resets a shard: the generation and the start first, where no foreign write
// erases them, then the item seen, which loses owner, checkpoint, pending and
// claim. An item seen as absent (its Shard alone is set) stays absent: whoever
// creates it finds the reset.
//
// A crash between the two leaves a shard that goes on at its checkpoint, in the
// new generation and without a map: it loses nothing, and Apply with the same
// arguments finishes it. Apply is refused with ErrLost when the item has moved
// since it was seen, or the shard was reset otherwise. The generation has to be
// above the item's: otherwise ranges would be delivered under it already.
func (t *Table) Apply(ctx context.Context, seen Item, to Reset) error {
	if err := to.Start.check(); err != nil {
		return fmt.Errorf("reset %s: %w", seen.Shard, err)
	}
	if to.Generation <= seen.Generation {
		return fmt.Errorf("reset %s: %w: it has generation %d already", seen.Shard, ErrLost, seen.Generation)
	}
	if err := t.putReset(ctx, seen.Shard, to); err != nil {
		return fmt.Errorf("reset %s: %w", seen.Shard, err)
	}
	now, err := t.read(ctx, seen.Shard)
	switch {
	case err != nil:
		return fmt.Errorf("reset %s: %w", seen.Shard, err)
	case isAbsent(now) && isAbsent(seen):
		// Created from now on, the shard is acquired after its reset is read.
		return nil
	case !same(now, seen):
		return fmt.Errorf("reset %s: %w: now of %s", seen.Shard, ErrLost, describeOwner(now))
	}
	bare := Item{Shard: seen.Shard, Parent: seen.Parent, Generation: to.Generation, Duration: seen.Duration}
	bare.Counter, bare.Counted = seen.Counter+1, true
	bare.Timeout = time.Now().UTC().Format(time.RFC3339Nano) // names this write, and is over
	settling, cancel := context.WithTimeout(ctx, t.cfg.Duration)
	defer cancel()
	if _, _, err := t.replace(settling, seen, bare, unmoved); err != nil {
		return fmt.Errorf("reset %s: %w", seen.Shard, err)
	}
	t.dropOld(ctx, seen)
	return nil
}

func isAbsent(i Item) bool { return same(i, Item{Shard: i.Shard}) }

// putReset writes a reset over an older one.
func (t *Table) putReset(ctx context.Context, shard stream.ShardID, to Reset) error {
	old, err := t.Reset(ctx, shard)
	switch {
	case err != nil:
		return err
	case old.Generation == to.Generation && old.Start.Equal(to.Start):
		return nil
	case old.Generation >= to.Generation:
		return fmt.Errorf("%w: it was reset to generation %d", ErrLost, old.Generation)
	}
	ctx, cancel := t.attempt(ctx, opPut)
	defer cancel()
	_, err = t.api.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                 t.state(),
		Item:                      encodeReset(shard, to),
		ConditionExpression:       aws.String("attribute_not_exists(#key) OR #generation = :seen"),
		ExpressionAttributeNames:  map[string]string{"#key": attrKey, "#generation": attrGeneration},
		ExpressionAttributeValues: attributes{":seen": number(old.Generation)},
	}, once)
	if isConditionFailed(err) {
		return fmt.Errorf("%w: it is being reset by somebody else", ErrLost)
	}
	return err
}

// dropOld removes the maps of the generation that ends. What stays behind in a
// failure is swept at the next start of a worker.
func (t *Table) dropOld(ctx context.Context, old Item) {
	for _, at := range []stream.SequenceNumber{old.Checkpoint, old.Previous} {
		if at == "" {
			continue
		}
		if err := t.DropSnapshot(ctx, Place{Shard: old.Shard, Generation: old.Generation, Sequence: at}); err != nil {
			t.log.Debug("map not dropped", "shard", old.Shard, "err", err)
		}
	}
}
