package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
)

type readAPI interface {
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
}

// Source is a stream as one worker reads it: what its Readers share. Safe for
// concurrent use, Pin excepted.
type Source struct {
	api      readAPI
	ref      Ref
	cfg      ReaderConfig
	metrics  *readerMetrics
	room     *room
	identity *identity
	decoders chan *schema.Decoder // nil: not made yet
	log      *slog.Logger
}

// NewSource checks its arguments and does no I/O.
func NewSource(api readAPI, ref Ref, cfg ReaderConfig, reg prometheus.Registerer, log *slog.Logger) (*Source, error) {
	if err := errors.Join(ref.Validate(), cfg.Validate()); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	metrics, err := newReaderMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	// A decoder keeps up to 2 MiB, and a record grows up to 8 MiB in it: more of them
	// than processors would only hold memory.
	decoders := make(chan *schema.Decoder, runtime.GOMAXPROCS(0))
	for range cap(decoders) {
		decoders <- nil
	}
	return &Source{
		api: api, ref: ref, cfg: cfg, metrics: metrics, log: log,
		room:     newRoom(cfg.ReadBytes, metrics.memory, metrics.reclaimed),
		identity: newIdentity(api, ref),
		decoders: decoders,
	}, nil
}

// Pin says which creation of the stream is meant. Readers then end with
// ErrRecreated when the name stands for another. Without it they do not look. Pin
// comes before the first Open.
func (s *Source) Pin(created time.Time) { s.identity.created = created }

// Confirm makes sure that what the service said of the stream until now was said
// of the creation named by Pin: it asks, unless somebody asked since. The error is
// ErrRecreated, marked Permanent, or worth a retry.
func (s *Source) Confirm(ctx context.Context) error { return s.identity.confirm(ctx, time.Now()) }

// Open returns a Reader of a shard. It does no I/O; the first Await or Next makes
// the first call. The Reader must be closed.
func (s *Source) Open(shard ShardID, from Position) (*Reader, error) {
	if err := from.validate(); err != nil {
		return nil, fmt.Errorf("reader of %s: %w", shard, err)
	}
	if shard == "" {
		return nil, errors.New("reader: the shard is not set")
	}
	log := s.log.With("shard", string(shard))
	r := &Reader{
		src: s, shard: shard, log: log,
		metrics: s.metrics.of(shard), warner: warner{log: log},
		from: from, ahead: from, pace: newPace(s.cfg), mean: firstMean,
	}
	if from.kind == types.ShardIteratorTypeAfterSequenceNumber {
		r.last = from.sequence
	}
	return r, nil
}

// Forget drops the metrics of a shard that is no longer read here. A lag that
// nobody updates any more would alarm for ever.
func (s *Source) Forget(shard ShardID) { s.metrics.forget(shard) }

// decode waits for a decoder, for as long as others use theirs.
func (s *Source) decode(data []byte, arrival time.Time) (schema.Batch, []schema.Reject, int64) {
	d := <-s.decoders
	if d == nil {
		d = schema.NewDecoder()
	}
	defer func() { s.decoders <- d }()
	return d.Decode(data, arrival)
}
