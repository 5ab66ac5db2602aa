package edit

import (
	"strconv"
	"unicode/utf8"

	"tributary/schema"
)

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
