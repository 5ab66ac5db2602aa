package backfill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/sinks/lake"
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

// reader reads batches, one after the other.
type reader struct {
	*Backfill
	lines   *lineReader
	events  *lineEvents
	encoder *schema.Encoder
}

func (b *Backfill) newReader() (*reader, error) {
	events, err := newLineEvents(b.rules)
	return &reader{b, newLineReader(), events, schema.NewEncoder()}, err
}

// read imports what is left of a batch.
func (r *reader) read(ctx context.Context, next batch) error {
	shard := shardOf(next)
	sink, err := r.importer.Open(ctx, shard, r.doc.Plan)
	if err != nil {
		return err
	}
	p := &packer{Backfill: r.Backfill, ctx: ctx, sink: sink, batch: next.number, shard: shard, encoder: r.encoder}
	if before, begun := r.open[next.number]; begun {
		p.number, p.here = before.Range+1, before.Next
	}
	rest := next.objects[p.here.Object:]
	ahead := r.source.fetch(ctx, rest)
	defer ahead.stop()
	skip := p.here.Event
	for i := range rest {
		p.here = position{Object: len(next.objects) - len(rest) + i}
		o := ahead.next()
		if o == nil {
			return context.Cause(ctx)
		}
		if err := r.object(ctx, p, o, skip); err != nil {
			return err
		}
		p.step.Objects++
		p.step.Bytes += o.size
		skip = 0
	}
	p.here = position{Object: len(next.objects)}
	return p.end(true)
}

// fatal is an error that ends the run, as opposed to one of an object.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// object reads one object from an event on. What is wrong with the object itself is
// noted; an error ends the run.
func (r *reader) object(ctx context.Context, p *packer, o *fetched, skip int64) error {
	seen := int64(0)
	take := func(e *schema.Event) error {
		p.here.Event = seen
		seen++
		switch {
		case seen <= skip:
			return nil
		case !p.job.means(e.Time):
			p.step.Outside++
			return nil
		}
		if err := p.add(e); err != nil {
			return fatal{err}
		}
		return nil
	}
	var err error
	if o.form == parquet {
		err = r.parquet(ctx, o, take)
	} else {
		err = r.text(ctx, o, take, func(size int64) error {
			p.here.Event = seen
			seen++
			if seen <= skip {
				return nil
			}
			return p.tooLong(&o.object, p.here.Event, size)
		})
	}
	var ends fatal
	var store unreadable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ends):
		return ends.error
	case errors.As(err, &store):
		return store.error
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	p.damage(&o.object, seen, err)
	return nil
}

func (r *reader) parquet(ctx context.Context, o *fetched, take func(*schema.Event) error) error {
	in, release, err := o.random(ctx, r.source)
	if err != nil {
		return err
	}
	if err = o.intact(in); err == nil {
		err = lake.Read(in, o.size, o.kind, take)
	}
	return errors.Join(err, release())
}

// intact holds an object against its manifest's hash. What is not as it was written
// would be read as whatever it says.
func (o *object) intact(in io.ReaderAt) error {
	if o.sha256 == "" {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(in, 0, o.size)); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != o.sha256 {
		return fmt.Errorf("its SHA-256 is %s, and %s in its manifest", sum, o.sha256)
	}
	return nil
}

func (r *reader) text(ctx context.Context, o *fetched, take func(*schema.Event) error, tooLong func(size int64) error) (err error) {
	in, err := o.stream(ctx, r.source)
	if err != nil {
		return err
	}
	defer in.Close()
	for r.lines.reset(in, strings.HasSuffix(strings.ToLower(o.key), ".gz")); ; {
		l, err := r.lines.next()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if l.size > maxLine {
			if err := tooLong(l.size); err != nil {
				return fatal{err}
			}
			continue
		}
		if l.torn && !torn(r.lines.err) {
			return r.lines.err // the line goes on where reading could not
		}
		if err := take(r.events.of(l, &o.object)); err != nil {
			return err
		}
	}
}

// torn reports whether an object's own content is at fault.
func torn(err error) bool {
	var store unreadable
	return !errors.As(err, &store)
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
