package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tributary/consumers"
	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

// lakeShard begins the names of shards that are the lake's part of a replay.
const lakeShard = "lake-"

// fromLake delivers the lake's part, range by range. A shard's ranges follow one
// another in the target too.
func (r *Replay) fromLake(ctx context.Context, o *Outlook) error {
	if !o.Seam.After(r.From) {
		return nil
	}
	r.progress.begin(len(o.units))
	after := map[stream.ShardID]stream.SequenceNumber{}
	for _, u := range o.units {
		part := fmt.Sprintf("lake/%s/%s.g%d", u.Shard, u.First, u.Generation)
		var m mark
		done, err := r.Archive.read(ctx, r.key(part), &m)
		if err == nil && !done {
			m, err = r.deliver(ctx, o.Plan, u, after[u.Shard])
			if err == nil {
				err = r.mark(ctx, part, m)
			}
		}
		if err != nil {
			return fmt.Errorf("deliver range %s of %s from the lake: %w", u.First, u.Shard, err)
		}
		if m.Last != "" {
			after[u.Shard] = m.Last
		}
		r.progress.add(m.Rows)
	}
	return nil
}

// deliver makes one range's rows of the replay's time durable.
func (r *Replay) deliver(ctx context.Context, p Plan, u unit, after stream.SequenceNumber) (mark, error) {
	shard := lakeShard + u.Shard
	sink, err := r.Dest.Open(ctx, shard, p.Plan)
	if err != nil {
		return mark{}, fmt.Errorf("open sink: %w", err)
	}
	f := feeder{unit: u, from: p.From, until: p.Seam, sink: sink, shard: shard, encoder: schema.NewEncoder()}
	objects, err := r.Lake.ObjectsOf(ctx, u.Written)
	if err != nil {
		return mark{}, err
	}
	for _, object := range objects {
		content, err := r.Lake.Load(ctx, object)
		if err != nil {
			return mark{}, err
		}
		if err := lake.Read(bytes.NewReader(content), int64(len(content)), schema.KindUnset, f.add); err != nil {
			return mark{}, fmt.Errorf("read %s: %w", object.Key, err)
		}
		if err := f.cut(); err != nil { // records end with their object
			return mark{}, err
		}
	}
	if f.last == "" {
		return mark{}, nil
	}
	rng := stream.Range{Shard: shard, Generation: p.Generation(), After: after, First: f.first, Last: f.last}
	if err := r.flush(ctx, sink, rng); err != nil {
		return mark{}, err
	}
	return mark{Last: f.last, Records: f.records, Rows: f.rows}, nil
}

// flush repeats a flush until it succeeds, can never succeed, or ctx ends.
func (r *Replay) flush(ctx context.Context, sink consumers.Sink, rng stream.Range) error {
	for failures := 0; ; failures++ {
		err := sink.Flush(ctx, rng)
		if err == nil || stream.IsPermanent(err) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		r.Log.Warn("step failed, trying again", "shard", rng.Shard, "failures", failures+1, "err", err)
		timer := time.NewTimer(200 * time.Millisecond << min(failures, 7))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// A chunk of rows becomes records, one for each time at which some of them arrived.
// Both bounds decide records, and so the names and ids of what is delivered: another
// version keeps them, or raises the format of plans.
const (
	chunkRows  = 4096
	chunkBytes = 4 << 20
)

// feeder makes records of a range's rows and gives them to a sink.
type feeder struct {
	unit
	from, until time.Time
	sink        consumers.Sink
	shard       stream.ShardID
	encoder     *schema.Encoder

	chunk []row
	lines []byte // of the chunk
	bytes int

	ordinal     int64
	first, last stream.SequenceNumber
	records     int64
	rows        int64
}

type row struct {
	event   schema.Event
	arrival time.Time
	place   treasuredata.Place
	from    int // of the line, in lines
	size    int
}

// add takes a row, which is its reader's.
func (f *feeder) add(e *lake.Row) error {
	arrival, err := e.Arrival()
	if err != nil {
		return err
	}
	var at treasuredata.Place
	if at.Shard, at.Sequence, at.Index, err = e.Place(); err != nil {
		return err
	}
	if arrival.Before(f.from) || !arrival.Before(f.until) || f.above != "" && at.Sequence.Compare(f.above) <= 0 {
		return nil
	}
	if len(f.chunk) == chunkRows || len(f.chunk) > 0 && f.bytes+len(e.Line) > chunkBytes {
		if err := f.cut(); err != nil {
			return err
		}
	}
	f.chunk = append(f.chunk, row{event: e.Event, arrival: arrival, place: at, from: len(f.lines), size: len(e.Line)})
	f.lines = append(f.lines, e.Line...)
	f.bytes += len(e.Line)
	return nil
}

// cut appends the chunk's records to the sink.
func (f *feeder) cut() error {
	for i := range f.chunk {
		r := &f.chunk[i]
		r.event.Line = f.lines[r.from : r.from+r.size : r.from+r.size]
		r.event.Offset = 0
	}
	slices.SortStableFunc(f.chunk, func(a, b row) int { return a.arrival.Compare(b.arrival) })
	for rest := f.chunk; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].arrival.Equal(rest[0].arrival) {
			n++
		}
		events, places := make([]schema.Event, n), make([]treasuredata.Place, n)
		for i := range events {
			events[i], places[i] = rest[i].event, rest[i].place
		}
		if err := f.append(events, places, rest[0].arrival); err != nil {
			return err
		}
		rest = rest[n:]
	}
	f.chunk, f.lines, f.bytes = f.chunk[:0], f.lines[:0], 0
	return nil
}

// append gives the sink one record of events, or two of the halves if one cannot hold
// them.
func (f *feeder) append(events []schema.Event, places []treasuredata.Place, arrival time.Time) error {
	data, err := f.encoder.Append(nil, &schema.Batch{Events: events})
	if errors.Is(err, schema.ErrTooLarge) && len(events) > 1 {
		half := len(events) / 2
		if err := f.append(events[:half], places[:half], arrival); err != nil {
			return err
		}
		return f.append(events[half:], places[half:], arrival)
	}
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	b := stream.Batch{Shard: f.shard, Sequence: f.number(), Arrival: arrival, Events: events, Record: data}
	for i := range events {
		events[i].Index = uint32(i)
		b.Bytes += int64(schema.EventSize(&events[i]))
	}
	if to, placed := f.sink.(*treasuredata.Sink); placed {
		err = to.AppendPlaced(b, places)
	} else {
		err = f.sink.Append(b)
	}
	if err != nil {
		return fmt.Errorf("append %s: %w", b.Sequence, err)
	}
	if f.last = b.Sequence; f.first == "" {
		f.first = b.Sequence
	}
	f.records++
	f.rows += int64(len(events))
	return nil
}

// number is the next record's: behind those of the ranges before, and before those of
// the ranges that follow.
func (f *feeder) number() stream.SequenceNumber {
	f.ordinal++
	return f.First + stream.SequenceNumber(fmt.Sprintf("%08d", f.ordinal))
}
