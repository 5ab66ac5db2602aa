package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"tributary/schema"
	"tributary/stream"
)

// Lake opens sinks that write to one lake. It is safe for concurrent use; all
// its sinks share the bound on bytes being encoded.
type Lake struct {
	cfg     Config
	plan    string
	today   *layoutPlan // of plan
	store   store
	codec   *zstd.Codec
	encode  *semaphore.Weighted // bytes, see Config.EncodeBytes
	metrics *metrics
	log     *slog.Logger
}

// New returns a lake that classifies foreign events by rules. It does no I/O.
// api's own retries are not used: a flush that failed is called again.
func New(cfg Config, rules schema.Rules, api s3API, reg prometheus.Registerer, log *slog.Logger) (*Lake, error) {
	if err := errors.Join(cfg.Validate(), rules.Validate()); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	cfg.Template = cfg.Layout()
	text, err := planText(cfg, rules)
	if err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	today, err := readPlan(text)
	if err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("lake: register metrics: %w", err)
	}
	return &Lake{
		cfg:     cfg,
		plan:    text,
		today:   today,
		store:   store{api, cfg.Options},
		codec:   newCodec(),
		encode:  semaphore.NewWeighted(cfg.EncodeBytes),
		metrics: m,
		log:     log,
	}, nil
}

// Plan is the text of what in the configuration decides names and rows: JSON
// with a format number. The same configuration gives the same text.
func (l *Lake) Plan() string { return l.plan }

// Open returns the sink of one shard, which follows the given plan whatever
// today's configuration says. It does no I/O. A plan of a later version is a
// permanent error.
func (l *Lake) Open(_ context.Context, shard stream.ShardID, plan string) (*Sink, error) {
	lp := l.today
	if plan != l.plan {
		var err error
		if lp, err = readPlan(plan); err != nil {
			// The plan was read from where it is kept; it will not be another one later.
			return nil, stream.Permanent(fmt.Errorf("open lake for %s: %w", shard, err))
		}
	}
	sum := sha256.Sum256([]byte(plan))
	s := &Sink{lake: l, shard: shard, plan: lp, planSum: hex.EncodeToString(sum[:])}
	s.reset()
	return s, nil
}

// count follows an object that is durable, also one that was found there: the
// answer to the PUT that wrote it may have been lost.
func (l *Lake) count(o manifestObject) {
	l.metrics.objects.Inc()
	l.metrics.rows.Add(float64(o.Rows))
	l.metrics.objectBytes.Add(float64(o.Bytes))
}

// reserve waits for n bytes of the encoding budget, all of it for larger n, and
// returns what gives parts of it back.
func (l *Lake) reserve(ctx context.Context, n int64) (*reservation, error) {
	n = min(n, l.cfg.EncodeBytes)
	if err := l.encode.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for memory to encode: %w", err)
	}
	l.metrics.encoding.Add(float64(n))
	return &reservation{l, n}, nil
}

// reservation is a share of the encoding budget.
type reservation struct {
	lake *Lake
	n    int64
}

// shrink keeps at most n bytes.
func (r *reservation) shrink(n int64) {
	if n >= r.n {
		return
	}
	r.lake.metrics.encoding.Sub(float64(r.n - n))
	r.lake.encode.Release(r.n - n)
	r.n = n
}
