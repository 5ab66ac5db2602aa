package edit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"hash"

	"tributary/schema"
)

// Work is what applying rules takes, kept from line to line. The zero Work is ready; one
// goroutine at a time uses it.
type Work struct {
	e       *Editor
	line    *layer
	layers  []*layer // line first
	active  [maxRules]bool
	states  []state
	hits    []uint16
	found   []place
	matches []match
	changes []Change
	buf     []byte
	mac     hash.Hash
}

// match is what a change has found.
type match struct {
	place
	change uint16
}

const (
	stars = "***"
	// maxLayers bounds text in text: the quotes of each have twice the backslashes of
	// the one around it, so that no real line has more than a few.
	maxLayers = 16
)

func (w *Work) begin(e *Editor, line []byte) {
	if w.e != e {
		w.e, w.mac = e, hmac.New(sha256.New, e.secret)
	}
	for _, l := range w.layers {
		l.release()
	}
	if cap(w.buf) > keepBytes {
		w.buf = nil
	}
	if cap(w.found)+cap(w.matches) > keepBytes/16 {
		w.found, w.matches = nil, nil
	}
	w.changes = w.changes[:0]
	w.line = w.layer(0)
	w.line.reset(e, line)
}

func (w *Work) layer(depth int) *layer {
	if depth == len(w.layers) {
		w.layers = append(w.layers, &layer{})
	}
	return w.layers[depth]
}

// start are the states of all active changes at the beginning.
func (w *Work) start() []state {
	w.states = w.states[:0]
	for i := range w.e.ways {
		if w.active[w.e.ways[i].change] {
			w.states = append(w.states, state{way: uint16(i)})
		}
	}
	return w.states
}

// result is the line with its edits.
func (w *Work) result() []byte {
	l := w.line
	if len(l.edits) == 0 {
		return l.text
	}
	w.buf = l.compose(w.buf[:0], 0, len(l.text), l.edits)
	if len(w.buf) > 3*len(l.text)+64<<10 {
		w.buf = append(w.buf[:0], `{"masked":"`+stars+`"}`...)
	}
	return w.buf
}

func (w *Work) count(change int, what What, bytes int) {
	rule := w.e.changes[change].number
	for i := range w.changes {
		if c := &w.changes[i]; c.Rule == rule && c.What == what {
			c.Values++
			c.Bytes += int64(bytes)
			return
		}
	}
	w.changes = append(w.changes, Change{rule, what, 1, int64(bytes)})
}

// change makes the edits of a layer that was walked.
func (w *Work) change(depth int) {
	for i := 0; i < len(w.layers[depth].targets); {
		i = w.edit(depth, i)
	}
}

// edit makes the edits of a target and of what lies in it, and returns the next one.
func (w *Work) edit(depth, i int) int {
	l := w.layers[depth]
	t := l.targets[i]
	value, hits := l.text[t.start:t.end], l.hits[t.hitFrom:t.hitTo]
	limit, how, last := 0, unmasked, 0
	for _, c := range hits {
		if change := &w.e.changes[c]; w.active[c] && change.finders == nil {
			limit = least(limit, change.limit)
			how, last = stricter(how, last, change)
		}
	}
	i++
	if how != unmasked {
		w.maskValue(l, t, how, last)
		for _, c := range hits {
			if change := &w.e.changes[c]; w.active[c] && change.finders == nil && change.how != unmasked {
				w.count(int(c), Masked, len(value))
			}
		}
		for i < len(l.targets) && l.targets[i].start < t.end {
			i++
		}
		return i
	}
	switch value[0] {
	case '{', '[':
		first := len(l.edits)
		for i < len(l.targets) && l.targets[i].start < t.end {
			i = w.edit(depth, i)
		}
		w.cutWhole(l, t, first, limit, hits)
	case '"':
		w.text(depth, t, limit)
	case 't', 'f':
	default:
		w.number(l, t, hits)
	}
	return i
}

// stricter is the stricter of two ways to mask.
func stricter(h how, last int, c *change) (how, int) {
	switch {
	case c.how > h:
		return c.how, c.last
	case c.how == h:
		return h, min(last, c.last)
	}
	return h, last
}

// text edits a JSON string: what lies in it if it is JSON, else what is found in it.
func (w *Work) text(depth int, t target, limit int) {
	l, in := w.layers[depth], w.layer(depth+1)
	raw, text := l.text[t.start+1:t.end-1], l.text[t.start+1:t.end-1]
	if bytes.IndexByte(raw, '\\') >= 0 {
		in.own = schema.Unescape(in.own[:0], raw)
		text = in.own
	}
	in.reset(w.e, text)
	hits := l.hits[t.hitFrom:t.hitTo]
	w.states = w.states[:0]
	for _, s := range l.states[t.stateFrom:t.stateTo] {
		if w.active[w.e.ways[s.way].change] {
			w.states = append(w.states, s)
		}
	}
	inner := false
	if len(w.states) > 0 {
		if tries(text) && depth+1 < maxLayers {
			in.expect(w.states)
			inner = schema.WalkDeep(text, in) == nil
		}
		if !inner && w.shut(text) {
			l.replace(t.start, t.end, func(out []byte) []byte { return append(out, `"`+stars+`"`...) })
			return
		}
	}
	if inner {
		w.change(depth + 1)
	} else {
		w.find(in, hits)
	}
	w.cut(in, limit, hits)
	l.lift(in, t.start+1, raw)
}

// shut says whether a text that is no JSON is to be masked whole, because of w.states.
func (w *Work) shut(text []byte) (shut bool) {
	broken, slash := begins(text), bytes.IndexByte(text, '\\') >= 0
	for _, s := range w.states {
		way := &w.e.ways[s.way]
		if !w.e.changes[way.change].closed {
			continue
		}
		hides := broken
		if int(s.at) == len(way.segments) {
			hides = broken && slash
		}
		if hides || w.e.insists(s) {
			w.count(way.change, Unparsed, len(text))
			shut = true
		}
	}
	return shut
}
