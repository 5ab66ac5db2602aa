package edit

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strconv"
	"unicode/utf8"

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

// find masks in a text what the active of the changes find.
func (w *Work) find(l *layer, changes []uint16) {
	w.search(l.text, changes)
	for i := 0; i < len(w.matches); {
		m := w.matches[i]
		how, last := stricter(unmasked, 0, &w.e.changes[m.change])
		w.count(int(m.change), Masked, m.end-m.start)
		for i++; i < len(w.matches) && w.matches[i].start < m.end; i++ {
			more := w.matches[i]
			m.end = max(m.end, more.end)
			how, last = stricter(how, last, &w.e.changes[more.change])
			w.count(int(more.change), Masked, more.end-more.start)
		}
		l.replace(m.start, m.end, func(out []byte) []byte { return w.token(out, l.text[m.start:m.end], how, last) })
	}
}

// search notes what the active of the changes find, in the order of the text.
func (w *Work) search(text []byte, changes []uint16) {
	w.matches = w.matches[:0]
	for _, c := range changes {
		if !w.active[c] {
			continue
		}
		for _, f := range w.e.changes[c].finders {
			w.found = f(w.found[:0], text)
			for _, p := range w.found {
				w.matches = append(w.matches, match{p, c})
			}
		}
	}
	slices.SortFunc(w.matches, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(a.change, b.change))
	})
}

// number masks a number in which something is found.
func (w *Work) number(l *layer, t target, hits []uint16) {
	w.search(l.text[t.start:t.end], hits)
	how, last := unmasked, 0
	for _, m := range w.matches {
		how, last = stricter(how, last, &w.e.changes[m.change])
		w.count(int(m.change), Masked, t.end-t.start)
	}
	if how != unmasked {
		w.maskValue(l, t, how, last)
	}
}

// maskValue masks a value whole.
func (w *Work) maskValue(l *layer, t target, how how, last int) {
	value := l.text[t.start:t.end]
	text := value
	if value[0] == '"' {
		if text = value[1 : len(value)-1]; how != starred && bytes.IndexByte(text, '\\') >= 0 {
			w.buf = schema.Unescape(w.buf[:0], text)
			text = w.buf
		}
	}
	if how == lastKept && (value[0] == '{' || value[0] == '[') {
		how = starred
	}
	l.replace(t.start, t.end, func(out []byte) []byte {
		var room [64 + 4*maxLast]byte
		out = append(out, '"')
		out = schema.AppendEscaped(out, w.token(room[:0], text, how, last))
		return append(out, '"')
	})
}

// token appends what takes the place of a text.
func (w *Work) token(dst, text []byte, how how, last int) []byte {
	switch how {
	case hashed:
		var sum [sha256.Size]byte
		w.mac.Reset()
		w.mac.Write(text)
		return hex.AppendEncode(append(dst, "hmac:"...), w.mac.Sum(sum[:0])[:16])
	case lastKept:
		start, n := len(text), 0
		for ; n < last && start > 0; n++ {
			_, size := utf8.DecodeLastRune(text[:start])
			start -= size
		}
		dst = append(dst, stars...)
		if utf8.RuneCount(text[:start]) < n {
			return dst
		}
		return append(dst, text[start:]...)
	}
	return append(dst, stars...)
}

// appendCut appends the mark of a text that was cut.
func appendCut(dst []byte, bytes int) []byte {
	dst = strconv.AppendInt(append(dst, "[... "...), int64(bytes), 10)
	return append(dst, " bytes cut]"...)
}

// cutMark is more than a mark has.
const cutMark = 32

// cut shortens a text with its edits to a limit, before a character. What an edit put in
// is not taken apart.
func (w *Work) cut(l *layer, limit int, hits []uint16) {
	size := len(l.text)
	for _, e := range l.edits {
		size += e.to - e.from - (e.end - e.start)
	}
	if limit == 0 || size <= limit+cutMark {
		return
	}
	kept, at, n := 0, 0, 0 // bytes of the result; they end at this place, behind n edits
	for _, e := range l.edits {
		if kept+e.start-at > limit {
			break
		}
		kept, at = kept+e.start-at, e.start
		if kept+e.to-e.from > limit {
			limit = kept
			break
		}
		kept, at, n = kept+e.to-e.from, e.end, n+1
	}
	end := at + limit - kept
	end = boundary(l.text, at, end)
	l.edits = l.edits[:n]
	gone := size - kept - (end - at)
	l.replace(end, len(l.text), func(out []byte) []byte { return appendCut(out, gone) })
	w.countCut(hits, gone)
}

// boundary goes back from end to the beginning of a character, not before start.
func boundary(text []byte, start, end int) int {
	for n := end; n >= max(start, end-utf8.UTFMax+1); n-- {
		if n == len(text) || utf8.RuneStart(text[n]) {
			return n
		}
	}
	return end // not UTF-8
}

func (w *Work) countCut(hits []uint16, gone int) {
	for _, c := range hits {
		if w.active[c] && w.e.changes[c].limit > 0 {
			w.count(int(c), Truncated, gone)
		}
	}
}

// cutWhole makes of an object or a list that is too long a text. first is the first of
// the edits in it.
func (w *Work) cutWhole(l *layer, t target, first, limit int, hits []uint16) {
	if limit == 0 || t.end-t.start <= limit {
		return
	}
	w.buf = l.compose(w.buf[:0], t.start, t.end, l.edits[first:])
	if len(w.buf) <= limit+cutMark {
		return
	}
	end := boundary(w.buf, 0, limit)
	gone := len(w.buf) - end
	from := len(l.out)
	l.out = schema.AppendEscaped(append(l.out, '"'), w.buf[:end])
	l.out = append(appendCut(l.out, gone), '"')
	if len(l.out)-from >= len(w.buf) {
		l.out = l.out[:from]
		return
	}
	l.edits = append(l.edits[:first], edit{t.start, t.end, from, len(l.out)})
	w.countCut(hits, gone)
}
