package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
)

// Record is what is stored under one sequence number.
type Record struct {
	Key  string // partition key, 1 to 256 characters
	Data []byte
}

func (r Record) size() int64 { return int64(len(r.Key) + len(r.Data)) }

// ErrStopped is what Publish returns once Run's context has ended and the record
// is not known to be stored.
var ErrStopped = errors.New("producer stopped")

type producerAPI interface {
	describeAPI
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
}

// Producer publishes records. Publish is for any number of goroutines, one per
// lane; Run must be running.
type Producer struct {
	api     producerAPI
	ref     Ref
	cfg     ProducerConfig
	metrics *producerMetrics
	log     *slog.Logger

	running     atomic.Bool
	called      atomic.Int64 // when a request last ended
	arrivals    chan *publication
	withdrawals chan *publication
	stopping    chan struct{} // closed when Run takes no more

	limit  atomic.Int64  // of a record, see MaxRecordBytes
	known  atomic.Bool   // the stream has told it
	asked  atomic.Int64  // when it was last asked for it; 0: never
	unsure atomic.Bool   // its last answer is missing or does not hold
	doubts chan struct{} // wakes follow
}

// publication is one call of Publish. Between arrival and result it belongs to
// the goroutine of Run.
type publication struct {
	record   Record
	result   chan error // holds one, so that Run never waits for a caller
	schedule schedule
}

// NewProducer checks the configuration and registers metrics; a registry takes
// one Producer. It does no I/O.
func NewProducer(api producerAPI, ref Ref, cfg ProducerConfig, reg prometheus.Registerer, log *slog.Logger) (*Producer, error) {
	if err := errors.Join(ref.Validate(), cfg.Validate()); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	m, err := newProducerMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &Producer{
		api: api, ref: ref, cfg: cfg, metrics: m, log: log,
		arrivals:    make(chan *publication),
		withdrawals: make(chan *publication),
		stopping:    make(chan struct{}),
		doubts:      make(chan struct{}, 1),
	}
	p.limit.Store(defaultRecordBytes)
	m.limit.Set(defaultRecordBytes)
	return p, nil
}

// Publish blocks until r is stored, however long throttling, outages or missing
// permissions last. nil means stored at least once.
//
// The error is Permanent when no retry can store r: it is too large, its key is
// not valid, or the service refuses it by name. Any other error (ctx ended,
// ErrStopped) means that the outcome is unknown: r may be stored already, or be
// stored later by a request that is still on its way. For the same reason the
// bytes of r.Data must never be changed after the call, unless it returned nil or
// a Permanent error.
//
// Concurrent calls share requests and may be stored in any order. A lane that
// wants order calls Publish for one record at a time.
func (p *Producer) Publish(ctx context.Context, r Record) error {
	if err := p.check(r); err != nil {
		p.metrics.refused.Inc()
		return Permanent(fmt.Errorf("publish: %w", err))
	}
	pub := &publication{record: r, result: make(chan error, 1)}
	select {
	case p.arrivals <- pub:
	case <-p.stopping:
		return fmt.Errorf("publish: %w", ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("publish: %w", ctx.Err())
	}
	select {
	case err := <-pub.result:
		return err
	case <-ctx.Done():
	}
	// Run answers everything it took, at the latest when it stops: one of the two
	// always comes.
	select {
	case p.withdrawals <- pub:
		return fmt.Errorf("publish: outcome unknown: %w", ctx.Err())
	case err := <-pub.result:
		return err
	}
}

// Called is when a request last ended, whichever way; the zero time if none has.
func (p *Producer) Called() time.Time {
	if at := p.called.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

func (p *Producer) check(r Record) error {
	if n := utf8.RuneCountInString(r.Key); n < 1 || n > maxKeyCharacters || !utf8.ValidString(r.Key) {
		return fmt.Errorf("partition key of %d characters: need 1 to %d, in UTF-8", n, maxKeyCharacters)
	}
	if limit := p.limit.Load(); r.size() > limit {
		return fmt.Errorf("record of %d bytes with its key: the stream takes %d", r.size(), limit)
	}
	return nil
}
