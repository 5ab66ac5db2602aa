package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/schema"
)

// ErrShardClosed is what Next returns when a closed shard has been read to its
// end. Its children hold what was written afterwards.
var ErrShardClosed = errors.New("shard closed and read to its end")

type readAPI interface {
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Reader reads one shard from a position on. It owns no goroutine and no
// connection: it may be dropped at any time. One goroutine uses it; Behind is for
// all.
type Reader struct {
	api     readAPI
	ref     Ref
	shard   ShardID
	cfg     ReaderConfig
	metrics shardMetrics
	decoder *schema.Decoder
	log     *slog.Logger
	warner  warner

	from     Position       // where to go on without an iterator
	last     SequenceNumber // nothing up to here is handed out again
	iterator string         // empty: get one at from
	held     []types.Record // the last answer, as far as it is not handed out
	ended    bool           // the service has nothing behind held
	children []ShardID

	callAt   time.Time     // no call before
	quiet    time.Duration // the wait after the next empty answer at the tip
	failures int           // in a row

	answered time.Time     // of the last answer
	tip      time.Time     // see Tip
	size     int64         // bytes in the last answer
	mean     int64         // bytes of a record in the last answer that had any; 0: none yet
	atAnswer time.Duration // MillisBehindLatest of the last answer
	newest   time.Time     // arrival of its last record
	behind   atomic.Int64  // time.Duration
}

// NewReader checks its arguments; the first Next makes the first call. Readers
// share metrics.
func NewReader(api readAPI, ref Ref, shard ShardID, from Position, cfg ReaderConfig, metrics *ReaderMetrics, log *slog.Logger) (*Reader, error) {
	if err := errors.Join(ref.Validate(), cfg.Validate(), from.validate()); err != nil {
		return nil, fmt.Errorf("reader of %s: %w", shard, err)
	}
	if shard == "" {
		return nil, errors.New("reader: the shard is not set")
	}
	log = log.With("shard", string(shard))
	r := &Reader{
		api: api, ref: ref, shard: shard, cfg: cfg, log: log,
		metrics: metrics.of(shard), decoder: schema.NewDecoder(), warner: warner{log: log},
		from: from, quiet: cfg.PollMin,
	}
	if from.kind == types.ShardIteratorTypeAfterSequenceNumber {
		r.last = from.sequence
	}
	return r, nil
}

// Next returns the next record, decoded; the Batch belongs to the caller.
//
// A Batch with an empty Sequence says that nothing came within
// ReaderConfig.PollInterval (plus AttemptTimeout when a call hangs): the shard is
// quiet, or calls fail and are made again with a backoff, which metrics and a
// Warn show. It gives the caller a chance to look at the clock.
//
// The error is ErrShardClosed behind the last record of a closed shard, ctx's
// error when ctx ended, or Permanent when the stream or the shard is gone or does
// not know the sequence number to begin at. After an error other than ctx's, every further call
// returns it or tries again; nothing is skipped.
func (r *Reader) Next(ctx context.Context) (Batch, error) {
	deadline := time.Now().Add(r.cfg.PollInterval)
	for {
		if err := ctx.Err(); err != nil {
			return Batch{}, fmt.Errorf("read %s: %w", r.shard, err)
		}
		if b, ok := r.handOut(); ok {
			return b, nil
		}
		if r.ended {
			return Batch{}, ErrShardClosed
		}
		if r.callAt.After(deadline) {
			return Batch{}, r.sleep(ctx, deadline)
		}
		if err := r.sleep(ctx, r.callAt); err != nil {
			return Batch{}, err
		}
		if err := r.call(ctx); err != nil {
			return Batch{}, err
		}
		if len(r.held) == 0 && !r.ended && !time.Now().Before(deadline) {
			return Batch{}, nil
		}
	}
}

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

// handOut decodes the first held record. Held records stay encoded until here:
// decoded, an answer of 10 MiB can be 80 MiB.
func (r *Reader) handOut() (Batch, bool) {
	for len(r.held) > 0 {
		record := r.held[0]
		r.held[0] = types.Record{} // the array lives on, the bytes need not
		r.held = r.held[1:]
		r.metrics.held.Sub(float64(len(record.Data)))
		sequence := SequenceNumber(*record.SequenceNumber)
		if sequence.Compare(r.last) <= 0 || r.from.kind == types.ShardIteratorTypeAtSequenceNumber && sequence.Compare(r.from.sequence) < 0 {
			continue // an iterator that begins too early: seen already, or not asked for
		}
		b := r.decode(sequence, &record)
		r.last, r.from = sequence, After(sequence)
		r.metrics.records.Inc()
		r.metrics.bytes.Add(float64(len(record.Data)))
		r.lag(b.Arrival)
		return b, true
	}
	return Batch{}, false
}

func (r *Reader) decode(sequence SequenceNumber, record *types.Record) Batch {
	arrival := arrivalOf(record)
	decoded, rejects, size := r.decoder.Decode(record.Data, arrival)
	return Batch{
		Shard:    r.shard,
		Sequence: sequence,
		Arrival:  arrival,
		Epoch:    decoded.Epoch,
		Lane:     decoded.Lane,
		Events:   decoded.Events,
		Rejects:  rejects,
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

// sleep waits until t or the end of ctx.
func (r *Reader) sleep(ctx context.Context, t time.Time) error {
	wait := time.Until(t)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read %s: %w", r.shard, ctx.Err())
	}
}
