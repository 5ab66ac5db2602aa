package lake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tributary/sinks/held"
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
	s.pending = newPending(s.shard, s.plan)
	s.placed = map[string]manifestObject{}
	s.size.Store(0)
}

// Size is the bytes held by what was appended and not yet flushed.
func (s *Sink) Size() int64 { return s.size.Load() }

// Append takes one record, of which it keeps a copy as it came, and of its events
// only where they belong. Records come in the order of their sequence numbers.
func (s *Sink) Append(b stream.Batch) error {
	if b.Sequence == "" {
		return nil
	}
	if err := s.pending.Check(b); err != nil {
		return err
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
	if s.pending.Taken == 0 && r == s.flushed {
		return nil
	}
	if err := s.pending.Within(r); err != nil {
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

func (s *Sink) placeObjects(ctx context.Context, r stream.Range) (*manifest, error) {
	p := s.pending
	slices.SortFunc(p.partitions, func(a, b *partition) int { return cmp.Compare(a.path, b.path) })
	if err := s.placeMissing(ctx, r); err != nil {
		return nil, err
	}
	m := &manifest{
		Format: s.plan.format, Shard: r.Shard, Generation: r.Generation, After: r.After, First: r.First, Last: r.Last,
		Truncated: r.Truncated, Plan: s.planSum,
		Records: p.Taken, ArrivalFirst: p.arrivalFirst.UTC(), ArrivalLast: p.arrivalLast.UTC(),
		LineBytes: p.lines, Late: p.late, Duplicates: p.duplicates, Rejects: p.rejects,
		Objects: []manifestObject{},
	}
	for _, part := range p.partitions {
		o := s.placed[s.plan.objectKey(part.path, r)]
		m.Objects = append(m.Objects, o)
		m.Rows += o.Rows
	}
	return m, nil
}

// placeMissing encodes and uploads the partitions that are not yet durable, one at
// a time. Only some rows' lines are in the clear at a time, and one object, within
// EncodeBytes for all shards.
func (s *Sink) placeMissing(ctx context.Context, r stream.Range) error {
	var missing []*partition
	var groups [][]held.Row
	var total, largest int64
	ranks := s.pending.ranks()
	for _, part := range s.pending.partitions {
		if _, done := s.placed[s.plan.objectKey(part.path, r)]; !done {
			part.sort(ranks)
			missing, groups = append(missing, part), append(groups, part.rows)
			total += part.bytes
			largest = max(largest, part.bytes)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	inClear := s.lake.cfg.EncodeBytes / 3 * 2
	budget, err := s.lake.encode.Reserve(ctx, min(inClear, total)+largest/usualCompression+encodeCharge)
	if err != nil {
		return err
	}
	defer budget.Shrink(0)
	lines := held.NewLoader()
	var e *encoder
	for rest := held.Cut(groups, inClear); len(rest) > 0; rest = rest[1:] {
		rows := held.Rows(groups, rest[0])
		loaded, err := lines.Load(s.pending.List, rows)
		if err != nil {
			return err
		}
		for _, piece := range rest[0] {
			p := missing[piece.Group]
			if piece.From == 0 {
				e = newEncoder(s.plan.layouts[p.kind], s.plan.splitter(p.kind), s.shard, s.pending.List, s.lake.codec,
					sizes{rowGroup: s.lake.cfg.RowGroupBytes, page: s.lake.cfg.PageBytes}, p.bytes)
			}
			n := piece.To - piece.From
			for i := range n {
				if err := e.add(&rows[i], &loaded[i], s.pending.services[rows[i].Name]); err != nil {
					return fmt.Errorf("encode %s: %w", p.path, err)
				}
			}
			if err := e.writeChunk(); err != nil { // the lines go with the next load
				return fmt.Errorf("encode %s: %w", p.path, err)
			}
			rows, loaded = rows[n:], loaded[n:]
			if piece.To < len(p.rows) {
				continue
			}
			if len(rest) == 1 && len(rows) == 0 {
				lines = nil
			}
			if err := s.placeObject(ctx, e, p, r, budget, lines == nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// placeObject ends an object and uploads it. Behind the last one of a flush only its
// own bytes count.
func (s *Sink) placeObject(ctx context.Context, e *encoder, part *partition, r stream.Range, budget *held.Reservation, last bool) error {
	key := s.plan.objectKey(part.path, r)
	content, wrote, err := e.close()
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	s.plan.done(part.kind, e.splits, s.lake.metrics)
	o, err := newObject(s.plan, key, content, wrote, e.layout)
	if err != nil {
		s.lake.metrics.verifyFailures.Inc()
		return err
	}
	if last {
		budget.Shrink(int64(cap(content)))
	}
	placed, err := s.lake.place(ctx, o, r)
	if err != nil {
		return err
	}
	s.placed[key] = placed
	s.lake.count(placed)
	return nil
}
