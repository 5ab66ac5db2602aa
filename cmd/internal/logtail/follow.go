package logtail

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Follow gives the events that can be read now and those that come, until ctx ends or
// the query's limit is reached.
func (r *Reader) Follow(ctx context.Context, emit func(Event) error) error {
	if !r.query.Until.IsZero() {
		return refuse("to follow what comes, and to end at %s, exclude each other", r.query.Until.Format(time.RFC3339))
	}
	f := &follower{Reader: r, known: make(map[string]*trail)}
	err := f.run(ctx, emit)
	if ctx.Err() != nil || errors.Is(err, errEnough) {
		return nil
	}
	return r.explain(ctx, err)
}

// A follower knows how far it has read each group.
type follower struct {
	*Reader
	known  map[string]*trail // all that ever were there
	now    []*trail          // those that are
	listed time.Time
	told   bool // that there is none
}

func (f *follower) run(ctx context.Context, emit func(Event) error) error {
	for {
		if err := f.relist(ctx); err != nil {
			return fmt.Errorf("list log groups: %w", err)
		}
		if err := f.look(ctx, emit); err != nil {
			return err
		}
		f.patient = true
		if err := sleep(ctx, f.cfg.Interval); err != nil {
			return err
		}
	}
}

// relist looks for new groups, in its time, unless all are named.
func (f *follower) relist(ctx context.Context) error {
	byName := !slices.ContainsFunc(f.query.Groups, func(p Pattern) bool { return p.Many })
	if len(f.now) > 0 && (byName || time.Since(f.listed) < f.cfg.Relist) {
		return nil
	}
	groups, err := f.groups(ctx)
	if err != nil {
		return err
	}
	f.listed, f.now = time.Now(), nil
	for _, name := range sorted(groups) {
		if f.known[name] == nil {
			f.known[name] = &trail{group: name, named: groups[name], least: f.query.Since, from: f.query.Since, place: f.query.Since, given: make(map[eventID]int64)}
		}
		f.now = append(f.now, f.known[name])
	}
	if len(f.now) == 0 && !f.told {
		f.told = true
		f.log.Warn("there is no such log group yet, waiting for one", "groups", f.patterns())
	}
	return nil
}

// look searches each group once from where it is to be read on.
func (f *follower) look(ctx context.Context, emit func(Event) error) error {
	var all []*pages
	trails := make(map[*pages]*trail)
	for _, t := range f.now {
		if f.query.Filter != "" {
			if err := f.probe(ctx, t); err != nil {
				return err
			}
		}
		p := f.pages(t.group, t.named, t.from)
		all, trails[p] = append(all, p), t
	}
	err := f.merge(ctx, all, func(p *pages, e Event) error {
		t := trails[p]
		fresh := t.fresh(e, p.began, f.cfg.Overlap)
		if err := f.bound(t); err != nil {
			return err
		}
		if !fresh {
			return nil
		}
		return f.give(e, emit)
	})
	if err != nil {
		return err
	}
	for _, t := range f.now {
		t.from = t.start(f.cfg.Overlap)
		t.forget(t.from)
	}
	return nil
}

// newestFirstSince is the earliest that the service takes for the newest first.
var newestFirstSince = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// probe moves the place of t to the newest event that there is, whatever the filter
// says of it: where the filter finds nothing, all since the last find would be searched
// again and again.
func (f *follower) probe(ctx context.Context, t *trail) error {
	from := t.from
	if from.Before(newestFirstSince) {
		from = newestFirstSince
	}
	p := f.pages(t.group, t.named, from)
	p.in.FilterPattern, p.in.StartFromHead, p.in.Limit = nil, aws.Bool(false), aws.Int32(1)
	if err := p.fill(ctx, f.Reader); err != nil {
		return err
	}
	if len(p.events) > 0 {
		t.move(p.take().Time, p.began)
	}
	return nil
}

// bound keeps what t remembers within its part of the memory.
func (f *follower) bound(t *trail) error {
	most := f.cfg.Remember / max(len(f.now), 1)
	if len(t.given) <= most {
		return nil
	}
	t.forget(t.start(f.cfg.Overlap))
	if len(t.given) <= most/4*3 { // else it would be full again at once
		return nil
	}
	// What is forgotten is not asked for again.
	times := slices.Sorted(maps.Values(t.given))
	least := time.UnixMilli(min(times[len(times)/2], t.place.UnixMilli()))
	if least.After(t.least) {
		t.least = least
	}
	t.forget(t.least)
	if len(t.given) > most {
		return refuse("log group %s has more than %d events of one moment, or ahead of the service's clock: too many to tell them from new ones", t.group, most)
	}
	f.log.Warn("more events than can be remembered, some that come late may be left out", "group", t.group, "remembered", len(t.given), "from", t.least)
	return nil
}

// A trail is how far one group was read.
type trail struct {
	group string
	named bool
	least time.Time         // what is earlier is not asked for
	from  time.Time         // where the search that goes on began; zero: all
	place time.Time         // of the newest event, never later than when a search began that has seen all before it
	given map[eventID]int64 // events by the milliseconds of their time: all that may be read again
}

// An eventID is a digest of the service's id.
type eventID [16]byte

// start is where the next search has to begin.
func (t *trail) start(overlap time.Duration) time.Time {
	if t.place.IsZero() || t.place.Add(-overlap).Before(t.least) {
		return t.least
	}
	return t.place.Add(-overlap)
}

// move goes on to an event at at, but not behind when the search began: what could be
// read only after it may lie behind that.
func (t *trail) move(at, began time.Time) {
	if began.Before(at) {
		at = began
	}
	if at.After(t.place) {
		t.place = at
	}
}

// fresh tells an event that was not given before, and remembers it.
func (t *trail) fresh(e Event, began time.Time, overlap time.Duration) bool {
	t.move(e.Time, began)
	digest := sha256.Sum256([]byte(e.ID))
	id := eventID(digest[:16])
	if _, known := t.given[id]; known {
		return false
	}
	if at := e.Time.UnixMilli(); at >= t.start(overlap).UnixMilli() {
		t.given[id] = at
	}
	return true
}

// forget drops what lies before the moment from which a search begins.
func (t *trail) forget(before time.Time) {
	if before.IsZero() {
		return
	}
	maps.DeleteFunc(t.given, func(_ eventID, at int64) bool { return at < before.UnixMilli() })
}
