package treasuredata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/sinks/rejects"
	"tributary/stream"
)

// rejectStore keeps what is refused for good. Put is idempotent: the same range and
// items give the same keys and bytes.
type rejectStore interface {
	Put(ctx context.Context, r stream.Range, items []rejects.Item) error
}

// Importer opens sinks that write to one account. It is safe for concurrent use; all
// its sinks share the bounds on bytes being encoded and on uploads.
type Importer struct {
	cfg     Config
	plan    string
	today   *layout // of plan
	client  *client
	kept    rejectStore
	encode  *held.Budget
	slots   chan struct{} // uploads
	loaders sync.Pool     // their memory serves the next flush, if that comes soon
	metrics *metrics
	log     *slog.Logger
}

// New returns an importer that classifies foreign events by rules and sets aside in
// kept what is refused for good. It does no I/O. A nil key is the one that cfg names.
// Whoever gave the transport closes its idle connections.
func New(cfg Config, rules schema.Rules, transport http.RoundTripper, key Key, kept rejectStore, reg prometheus.Registerer, log *slog.Logger) (*Importer, error) {
	key, keyErr := cfg.keyOf(key)
	if err := errors.Join(cfg.Validate(), rules.Validate(), keyErr); err != nil {
		return nil, fmt.Errorf("treasuredata: %w", err)
	}
	text, err := planText(cfg, rules)
	if err != nil {
		return nil, fmt.Errorf("treasuredata: %w", err)
	}
	today, err := readPlan(text)
	if err != nil {
		return nil, fmt.Errorf("treasuredata: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("treasuredata: register metrics: %w", err)
	}
	c, err := newClient(cfg, transport, key, m)
	if err != nil {
		return nil, fmt.Errorf("treasuredata: %w", err)
	}
	return &Importer{
		cfg:     cfg,
		plan:    text,
		today:   today,
		client:  c,
		kept:    kept,
		encode:  held.NewBudget(cfg.EncodeBytes, m.encoding),
		slots:   make(chan struct{}, cfg.Parallel),
		metrics: m,
		log:     log,
	}, nil
}

func newClient(cfg Config, transport http.RoundTripper, key Key, m *metrics) (*client, error) {
	api, err := newHost("api_endpoint", cfg.APIEndpoint)
	if err != nil {
		return nil, err
	}
	imports, err := newHost("import_endpoint", cfg.ImportEndpoint)
	if err != nil {
		return nil, err
	}
	c := &client{
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		api: api, imports: imports, key: keyring{fetch: key}, timeout: cfg.AttemptTimeout, create: cfg.CreateMissing,
		refused: m.refused, creates: m.creates, creating: make(chan struct{}, 1),
	}
	c.calm()
	return c, nil
}

func (im *Importer) loader() *held.Loader {
	if l, ok := im.loaders.Get().(*held.Loader); ok {
		return l
	}
	return held.NewLoader()
}

// Plan is the text of what in the configuration decides rows, tables, cuts and ids:
// JSON with a format number. The same configuration gives the same text.
func (im *Importer) Plan() string { return im.plan }

// Table is where the rows of a service and kind go, as database.table.
func (im *Importer) Table(service string, kind schema.Kind) string {
	return tableName{im.today.database.name(service, kind), im.today.table.name(service, kind)}.String()
}

// Placed reports whether rows have columns that tell an event's place in the stream.
func (im *Importer) Placed() bool { return im.today.columns.placed() }

// Open returns the sink of one shard, which follows the given plan whatever today's
// configuration says. It does no I/O. A plan of a later version is a permanent error.
func (im *Importer) Open(_ context.Context, shard stream.ShardID, plan string) (*Sink, error) {
	l := im.today
	if plan != im.plan {
		var err error
		if l, err = readPlan(plan); err != nil {
			// The plan was read from where it is kept; it will not be another one later.
			return nil, stream.Permanent(fmt.Errorf("open treasure data for %s: %w", shard, err))
		}
	}
	s := &Sink{importer: im, shard: shard, layout: l}
	s.reset()
	return s, nil
}
