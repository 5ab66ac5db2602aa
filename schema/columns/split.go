package columns

import (
	"bytes"
	"unicode/utf8"

	"tributary/schema"
)

// Splitter takes lines of one kind apart. It remembers the shapes it has seen, so
// that a name is looked up once and not once a line. One goroutine uses it.
type Splitter struct {
	places   map[string][]place
	promoted []string
	misfits  []int64 // by target, columns first

	root *node
	size int // of what is remembered, see maxSize

	// Of the line at hand.
	at     *node
	depth  int
	values [][]byte
	kept   []byte // texts that do not stand in the line as they are
	row    Row
	clock  clock
	forms  forms
}

// New returns a splitter for lines of kind k.
func (s *Splitters) New(k schema.Kind) *Splitter {
	sp := &Splitter{promoted: s.promoted, root: &node{}, misfits: make([]int64, int(toPromoted)+len(s.promoted))}
	if int(k) < len(s.places) {
		sp.places = s.places[k]
	}
	sp.row.Promoted = make([][]byte, len(s.promoted))
	return sp
}

// Columns are the names of the promoted columns, in the order of Row.Promoted.
func (s *Splitters) Columns() []string { return s.promoted }

// Split takes a line apart; micros and service are the row's. The row is the splitter's
// until the next call, but what its slices point at stays as it is, in the line and
// in memory of the row, until Forget.
func (s *Splitter) Split(line []byte, micros int64, service string) *Row {
	s.clear()
	text := s.valid(line)
	if s.places == nil || schema.WalkTree(text, (*walk)(s)) != nil {
		s.row.Text[Message] = text
		return &s.row
	}
	l := s.at.leaf
	if l == nil {
		l = newLeaf(s)
		s.at.leaf = l
		if !s.at.loose {
			s.size += len(l.slots)
		}
	}
	s.fill(l, micros, service)
	return &s.row
}

// SplitText is Split of what is no whole line, such as a part of one.
func (s *Splitter) SplitText(text []byte) *Row {
	s.clear()
	s.row.Text[Message] = s.valid(text)
	return &s.row
}

// valid is the text that a column can hold, never nil.
func (s *Splitter) valid(line []byte) []byte {
	if len(line) == 0 {
		return []byte{}
	}
	if utf8.Valid(line) {
		return line
	}
	s.row.Verbatim = true
	return bytes.ToValidUTF8(line, []byte("\uFFFD"))
}

// Forget ends the life of the rows so far.
func (s *Splitter) Forget() { s.kept = s.kept[:0] }

// Misfits calls fn for each column with the number of values, since the last call,
// that were meant for it and did not fit.
func (s *Splitter) Misfits(fn func(column string, n int64)) {
	for i, n := range s.misfits {
		if n == 0 {
			continue
		}
		name := ""
		if i < int(toPromoted) {
			name = ID(i).String()
		} else {
			name = s.promoted[i-int(toPromoted)]
		}
		fn(name, n)
		s.misfits[i] = 0
	}
}

func (s *Splitter) clear() {
	if s.size > maxSize {
		// Lines whose names are data: what was remembered is of no use.
		s.root, s.size = &node{}, 0
	}
	s.at, s.depth, s.values = s.root, 0, s.values[:0]
	r := &s.row
	clear(r.Text[:])
	clear(r.Promoted)
	*r = Row{Text: r.Text, Promoted: r.Promoted, Keys: r.Keys[:0], Values: r.Values[:0]}
}

const (
	// maxSize bounds what a splitter remembers, in names, values and shapes: some
	// hundreds of loggers with twenty members each, a few megabytes.
	maxSize = 32 << 10
	// maxBranches bounds the search for the next member: more different ones in one
	// place are data.
	maxBranches = 64
	// maxNesting is how deep objects are taken apart; what lies deeper stays JSON.
	maxNesting = 8
)

// step is what stands at one place of a line, its value aside.
type step byte

const (
	stepText step = iota
	stepNumber
	stepWord // true or false
	stepNull
	stepOther // an array, or an object too deep
	stepEnter
	stepLeave
)

// node is a beginning that lines have in common, up to one step.
type node struct {
	step   step
	key    []byte // as written
	parent *node
	usual  *node // the branch that the line before took
	next   []*node
	leaf   *leaf // of lines that end here
	loose  bool  // not remembered
}

// walk is the splitter as schema.WalkTree sees it.
type walk Splitter

func (w *walk) Member(key, value []byte) {
	sort := stepNumber
	switch value[0] {
	case '"':
		sort = stepText
	case 't', 'f':
		sort = stepWord
	case 'n':
		w.take(stepNull, key)
		return
	case '[', '{':
		sort = stepOther
	}
	w.take(sort, key)
	w.values = append(w.values, value)
}

func (w *walk) Enter(key []byte) bool {
	if w.depth == maxNesting {
		return false
	}
	w.depth++
	w.take(stepEnter, key)
	return true
}

func (w *walk) Leave() {
	w.depth--
	w.take(stepLeave, nil)
}

func (w *walk) take(sort step, key []byte) {
	n := w.at
	if u := n.usual; u != nil && u.step == sort && string(u.key) == string(key) {
		w.at = u
		return
	}
	for _, b := range n.next {
		if b.step == sort && string(b.key) == string(key) {
			n.usual, w.at = b, b
			return
		}
	}
	b := &node{step: sort, key: bytes.Clone(key), parent: n, loose: n.loose || len(n.next) == maxBranches}
	if !b.loose {
		n.next = append(n.next, b)
		n.usual = b
		w.size++
	}
	w.at = b
}

// fill puts the values where the leaf says.
func (s *Splitter) fill(l *leaf, micros int64, service string) {
	r := &s.row
	var codes codes
	for i := range l.slots {
		slot, raw := &l.slots[i], s.values[i]
		switch to := slot.to; {
		case to == toNothing:
			continue
		case to == toAttribute:
			s.attribute(slot, raw)
		case to == toTime:
			codes[slot.code] = s.time(slot, raw, micros)
		case to == toService:
			codes[slot.code] = s.service(slot, raw, service)
		case to == target(Level):
			codes[slot.code] = s.level(slot, raw)
		case to == target(Status):
			codes[slot.code] = s.status(slot, raw)
		case to == target(Duration):
			codes[slot.code] = s.duration(slot, raw)
		case to < toPromoted:
			r.Text[to] = s.text(slot.step, raw)
		default:
			r.Promoted[to-toPromoted] = s.text(slot.step, raw)
		}
	}
	for _, to := range l.misfits {
		s.misfits[to]++
	}
	r.Verbatim = r.Verbatim || l.verbatim
	r.Shape = l.shape(codes, s)
}

func (s *Splitter) attribute(slot *slot, raw []byte) {
	s.row.Keys = append(s.row.Keys, slot.name)
	s.row.Values = append(s.row.Values, s.text(slot.step, raw))
}

// text is the text of a string, or any other value as it is written.
func (s *Splitter) text(sort step, raw []byte) []byte {
	if sort != stepText {
		return raw
	}
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	from := len(s.kept)
	kept, exact := schema.UnescapeExactly(s.kept, text)
	s.kept = kept
	s.row.Verbatim = s.row.Verbatim || !exact
	return s.kept[from:len(s.kept):len(s.kept)]
}
