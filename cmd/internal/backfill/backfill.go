package backfill

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/sinks/objects"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

// Parts are what a Backfill works with.
type Parts struct {
	API     API
	Options objects.Options // how the source is read
	// Hidden are prefixes of the source's bucket that are not for import, such as that
	// of the rejects.
	Hidden []string
	State  State
	Rules  schema.Rules
	// Rejects keeps what is not taken, for the job's group.
	Rejects Rejects
	// Importer makes the sink, which is given the rejects to use. It is that of the
	// job's group and of Config.EncodeBytes.
	Importer func(Rejects) (*treasuredata.Importer, error)
	Endpoint string // of imports, as it was configured
	Log      *slog.Logger
}

// Backfill is one run of a job. Plan and Run are called one after the other.
type Backfill struct {
	cfg      Config
	job      Job
	source   *source
	state    State
	rules    schema.Rules
	kept     *countedRejects
	importer *treasuredata.Importer
	endpoint string
	epoch    schema.Epoch
	log      *slog.Logger

	doc       jobDocument
	inventory inventoryDocument
	open      map[int64]step // the last one of batches that are not ended
	ended     map[int64]bool

	mu       sync.Mutex
	sums     Sums // of all steps
	before   Sums // of those of earlier runs
	damaged  []Damage
	imported time.Time // when importing began
}

// New returns a run of a job. It does no I/O.
func New(cfg Config, job Job, p Parts) (*Backfill, error) {
	if err := errors.Join(cfg.Validate(), job.Validate()); err != nil {
		return nil, fmt.Errorf("backfill: %w", err)
	}
	zone := time.UTC
	if p.Rules.TimeZone != "" {
		var err error
		if zone, err = time.LoadLocation(p.Rules.TimeZone); err != nil {
			return nil, fmt.Errorf("backfill: %w", err)
		}
	}
	kept := &countedRejects{Rejects: p.Rejects, put: map[stream.ShardID]int64{}}
	im, err := p.Importer(kept)
	if err != nil {
		return nil, fmt.Errorf("backfill: %w", err)
	}
	sum := sha256.Sum256([]byte(job.Group()))
	return &Backfill{
		cfg: cfg, job: job, state: p.State, rules: p.Rules, kept: kept, importer: im, endpoint: p.Endpoint, epoch: schema.Epoch(sum[:16]), log: p.Log,
		source: &source{p.API, p.Options, job, zone, p.Hidden},
		open:   map[int64]step{}, ended: map[int64]bool{},
	}, nil
}

