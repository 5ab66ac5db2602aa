package stream

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Position is where a Reader begins in a shard. The zero Position is not valid;
// make one with TrimHorizon, Latest, AtTime, At or After.
type Position struct {
	kind     types.ShardIteratorType
	sequence SequenceNumber
	time     time.Time
}

// TrimHorizon is the oldest record the shard still holds.
func TrimHorizon() Position { return Position{kind: types.ShardIteratorTypeTrimHorizon} }

// Latest is behind the newest record at the time of the first call that the
// service answers. Until then nothing is fixed: a caller that must not lose what
// arrives in the meantime uses AtTime.
func Latest() Position { return Position{kind: types.ShardIteratorTypeLatest} }

// AtTime is the first record that arrived at t or later, to the millisecond.
func AtTime(t time.Time) Position {
	return Position{kind: types.ShardIteratorTypeAtTimestamp, time: t}
}

// At is the record with this sequence number, or the oldest one when it has been
// trimmed.
func At(s SequenceNumber) Position {
	return Position{kind: types.ShardIteratorTypeAtSequenceNumber, sequence: s}
}

// After is the record behind this sequence number.
func After(s SequenceNumber) Position {
	return Position{kind: types.ShardIteratorTypeAfterSequenceNumber, sequence: s}
}

// String is fit for logs.
func (p Position) String() string {
	switch p.kind {
	case "":
		return "unset"
	case types.ShardIteratorTypeAtTimestamp:
		return string(p.kind) + " " + p.time.UTC().Format(time.RFC3339Nano)
	case types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber:
		return string(p.kind) + " " + string(p.sequence)
	}
	return string(p.kind)
}

func (p Position) validate() error {
	switch p.kind {
	case types.ShardIteratorTypeTrimHorizon, types.ShardIteratorTypeLatest:
		return nil
	case types.ShardIteratorTypeAtTimestamp:
		if p.time.IsZero() {
			return fmt.Errorf("position %s: the time is not set", p)
		}
		return nil
	case types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber:
		if !p.sequence.isNumber() {
			return fmt.Errorf("position %s: not a sequence number", p)
		}
		return nil
	}
	return fmt.Errorf("position %s: make it with TrimHorizon, Latest, AtTime, At or After", p)
}

// isNumber tells a sequence number from words that lease tables keep in its
// place, such as SHARD_END, which Compare would order without complaint.
func (s SequenceNumber) isNumber() bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func (p Position) input(ref Ref, shard ShardID) *kinesis.GetShardIteratorInput {
	in := &kinesis.GetShardIteratorInput{
		StreamName:        ref.name(),
		StreamARN:         ref.arn(),
		ShardId:           aws.String(string(shard)),
		ShardIteratorType: p.kind,
	}
	switch p.kind {
	case types.ShardIteratorTypeAtTimestamp:
		in.Timestamp = aws.Time(p.time)
	case types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber:
		in.StartingSequenceNumber = aws.String(string(p.sequence))
	}
	return in
}
