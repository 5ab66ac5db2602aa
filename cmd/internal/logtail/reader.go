package logtail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A Reader reads the events of one Query. One goroutine uses it.
type Reader struct {
	cfg    Config
	query  Query
	client Client
	log    *slog.Logger

	next    time.Time // no call is made before
	patient bool      // what worked once is tried until it works again
	given   int       // events
}

// New does no I/O.
func New(cfg Config, q Query, client Client, log *slog.Logger) (*Reader, error) {
	if err := errors.Join(cfg.Validate(), q.Validate()); err != nil {
		return nil, err
	}
	return &Reader{cfg: cfg, query: q, client: client, log: log}, nil
}

// errEnough ends a search at the query's limit.
var errEnough = errors.New("enough")

// give passes an event on, and counts.
func (r *Reader) give(e Event, emit func(Event) error) error {
	if err := emit(e); err != nil {
		return err
	}
	if r.given++; r.given == r.query.Limit {
		return errEnough
	}
	return nil
}

// Search gives the events that can be read now.
func (r *Reader) Search(ctx context.Context, emit func(Event) error) error {
	groups, err := r.groups(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("list log groups: %w", err)
	case len(groups) == 0:
		return r.explain(ctx, r.none())
	}
	var all []*pages
	for _, name := range sorted(groups) {
		all = append(all, r.pages(name, groups[name], r.query.Since))
	}
	err = r.merge(ctx, all, func(_ *pages, e Event) error { return r.give(e, emit) })
	if errors.Is(err, errEnough) {
		return nil
	}
	return r.explain(ctx, err)
}
