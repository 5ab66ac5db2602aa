package edit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"unicode/utf8"

	"tributary/schema"
)

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
			w.found = f.find(w.found[:0], text)
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
