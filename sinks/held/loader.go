package held

import (
	"fmt"
	"slices"
	"time"

	"tributary/schema"
)

// Line is what a row needs of its record.
type Line struct {
	Text   []byte
	Origin *schema.Origin
	Flags  schema.Flags
	Part   schema.Part
}

// Loader decodes records again, for the lines of some rows at a time. One goroutine
// uses it.
type Loader struct {
	decoder *schema.Decoder
	text    []byte
	lines   []Line
	wanted  []wanted
	whole   *Record // that Event decoded last
	batch   schema.Batch
}

// NewLoader returns one that holds no lines yet.
func NewLoader() *Loader { return &Loader{decoder: schema.NewDecoder()} }

// wanted is a row's line, to be loaded into a slot.
type wanted struct {
	record int32
	index  uint32
	slot   int32
}

// Load returns the lines of rows, in their order. They are the loader's until the
// next call.
func (l *Loader) Load(records []Record, rows []Row) ([]Line, error) {
	size := 0
	l.whole = nil
	l.wanted = l.wanted[:0]
	for i := range rows {
		l.wanted = append(l.wanted, wanted{rows[i].Record, rows[i].Index, int32(i)})
		size += int(rows[i].Bytes) - RowCharge
	}
	slices.SortFunc(l.wanted, func(a, b wanted) int {
		if a.record != b.record {
			return int(a.record - b.record)
		}
		return int(int64(a.index) - int64(b.index))
	})
	if cap(l.text) < size {
		l.text = make([]byte, 0, size)
	}
	l.text = l.text[:0]
	l.lines = slices.Grow(l.lines[:0], len(rows))[:len(rows)]
	for from := 0; from < len(l.wanted); {
		to := from + 1
		for to < len(l.wanted) && l.wanted[to].record == l.wanted[from].record {
			to++
		}
		r := &records[l.wanted[from].record]
		if err := l.take(r.Data, r.Arrival, l.wanted[from:to]); err != nil {
			return nil, fmt.Errorf("decode record %s: %w", r.Sequence, err)
		}
		from = to
	}
	return l.lines, nil
}

// take copies the wanted lines of one record. Its events come in the order of their
// indexes.
func (l *Loader) take(data []byte, arrival time.Time, list []wanted) error {
	b, _, _ := l.decoder.Borrow(data, arrival)
	at := 0
	for _, w := range list {
		for at < len(b.Events) && b.Events[at].Index < w.index {
			at++
		}
		if at == len(b.Events) || b.Events[at].Index != w.index {
			return fmt.Errorf("event %d: %w", w.index, errGone)
		}
		e := &b.Events[at]
		if len(l.text)+len(e.Line) > cap(l.text) {
			return fmt.Errorf("event %d is longer than it was", w.index)
		}
		from := len(l.text)
		l.text = append(l.text, e.Line...)
		l.lines[w.slot] = Line{Text: l.text[from:len(l.text):len(l.text)], Origin: e.Origin, Flags: e.Flags, Part: e.Part}
	}
	return nil
}

// Event returns the whole event of a row in a batch of its own, which is the
// loader's until the next call. Rows of one record in a row decode it once.
func (l *Loader) Event(records []Record, row Row) (schema.Batch, error) {
	r := &records[row.Record]
	if l.whole != r {
		l.batch, _, _ = l.decoder.Borrow(r.Data, r.Arrival)
		l.whole = r
	}
	b := l.batch
	at, found := slices.BinarySearchFunc(b.Events, row.Index, func(e schema.Event, index uint32) int {
		return int(int64(e.Index) - int64(index))
	})
	if !found {
		return schema.Batch{}, fmt.Errorf("decode record %s: event %d: %w", r.Sequence, row.Index, errGone)
	}
	b.Events = b.Events[at : at+1]
	return b, nil
}