// Run imports what is left of the job. An error leaves a job that goes on.
func (b *Backfill) Run(ctx context.Context) (*Report, error) {
	if n := b.cfg.batches(b.cfg.rangeBytes()); n < 1 {
		return nil, fmt.Errorf("memory of %d is too little", b.cfg.Memory)
	}
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	atOnce := b.cfg.batches(b.doc.RangeBytes)
	if atOnce < 1 {
		return nil, fmt.Errorf("the job was begun with ranges of %d MiB, which do not fit into memory of %d MiB: give it as much as then", b.doc.RangeBytes>>20, b.cfg.Memory>>20)
	}
	already := &Report{}
	if err := load(ctx, b.state, doneFile, already); !errors.Is(err, errMissing) {
		already.Already = true
		return already, err
	}
	if err := b.takeInventory(ctx); err != nil {
		return nil, err
	}
	if b.inventory.Orphans > 0 {
		b.log.Warn("objects that no manifest of the lake names are left out", "objects", b.inventory.Orphans, "first", b.inventory.Named[0])
	}
	if err := b.readSteps(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.before, b.imported = b.sums, time.Now()
	b.mu.Unlock()
	if err := b.importAll(ctx, atOnce); err != nil {
		return nil, err
	}
	return b.finish(ctx)
}

// importAll deals the batches that are left out to readers.
func (b *Backfill) importAll(ctx context.Context, atOnce int) error {
	g, working := errgroup.WithContext(ctx)
	batches := make(chan batch)
	g.Go(func() error {
		defer close(batches)
		return b.eachBatch(working, func(next batch) error {
			if b.ended[next.number] {
				return nil
			}
			select {
			case batches <- next:
				return nil
			case <-working.Done():
				return context.Cause(working)
			}
		})
	})
	for range atOnce {
		g.Go(func() error {
			w, err := b.newReader()
			if err != nil {
				return err
			}
			for next := range batches {
				if err := w.read(working, next); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// flush imports a range, however often that takes.
func (b *Backfill) flush(ctx context.Context, sink *treasuredata.Sink, r stream.Range) error {
	return b.patiently(ctx, func() error {
		b.kept.take(r.Shard)
		return sink.Flush(ctx, r)
	})
}

const (
	firstWait = time.Second
	maxWait   = 30 * time.Second
)

// patiently repeats what fails until it succeeds or the patience is over.
func (b *Backfill) patiently(ctx context.Context, do func() error) error {
	began := time.Now()
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := do()
		patience := b.cfg.Patience
		if errors.Is(err, treasuredata.ErrKeyRefused) {
			patience = b.cfg.KeyPatience
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case stream.IsPermanent(err), time.Since(began)+wait > patience:
			return err
		}
		b.log.Warn("not taken, trying again", "wait", wait, "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// done makes a step durable.
func (b *Backfill) done(ctx context.Context, s step) error {
	name := fmt.Sprintf("%s%08d-%08d.json", stepsFolder, s.Batch, s.Range)
	// Another process with the same job may have been there: the same range, imported
	// under the same ids.
	if err := create(ctx, b.state, name, s); err != nil && !errors.Is(err, objects.ErrExists) {
		return fmt.Errorf("store a step: %w", err)
	}
	b.count(s)
	return nil
}

func (b *Backfill) count(s step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sums.add(s.Sums)
	b.damaged = append(b.damaged, s.Damaged[:min(len(s.Damaged), maxNamed-len(b.damaged))]...)
}

// stepsAtOnce are read.
const stepsAtOnce = 16

// readSteps finds out what earlier runs have imported.
func (b *Backfill) readSteps(ctx context.Context) error {
	var mu sync.Mutex
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(stepsAtOnce)
	err := b.state.List(ctx, stepsFolder, func(name string) error {
		if !strings.HasSuffix(name, ".json") {
			return nil
		}
		g.Go(func() error {
			var s step
			if err := load(reading, b.state, name, &s); err != nil {
				return fmt.Errorf("read a step: %w", err)
			}
			if s.Version != stateVersion {
				return fmt.Errorf("read a step: %s/%s has version %d, this build knows %d", b.state, name, s.Version, stateVersion)
			}
			b.count(s)
			mu.Lock()
			defer mu.Unlock()
			if s.Last {
				b.ended[s.Batch] = true
				delete(b.open, s.Batch)
			} else if last, begun := b.open[s.Batch]; !b.ended[s.Batch] && (!begun || last.Range < s.Range) {
				s.Damaged = nil
				b.open[s.Batch] = s
			}
			return nil
		})
		return nil
	})
	if failed := g.Wait(); failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("list steps: %w", err)
	}
	return nil
}

// Figures are how far a run has come.
type Figures struct {
	Sums                     // all runs of the job
	Before         Sums      // of them, those of earlier runs
	Objects, Bytes int64     // of the inventory; 0 until it is taken
	Since          time.Time // importing began; zero before
}

// Figures is safe from any goroutine while Run runs.
func (b *Backfill) Figures() Figures {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := Figures{Sums: b.sums, Before: b.before, Since: b.imported}
	if !b.imported.IsZero() {
		f.Objects, f.Bytes = b.inventory.Objects, b.inventory.Bytes
	}
	return f
}
