package treasuredata

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/stream"
)

// Sink collects the events of one shard and imports them on Flush. One goroutine
// calls it, Size excepted. Between calls it owns no goroutine, file or connection.
type Sink struct {
	importer *Importer
	shard    stream.ShardID
	layout   *layout

	size    atomic.Int64
	pending *pending
	// attempt remembers, across failed attempts at one range, what TD said of each
	// body.
	attempt *attempt
	// flushed is the last range that was flushed whole.
	flushed stream.Range
}

func (s *Sink) reset() {
	s.pending = newPending(s.shard, s.layout)
	s.attempt = nil
	s.size.Store(0)
}

// Size is the bytes held by what was appended and not yet flushed.
func (s *Sink) Size() int64 { return s.size.Load() }

// Place is where an event stood in the stream that it was read from first.
type Place struct {
	Shard    stream.ShardID // empty: nowhere
	Sequence stream.SequenceNumber
	Index    uint32
}

// placeBytes is what a place costs, with its sequence number's letters.
const placeBytes = 112

// AppendPlaced is Append for events that come from elsewhere than the stream: places,
// one for each event, fill the columns shard, sequence and index.
func (s *Sink) AppendPlaced(b stream.Batch, places []Place) error {
	if err := s.Append(b); err != nil || !s.layout.columns.placed() || len(b.Events) == 0 {
		return err
	}
	p := s.pending
	if p.places == nil {
		p.places = map[int32][]Place{}
	}
	p.places[int32(len(p.List)-1)] = slices.Clone(places)
	s.size.Add(int64(len(places)) * placeBytes)
	return nil
}

// Append takes one record, of which it keeps a copy as it came, and of its events
// only where they belong. Records come in the order of their sequence numbers.
func (s *Sink) Append(b stream.Batch) error {
	if b.Sequence == "" {
		return nil
	}
	if err := s.pending.Check(b); err != nil {
		return err
	}
	s.attempt = nil
	s.size.Add(s.pending.add(b))
	return nil
}

// Flush imports all that was appended and returns nil when TD has every row, but
// those that the reject store has. Called again with the same range it does nothing
// new. After an error everything appended is still held. No error is permanent.
func (s *Sink) Flush(ctx context.Context, r stream.Range) error {
	began := time.Now()
	if s.pending.Taken == 0 && r == s.flushed {
		return nil
	}
	if err := s.pending.Within(r); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if s.attempt == nil || s.attempt.rng != r {
		s.attempt = s.newAttempt(r)
	}
	err := s.deliver(ctx)
	if err == nil {
		err = s.setAside(ctx)
	}
	if err != nil {
		return fmt.Errorf("flush %s to %s: %w", r.First, r.Last, err)
	}
	s.importer.client.calm()
	s.importer.metrics.flush.Observe(time.Since(began).Seconds())
	s.importer.log.Debug("range flushed", "shard", s.shard, "first", r.First, "last", r.Last,
		"rows", s.pending.rows, "tables", len(s.pending.tables), "seconds", time.Since(began).Seconds())
	s.flushed = r
	s.reset()
	return nil
}

// nameBytes is what a source's or a table's name costs beside its letters.
const nameBytes = 256

// table collects the rows of one table, in the stream's order.
type table struct {
	tableName
	rows []held.Row
}

// pending is what was appended since the last flush.
type pending struct {
	held.Records
	layout  *layout
	tables  []*table
	byName  map[tableName]*table
	sources []source
	homes   []*table // of sources
	numbers map[source]uint32
	names   int64 // bytes: of sources and tables
	rows    int64
	places  map[int32][]Place // of records, by their events' indexes
}

func newPending(shard stream.ShardID, l *layout) *pending {
	return &pending{Records: held.Records{Span: held.Span{Shard: shard}}, layout: l, byName: map[tableName]*table{}, numbers: map[source]uint32{}}
}

// add takes b and returns the bytes that are held for it.
func (p *pending) add(b stream.Batch) int64 {
	size, names := p.Take(b), p.names
	for i := range b.Events {
		e := &b.Events[i]
		from, at := source{cmp.Or(e.Origin, &noOrigin).Service, e.Kind}, e.Time
		if e.Kind == schema.KindUnset {
			arrival := b.Arrival.UnixNano()
			v := p.layout.classifier.Classify(e.Line, e.Origin, at, arrival)
			from, at = source{v.Service, v.Kind}, v.Time
		}
		number := p.number(from)
		home := p.homes[number]
		home.rows = append(home.rows, p.Row(e, at, number))
	}
	p.rows += int64(len(b.Events))
	return size + p.names - names
}

// number finds or opens the table of a source.
func (p *pending) number(from source) uint32 {
	if n, known := p.numbers[from]; known {
		return n
	}
	// A name taken out of a line would keep the whole record alive.
	from.service = strings.Clone(from.service)
	name := tableName{p.layout.database.name(from.service, from.kind), p.layout.table.name(from.service, from.kind)}
	home := p.byName[name]
	if home == nil {
		home = &table{tableName: name}
		p.byName[name] = home
		p.tables = append(p.tables, home)
		p.names += nameBytes + int64(len(name.database)+len(name.table))
	}
	n := uint32(len(p.sources))
	p.sources, p.homes = append(p.sources, from), append(p.homes, home)
	p.numbers[from] = n
	p.names += nameBytes + int64(len(from.service))
	return n
}

// sorted are the tables in the order of their names.
func (p *pending) sorted() []*table {
	slices.SortFunc(p.tables, func(a, b *table) int {
		return cmp.Or(strings.Compare(a.database, b.database), strings.Compare(a.tableName.table, b.tableName.table))
	})
	return p.tables
}
