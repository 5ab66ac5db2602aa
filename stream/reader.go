package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/schema"
)

// ErrShardClosed is what Next returns when a closed shard has been read to its
// end. Its children hold what was written afterwards.
var ErrShardClosed = errors.New("shard closed and read to its end")

const latest = types.ShardIteratorTypeLatest

// Reader reads one shard from a position on. While its owner works on the records
// of one answer, the next is fetched: by one goroutine, for one call, which Close
// ends. One goroutine uses the Reader; Behind is for all.
type Reader struct {
	src     *Source
	shard   ShardID
	metrics shardMetrics
	log     *slog.Logger
	warner  warner

	from     Position       // behind the record handed out last
	last     SequenceNumber // nothing up to here is handed out again
	held     *page          // nil: nothing to hand out
	coming   *flight        // the answer behind held; nil: none is asked for
	ended    bool           // the service has nothing behind held
	children []ShardID

	ahead    Position // where the next call goes on without an iterator
	iterator string   // empty: get one at ahead
	pace     pace
	failures int   // in a row
	need     int64 // room the next answer is known to take; 0: not known

	mean     int64         // bytes of a record in the last answer that had any
	answered time.Time     // of the last answer's call
	tip      time.Time     // see Tip
	atAnswer time.Duration // MillisBehindLatest of the last answer
	newest   time.Time     // arrival of its last record
	behind   atomic.Int64  // time.Duration
}

// Await waits for a record and returns the most that it can decode to, in bytes as
// Batch.Bytes and Batch.Rejects count them: what a caller makes room for before
// Next decodes it. 0 says that nothing came by until, or in 5/4 of
// ReaderConfig.PollInterval, or of a second, whichever comes first: the shard is quiet,
// or calls fail and are made again with a backoff, which metrics and a Warn show. It
// gives the caller a chance to look at the clock. A zero until says nothing.
//
// The error is ErrShardClosed behind the last record of a closed shard, ctx's
// error when ctx ended, or Permanent when the stream or the shard is gone or does
// not know the sequence number to begin at; it is ErrRecreated when the stream's
// name stands for another stream. After an error other than ctx's, every further
// call returns it or tries again; nothing is skipped.
func (r *Reader) Await(ctx context.Context, until time.Time) (int64, error) {
	deadline := r.src.cfg.look(until)
	for {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("read %s: %w", r.shard, err)
		}
		if size, ok := r.peek(); ok {
			return max(schema.MaxDecoded, int64(size)+rejectMargin), nil
		}
		if r.ended {
			return 0, ErrShardClosed
		}
		if r.coming == nil {
			r.fetch()
		}
		r.coming.hurry()
		if landed, err := r.wait(ctx, deadline); err != nil || !landed {
			return 0, err
		}
		if err := r.land(); err != nil {
			return 0, err
		}
	}
}

// rejectMargin is more than a reject counts beside its bytes.
const rejectMargin = 1 << 10

// Next returns the next record, decoded; the Batch belongs to the caller. It waits
// as Await does and has its errors; a Batch with an empty Sequence says that
// nothing came.
//
// Between Await and Next an answer may be taken back for the room it takes, if the
// caller waited long; then Next waits anew.
func (r *Reader) Next(ctx context.Context) (Batch, error) {
	for {
		if n, err := r.Await(ctx, time.Time{}); err != nil || n == 0 {
			return Batch{}, err
		}
		if b, ok := r.handOut(); ok {
			return b, nil
		}
	}
}

// Close ends a call under way, waits for its end and gives back all room. The
// Reader is of no use afterwards.
func (r *Reader) Close() { r.letGo() }

// Behind is the time between the record handed out last and the tip of the
// shard, as of the last answer of the service: what is held and not handed out
// counts. While calls fail it grows with the clock. Before the first answer it is
// 0.
func (r *Reader) Behind() time.Duration { return time.Duration(r.behind.Load()) }

// Tip is a moment by which the shard held nothing that was not handed out: when
// the last call was made that found nothing more. It is zero before the first.
// Next's goroutine asks.
func (r *Reader) Tip() time.Time { return r.tip }

// Children are the shards that go on where this one ends, known after
// ErrShardClosed; none if the service did not name them. ListShards tells them by
// their parents in any case.
func (r *Reader) Children() []ShardID { return r.children }

// peek passes over records that were handed out before: an iterator may begin too
// early.
func (r *Reader) peek() (size int, ok bool) {
	for r.held != nil {
		size, sequence, ok := r.held.peek()
		if ok && !r.known(sequence) {
			return size, true
		}
		if ok {
			r.held.next()
			r.metrics.held.Sub(float64(size))
			continue
		}
		r.letGoOfHeld()
	}
	return 0, false
}

func (r *Reader) known(sequence SequenceNumber) bool {
	return sequence.Compare(r.last) <= 0 ||
		r.from.kind == types.ShardIteratorTypeAtSequenceNumber && sequence.Compare(r.from.sequence) < 0
}

// letGoOfHeld drops an answer that is used up, or was taken back: then what comes
// behind it comes too early, and all is read again from the last record handed out.
func (r *Reader) letGoOfHeld() {
	if r.held.takenBack() {
		r.letGo()
		return
	}
	r.held.free()
	r.held = nil
}

// letGo drops everything that is not handed out.
func (r *Reader) letGo() {
	if r.coming != nil {
		r.coming.abandon()
		r.coming = nil
	}
	if r.held != nil {
		r.held.free()
		r.held = nil
	}
	r.metrics.held.Set(0)
	r.ahead, r.iterator, r.ended = r.from, "", false
}

// handOut decodes the first held record. Held records stay encoded until here:
// decoded, an answer of 10 MiB can be 80 MiB.
func (r *Reader) handOut() (Batch, bool) {
	record, ok := r.held.next()
	if !ok {
		return Batch{}, false
	}
	sequence := SequenceNumber(*record.SequenceNumber)
	b := r.decode(sequence, &record)
	r.last, r.from = sequence, After(sequence)
	r.metrics.held.Sub(float64(len(record.Data)))
	r.metrics.records.Inc()
	r.metrics.bytes.Add(float64(len(record.Data)))
	r.lag(b.Arrival)
	if _, _, more := r.held.peek(); !more {
		r.letGoOfHeld()
	}
	return b, true
}

func (r *Reader) decode(sequence SequenceNumber, record *types.Record) Batch {
	arrival := arrivalOf(record)
	decoded, rejects, size := r.src.decode(record.Data, arrival)
	return Batch{
		Shard:    r.shard,
		Sequence: sequence,
		Arrival:  arrival,
		Epoch:    decoded.Epoch,
		Lane:     decoded.Lane,
		To:       decoded.To,
		Events:   decoded.Events,
		Rejects:  rejects,
		Record:   record.Data,
		Bytes:    size,
	}
}

// arrivalOf is the Unix epoch for a service that does not say: the same on every
// read, which the clock would not be.
func arrivalOf(record *types.Record) time.Time {
	if record.ApproximateArrivalTimestamp == nil {
		return time.Unix(0, 0).UTC()
	}
	return aws.ToTime(record.ApproximateArrivalTimestamp).UTC()
}

// lag counts from the record that arrived at reached. Only differences of the
// service's own times go in, so that the clock of this machine does not matter.
func (r *Reader) lag(reached time.Time) {
	r.setBehind(r.atAnswer + max(0, r.newest.Sub(reached)))
}

func (r *Reader) setBehind(d time.Duration) {
	r.behind.Store(int64(d))
	r.metrics.behind.Set(d.Seconds())
}
