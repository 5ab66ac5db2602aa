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

	"tributary/schema"
	"tributary/sinks/held"
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
	encode  *held.Budget // see Config.EncodeBytes
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
		encode:  held.NewBudget(cfg.EncodeBytes, m.encoding),
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
