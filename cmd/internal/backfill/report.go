package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/sinks/objects"
)

// Report is what came of a job.
type Report struct {
	ID   string `json:"job"`
	From string `json:"from"`
	Sums
	Inventory int64    `json:"inventory_objects"`
	Damaged   []Damage `json:"damaged"` // the first of them
	Orphans   int64    `json:"orphans"`
	Orphaned  []string `json:"orphan_keys"` // the first of them
	// Appeared and Changed count what the listing at the end has and the inventory has
	// not: new objects, and those that became others after they were imported.
	Appeared    int64    `json:"appeared"`
	Changed     int64    `json:"changed"`
	ChangedKeys []string `json:"changed_keys"` // the first of them, new ones included

	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Seconds float64   `json:"seconds"` // importing, of the last run
	Already bool      `json:"-"`       // the job had ended before
}

// Whole reports whether all that was meant is imported.
func (r *Report) Whole() bool { return r.Faults == 0 && r.Rejects == 0 }

// finish looks at the source once more and ends the job.
func (b *Backfill) finish(ctx context.Context) (*Report, error) {
	b.mu.Lock()
	r := &Report{
		ID: b.job.ID(), From: b.job.From(), Sums: b.sums, Inventory: b.inventory.Objects, Damaged: append([]Damage{}, b.damaged...),
		Orphans: b.inventory.Orphans, Orphaned: append([]string{}, b.inventory.Named...), ChangedKeys: []string{},
		Begun: b.doc.Begun, Ended: time.Now().UTC(), Seconds: time.Since(b.imported).Seconds(),
	}
	b.mu.Unlock()
	if err := b.compare(ctx, r); err != nil {
		return nil, fmt.Errorf("all is imported, but not looked through: %w", err)
	}
	if err := create(ctx, b.state, doneFile, r); err != nil && !errors.Is(err, objects.ErrExists) {
		return nil, fmt.Errorf("store the end: %w", err)
	}
	return r, nil
}

// compare holds the inventory against a new listing. Both are in the order of their
// keys, so that neither is held.
func (b *Backfill) compare(ctx context.Context, r *Report) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	known, failed := make(chan entry, 1000), make(chan error, 1)
	go func() {
		defer close(known)
		failed <- b.eachEntry(reading, func(e entry) error {
			select {
			case known <- e:
				return nil
			case <-reading.Done():
				return context.Cause(reading)
			}
		})
	}()
	next, more := <-known
	err := b.source.list(ctx, func(page []object, fates []fate) error {
		for i, o := range page {
			if fates[i] != taken {
				continue
			}
			for more && next.Key < o.key {
				next, more = <-known
			}
			switch there := more && next.Key == o.key; {
			case there && next.ETag != o.etag:
				r.Changed++
				r.tell(o.key)
			case !there && o.modified.After(b.doc.Begun.Add(-clockSkew)): // the others are orphans
				r.Appeared++
				r.tell(o.key)
			}
		}
		return nil
	})
	stop()
	for range known {
		continue // until it is closed
	}
	if readErr := <-failed; err == nil && !errors.Is(readErr, context.Canceled) {
		err = readErr
	}
	return err
}

// clockSkew is how far S3's clock may be behind ours.
const clockSkew = time.Minute

func (r *Report) tell(key string) {
	if len(r.ChangedKeys) < maxNamed {
		r.ChangedKeys = append(r.ChangedKeys, key)
	}
}
