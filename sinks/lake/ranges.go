package lake

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/sinks/objects"
	"tributary/stream"
)

// A Written range is one that a lake holds, as its manifest tells.
type Written struct {
	stream.Range
	Key  string // of the manifest
	Plan string // hex SHA-256 of the plan's text
	// ArrivalFirst and ArrivalLast are when its first and last record arrived.
	ArrivalFirst, ArrivalLast time.Time
	Records, Rows, Bytes      int64
	Objects                   int
}

// WrittenObject is one of a range's.
type WrittenObject struct {
	Key         string
	Rows, Bytes int64
}

// Ranges calls each for the ranges with records that arrived at from or later and
// before until, and for the one before them of each shard and generation, which shows
// whether anything is missing in between. They come shard by shard, and within one in
// the order of their first records, generations among one another.
//
// Manifests of other times are listed, and hardly any is read: of those before, none
// that was written before from, and of those behind, some of each shard.
func (p *Prover) Ranges(ctx context.Context, from, until time.Time, each func(Written) error) error {
	run := p.proving()
	w := window{proving: run, from: from, until: until, each: each}
	folder := run.prefix + rangesFolder + "/"
	err := run.list(ctx, folder, func(o listedObject) error {
		shard, name, below := strings.Cut(strings.TrimPrefix(o.key, folder), "/")
		text, _, generation, ok := parseName(name, ".json")
		if !below || !ok || text != "" {
			return nil // lake verify tells
		}
		if shard != w.shard {
			if err := w.next(ctx, shard); err != nil {
				return err
			}
		}
		return w.add(ctx, o, generation)
	})
	if err == nil {
		err = w.next(ctx, "")
	}
	if err != nil {
		return fmt.Errorf("look at the ranges of s3://%s/%s: %w", p.cfg.Bucket, run.prefix, err)
	}
	return nil
}

// window walks through the manifests of one shard after the other.
type window struct {
	*proving
	from, until time.Time
	each        func(Written) error

	shard string
	prior map[uint64]Written      // by generation: the last one before from
	older map[uint64]listedObject // likewise, known by its age alone
	past  map[uint64]bool         // until was reached
	batch []listedObject
}

func (w *window) next(ctx context.Context, shard string) error {
	err := w.read(ctx)
	w.shard = shard
	w.prior, w.older, w.past = map[uint64]Written{}, map[uint64]listedObject{}, map[uint64]bool{}
	return err
}

func (w *window) add(ctx context.Context, o listedObject, generation uint64) error {
	switch {
	case w.past[generation]:
		return nil
	case o.modified.Before(w.from.Add(-clocks)): // of nothing that had not arrived by then
		w.older[generation] = o
		return nil
	}
	if older, ok := w.older[generation]; ok {
		delete(w.older, generation)
		w.batch = append(w.batch, older)
	}
	w.batch = append(w.batch, o)
	if len(w.batch) < batchManifests {
		return nil
	}
	return w.read(ctx)
}

// clocks is how far the clocks of stream and bucket may differ.
const clocks = time.Minute

func (w *window) read(ctx context.Context) error {
	found := make([]Written, len(w.batch))
	g, getting := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range w.batch {
		g.Go(func() error {
			m, fault, err := w.readManifest(getting, w.batch[i].key)
			if err == nil && m == nil {
				err = fmt.Errorf("manifest %s %s", w.batch[i].key, fault)
			}
			if err == nil {
				found[i] = m.written(w.batch[i].key)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	w.batch = w.batch[:0]
	for _, r := range found {
		if err := w.tell(r); err != nil {
			return err
		}
	}
	return nil
}

// tell passes a range on, behind the one before it.
func (w *window) tell(r Written) error {
	switch {
	case r.ArrivalLast.Before(w.from):
		w.prior[r.Generation] = r
		return nil
	case !r.ArrivalFirst.Before(w.until):
		w.past[r.Generation] = true
		return nil
	}
	if prior, ok := w.prior[r.Generation]; ok {
		delete(w.prior, r.Generation)
		if err := w.each(prior); err != nil {
			return err
		}
	}
	return w.each(r)
}

func (m *manifest) written(key string) Written {
	w := Written{
		Range: stream.Range{Shard: m.Shard, Generation: m.Generation, After: m.After, First: m.First, Last: m.Last, Truncated: m.Truncated},
		Key:   key, Plan: m.Plan, ArrivalFirst: m.ArrivalFirst, ArrivalLast: m.ArrivalLast, Records: m.Records, Rows: m.Rows, Objects: len(m.Objects),
	}
	for _, o := range m.Objects {
		w.Bytes += o.Bytes
	}
	return w
}

// ObjectsOf reads which objects a range has, in their order.
func (p *Prover) ObjectsOf(ctx context.Context, r Written) ([]WrittenObject, error) {
	m, fault, err := p.proving().readManifest(ctx, r.Key)
	if err == nil && m == nil {
		err = fmt.Errorf("manifest %s %s", r.Key, fault)
	}
	if err != nil {
		return nil, err
	}
	all := make([]WrittenObject, len(m.Objects))
	for i, o := range m.Objects {
		all[i] = WrittenObject{Key: o.Key, Rows: o.Rows, Bytes: o.Bytes}
	}
	return all, nil
}

// pieceBytes of an object are asked for at a time: each within one attempt.
const pieceBytes = 8 << 20

// Load reads a whole object into memory.
func (p *Prover) Load(ctx context.Context, o WrittenObject) ([]byte, error) {
	content := make([]byte, 0, o.Bytes)
	for int64(len(content)) < o.Bytes {
		from := int64(len(content))
		to := min(from+pieceBytes, o.Bytes)
		err := objects.Patiently(ctx, func() error {
			got, err := p.store.get(ctx, p.cfg.Bucket, o.Key, to-from, fmt.Sprintf("bytes=%d-%d", from, to-1))
			if err == nil && int64(len(got.tail)) != to-from {
				err = fmt.Errorf("%d bytes came instead of %d", len(got.tail), to-from)
			}
			if err == nil {
				content = append(content, got.tail...)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read s3://%s/%s: %w", p.cfg.Bucket, o.Key, err)
		}
	}
	return content, nil
}

func (p *Prover) proving() *proving {
	run := &proving{Prover: p}
	if p.cfg.Prefix != "" {
		run.prefix = p.cfg.Prefix + "/"
	}
	return run
}
