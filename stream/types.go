package stream

import (
	"errors"
	"strings"
	"time"

	"tributary/schema"
)

// ShardID is Kinesis' name of a shard, such as shardId-000000000000.
type ShardID string

// SequenceNumber is Kinesis' decimal number of a record. The empty string comes
// before every record.
type SequenceNumber string

// Compare orders sequence numbers as numbers: "9" is before "10". Comparing
// them as strings would send a checkpoint backwards.
func (s SequenceNumber) Compare(o SequenceNumber) int {
	a, b := strings.TrimLeft(string(s), "0"), strings.TrimLeft(string(o), "0")
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return strings.Compare(a, b)
}

// Range is a run of consecutive records of one shard, both ends included, in
// one generation of the shard. Object names and ids derive from nothing else.
type Range struct {
	Shard      ShardID
	Generation uint64
	// After is the last record of the range before, empty for the first of a shard
	// and generation. Sequence numbers have gaps of their own, so only this link
	// proves that no record lies between two ranges. No name derives from it. In a
	// group with two phases it is the same in every replay.
	After SequenceNumber
	First SequenceNumber
	Last  SequenceNumber
	// Truncated marks the replay of a range whose beginning the stream no longer
	// holds. Objects already there under the range's names are left alone.
	Truncated bool
}

// Batch is one decoded record, with its place.
type Batch struct {
	Shard    ShardID
	Sequence SequenceNumber // empty: nothing was read
	Arrival  time.Time      // ApproximateArrivalTimestamp; the same on every read
	Epoch    schema.Epoch   // zero for records of other producers
	Lane     uint32
	To       string // the one group that Events are for; empty: all
	Events   []schema.Event
	Rejects  []schema.Reject // what of this record no decoder understands
	// Record is the record as it came: decoded again it gives the same events under
	// the same indexes, those dropped as duplicates included. It is the reader's; it
	// is copied by whoever keeps it beyond the call that it came with.
	Record []byte
	Bytes  int64 // decoded size, see schema.Decoder
	// Duplicates is how many events of the record were dropped as delivered before;
	// those that Events holds are not among them.
	Duplicates int
}

// permanent marks an error that no retry can mend.
type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent marks err as one that no retry can mend. It is called only where a
// remote's answer is read. A nil err stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether err, or an error it wraps, was marked Permanent.
// Everything else is worth a retry.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}
