package consumers

import (
	"context"
	"time"

	"tributary/schema"
	"tributary/stream"
)

// Destination opens sinks, one per leased shard. It is filled in cmd, so that
// sinks need not import consumers.
type Destination struct {
	// Name is the group's destination in logs and metrics, e.g. "lake".
	Name string
	// Plan is what of today's configuration decides rows, names, tables and cuts;
	// at most 64 KiB.
	Plan string
	// Open may do I/O. plan is Plan, or a pending one in a replay.
	Open func(ctx context.Context, shard stream.ShardID, plan string) (Sink, error)
}

// A Sink accumulates one shard's events and makes them durable on Flush.
//
// One goroutine calls it, Size excepted. It owns no goroutine, file or
// connection: an unflushed Sink may be dropped at any time.
type Sink interface {
	// Append takes one record, also one without an event left in it. It may keep b's
	// bytes until Flush returns.
	Append(b stream.Batch) error
	// Size is the bytes held; safe from any goroutine.
	Size() int64
	// Flush makes everything appended since the last Flush durable. Called again
	// with the same range it does nothing new. ctx ends with the lease. After an
	// error everything appended is still held and Flush may be called again.
	Flush(ctx context.Context, r stream.Range) error
}

// An Heir is a Sink of a group without two phases that can find out what was
// delivered already. When another life of the shard may have delivered more than its
// checkpoint says, it is told so before the first Append.
type Heir interface {
	Sink
	// Recall shows a record at or before the checkpoint, all of which was delivered and
	// is not to be delivered again. Records come in their order.
	Recall(b stream.Batch)
	// Inherit follows: every record before the checkpoint that arrived at since or later
	// was shown, all there ever were if since is zero; of the records behind it those
	// that arrived by until may have been delivered.
	Inherit(since, until time.Time)
	// Settled reports that nothing is in doubt any more.
	Settled() bool
}

// A Reject is input that can never be delivered, with its position.
type Reject struct {
	Sequence stream.SequenceNumber
	Arrival  time.Time
	schema.Reject
}

// A RejectStore keeps rejects. Put is idempotent: the same range and items give
// the same keys and bytes.
type RejectStore interface {
	Put(ctx context.Context, r stream.Range, items []Reject) error
}
