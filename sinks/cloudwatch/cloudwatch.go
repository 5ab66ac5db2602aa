package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/stream"
)

// rejectStore keeps what the service refuses for good.
type rejectStore interface {
	Put(ctx context.Context, r stream.Range, items []rejects.Item) error
}

// CloudWatch opens sinks that write to log groups. It is safe for concurrent use; all
// its sinks share the rates, the bound on bytes in hand, and what is known of groups.
type CloudWatch struct {
	cfg       Config
	plan      string
	today     *readyPlan // of plan
	api       API
	kept      rejectStore
	puts      *limiter
	creations *limiter
	reads     *limiter
	render    *semaphore.Weighted // bytes, see Config.RenderBytes
	groups    groups
	parking   parking
	services  serviceLabels
	// unreadable are the groups that cannot be read back.
	unreadable nameSet
	metrics    *metrics
	log        *slog.Logger
}

// New returns a destination that classifies foreign events by rules. It does no I/O.
func New(cfg Config, rules schema.Rules, api API, kept rejectStore, reg prometheus.Registerer, log *slog.Logger) (*CloudWatch, error) {
	if err := errors.Join(cfg.Validate(), rules.Validate()); err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	text, err := planText(cfg, rules)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	today, err := readPlan(text)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	m, err := newMetrics(reg, cfg.Price)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: register metrics: %w", err)
	}
	return &CloudWatch{
		cfg:        cfg,
		plan:       text,
		today:      today,
		api:        api,
		kept:       kept,
		puts:       newLimiter(cfg.RequestsPerSecond, m.rate.Set),
		creations:  newLimiter(cfg.CreateRate, func(float64) {}),
		reads:      newLimiter(cfg.ReadBack.Rate, func(float64) {}),
		render:     semaphore.NewWeighted(cfg.RenderBytes),
		groups:     groups{names: map[string]struct{}{}, bare: map[string]struct{}{}},
		parking:    parking{after: cfg.ParkAfter, show: func(n int) { m.parkedNow.Set(float64(n)) }, failing: map[key]*failing{}},
		services:   serviceLabels{known: map[string]struct{}{}},
		unreadable: nameSet{names: map[string]struct{}{}},
		metrics:    m,
		log:        log,
	}, nil
}

// Plan is the text of what in the configuration decides names and messages: JSON with
// a format number. The same configuration gives the same text.
func (c *CloudWatch) Plan() string { return c.plan }

// Open returns the sink of one shard, which follows the given plan whatever today's
// configuration says. It does no I/O. A plan of another version is a permanent error.
func (c *CloudWatch) Open(_ context.Context, shard stream.ShardID, plan string) (*Sink, error) {
	ready := c.today
	if plan != c.plan {
		var err error
		if ready, err = readPlan(plan); err != nil {
			// The plan was read from where it is kept; it will not be another one later.
			return nil, stream.Permanent(fmt.Errorf("open cloudwatch for %s: %w", shard, err))
		}
	}
	s := &Sink{cw: c, shard: shard, plan: ready}
	s.reset()
	return s, nil
}

// reserve waits for memory to hold a request or an answer.
func (c *CloudWatch) reserve(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, c.cfg.RenderBytes)
	if err := c.render.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("wait for memory: %w", err)
	}
	c.metrics.rendering.Add(float64(n))
	return func() {
		c.metrics.rendering.Sub(float64(n))
		c.render.Release(n)
	}, nil
}
