package lake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tributary/stream"
)

// Sink collects the events of one shard and writes them on Flush. One goroutine
// calls it, Size excepted. It owns no goroutine, file or connection.
type Sink struct {
	lake    *Lake
	shard   stream.ShardID
	plan    *layoutPlan
	planSum string

	size    atomic.Int64
	pending *pending
	// flushed is the last range that was flushed whole.
	flushed stream.Range
	// placed remembers by key, across failed attempts at one range, what is durable.
	// Without it every attempt would ask S3 for every object again, and with enough
	// objects one of the requests always fails.
	placed      map[string]manifestObject
	placedRange stream.Range
}

func (s *Sink) reset() {
	s.pending = newPending(s.plan)
	s.placed = map[string]manifestObject{}
	s.size.Store(0)
}

// Size is the bytes held by what was appended and not yet flushed.
func (s *Sink) Size() int64 { return s.size.Load() }

// Append takes one record's events and keeps b's bytes until Flush returns nil.
// Records come in the order of their sequence numbers.
func (s *Sink) Append(b stream.Batch) error {
	if b.Sequence == "" {
		return nil
	}
	if b.Shard != s.shard {
		return fmt.Errorf("append: a record of %s came to the sink of %s", b.Shard, s.shard)
	}
	if s.pending.taken > 0 && b.Sequence.Compare(s.pending.last) <= 0 {
		return fmt.Errorf("append: record %s came after %s", b.Sequence, s.pending.last)
	}
	clear(s.placed)
	s.size.Add(s.pending.add(b))
	return nil
}

// Flush writes one object for each partition of what was appended, then the
// range's manifest, and returns nil when all of it is durable and verified.
// Called again with the same range it does nothing new. After an error
// everything appended is still held. An error is permanent only when S3 holds
// something else under the range's names.
func (s *Sink) Flush(ctx context.Context, r stream.Range) error {
	began := time.Now()
	if s.pending.taken == 0 && r == s.flushed {
		return nil
	}
	if err := s.check(r); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if r != s.placedRange {
		clear(s.placed)
		s.placedRange = r
	}
	m, err := s.placeObjects(ctx, r)
	if err != nil {
		return fmt.Errorf("flush %s to %s: %w", r.First, r.Last, err)
	}
	if err := s.lake.placeManifest(ctx, s.plan.bucket, s.plan.manifestKey(r), m); err != nil {
		return fmt.Errorf("flush %s to %s: %w", r.First, r.Last, err)
	}
	s.lake.metrics.late.Add(float64(s.pending.late))
	s.lake.metrics.lineBytes.Add(float64(s.pending.lines))
	s.lake.metrics.flush.Observe(time.Since(began).Seconds())
	s.lake.log.Debug("range flushed", "shard", s.shard, "first", r.First, "last", r.Last,
		"rows", m.Rows, "objects", len(m.Objects), "seconds", time.Since(began).Seconds())
	s.flushed = r
	s.reset()
	return nil
}

// check refuses a range that does not cover what was appended: its rows would
// come again with the next range, under another name.
func (s *Sink) check(r stream.Range) error {
	if r.Shard != s.shard {
		return fmt.Errorf("a range of %s came to the sink of %s", r.Shard, s.shard)
	}
	if r.First == "" || r.First.Compare(r.Last) > 0 {
		return fmt.Errorf("range %q to %q holds nothing", r.First, r.Last)
	}
	if s.pending.taken > 0 {
		first, last := s.pending.first, s.pending.last
		if first.Compare(r.First) < 0 || last.Compare(r.Last) > 0 {
			return fmt.Errorf("records %s to %s do not lie within the range %s to %s", first, last, r.First, r.Last)
		}
	}
	return nil
}

func (s *Sink) placeObjects(ctx context.Context, r stream.Range) (*manifest, error) {
	p := s.pending
	m := &manifest{
		Format: formatVersion, Shard: r.Shard, Generation: r.Generation, After: r.After, First: r.First, Last: r.Last,
		Truncated: r.Truncated, Plan: s.planSum,
		Records: p.taken, ArrivalFirst: p.arrivalFirst.UTC(), ArrivalLast: p.arrivalLast.UTC(),
		LineBytes: p.lines, Late: p.late, Duplicates: p.duplicates, Rejects: p.rejects,
		Objects: []manifestObject{},
	}
	slices.SortFunc(p.partitions, func(a, b *partition) int { return cmp.Compare(a.path, b.path) })
	for _, part := range p.partitions {
		key := s.plan.objectKey(part.path, r)
		o, done := s.placed[key]
		if !done {
			var err error
			if o, err = s.placePartition(ctx, key, part, r); err != nil {
				return nil, err
			}
			s.placed[key] = o
			s.lake.count(o)
		}
		m.Objects = append(m.Objects, o)
		m.Rows += o.Rows
	}
	return m, nil
}

// placePartition encodes and uploads one partition; only its bytes, and those of
// the other shards within EncodeBytes, are in memory beside the events.
func (s *Sink) placePartition(ctx context.Context, key string, part *partition, r stream.Range) (manifestObject, error) {
	budget, err := s.lake.reserve(ctx, part.bytes+encodeCharge)
	if err != nil {
		return manifestObject{}, err
	}
	defer budget.shrink(0)
	part.sort()
	content, wrote, err := encode(part, s.shard, s.pending.records, s.lake.codec,
		sizes{rowGroup: s.lake.cfg.RowGroupBytes, page: s.lake.cfg.PageBytes})
	if err != nil {
		return manifestObject{}, fmt.Errorf("encode %s: %w", key, err)
	}
	o, err := newObject(s.plan.bucket, key, content, wrote)
	if err != nil {
		s.lake.metrics.verifyFailures.Inc()
		return manifestObject{}, err
	}
	budget.shrink(int64(cap(content)))
	return s.lake.place(ctx, o, r)
}
