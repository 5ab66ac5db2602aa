package lake

import (
	"fmt"
	"slices"
	"time"

	"tributary/schema"
)

// line is what a row needs of its record.
type line struct {
	text   []byte
	origin *schema.Origin
	flags  schema.Flags
	part   schema.Part
}

// loader decodes records again, for the lines of some rows at a time: a sink holds
// its records compressed, and of what it encodes only a part in the clear. One
// goroutine uses it.
type loader struct {
	decoder *schema.Decoder
	text    []byte
	lines   []line
	wanted  []wanted
}

// wanted is a row's line, to be loaded into a slot.
type wanted struct {
	record int32
	index  uint32
	slot   int32
}

// load returns the lines of rows, in their order. They are the loader's until the
// next call.
func (l *loader) load(records []record, rows []row) ([]line, error) {
	size := 0
	l.wanted = l.wanted[:0]
	for i := range rows {
		l.wanted = append(l.wanted, wanted{rows[i].record, rows[i].index, int32(i)})
		size += int(rows[i].bytes) - rowCharge
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
		if err := l.take(r.data, r.arrival, l.wanted[from:to]); err != nil {
			return nil, fmt.Errorf("decode record %s: %w", r.sequence, err)
		}
		from = to
	}
	return l.lines, nil
}

// take copies the wanted lines of one record. Its events come in the order of their
// indexes.
func (l *loader) take(data []byte, arrival time.Time, list []wanted) error {
	b, _, _ := l.decoder.Borrow(data, arrival)
	at := 0
	for _, w := range list {
		for at < len(b.Events) && b.Events[at].Index < w.index {
			at++
		}
		if at == len(b.Events) || b.Events[at].Index != w.index {
			return fmt.Errorf("it has no event %d any more", w.index)
		}
		e := &b.Events[at]
		if len(l.text)+len(e.Line) > cap(l.text) {
			return fmt.Errorf("event %d is longer than it was", w.index)
		}
		from := len(l.text)
		l.text = append(l.text, e.Line...)
		l.lines[w.slot] = line{text: l.text[from:len(l.text):len(l.text)], origin: e.Origin, flags: e.Flags, part: e.Part}
	}
	return nil
}
