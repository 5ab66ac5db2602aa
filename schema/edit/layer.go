package edit

import (
	"bytes"
	"slices"

	"tributary/schema"
)

// layer is one text, the line or a text within the layer below, with what of it is meant
// and what becomes of it. It implements schema.DeepVisitor: the walk only notes what
// rules that may apply mean, since what decides about them may stand behind it.
type layer struct {
	e       *Editor
	text    []byte
	own     []byte // the text, where it had to be made
	targets []target
	hits    []uint16 // of the targets: changes
	states  []state  // a stack, but for those that targets keep
	kept    int      // states up to here are kept
	frames  []frame
	name    []byte // a key without its escapes
	edits   []edit // in the order of the text, apart from each other
	out     []byte // what edits put in
}

// target is a value that rules mean, or a text in which they mean something. Those in an
// object or a list follow it.
type target struct {
	start, end         int
	hitFrom, hitTo     int
	stateFrom, stateTo int // what lies in a text
}

// frame is an object or a list that the walk is in.
type frame struct {
	from, to int    // states
	target   int    // -1: none
	lengths  uint64 // bit min(n, 63): a name of n bytes may be meant
}

// edit replaces text[start:end] by out[from:to].
type edit struct{ start, end, from, to int }

// keepBytes is how large buffers may be that wait for the next line.
const keepBytes = 256 << 10

func (l *layer) reset(e *Editor, text []byte) {
	l.e, l.text = e, text
	l.targets, l.hits, l.states, l.kept, l.frames = l.targets[:0], l.hits[:0], l.states[:0], 0, l.frames[:0]
	l.edits, l.out = l.edits[:0], l.out[:0]
}

// release lets go of the text and of large buffers.
func (l *layer) release() {
	if cap(l.targets)*48+cap(l.hits)*2+cap(l.states)*4+cap(l.edits)*32+cap(l.out)+cap(l.own) > keepBytes {
		*l = layer{}
	}
	l.text = nil
}

// expect prepares for walking the text, at states.
func (l *layer) expect(states []state) {
	l.states = append(l.states[:0], states...)
	l.frames = append(l.frames[:0], frame{0, len(states), -1, l.e.lengths(states)})
}

// step notes at the ends of states and hits what the member of a key is.
func (l *layer) step(key []byte) (states, hits int) {
	states, hits = len(l.states), len(l.hits)
	f := &l.frames[len(l.frames)-1]
	if key != nil {
		switch escaped, dotted := odd(key); {
		case escaped:
			l.name = append(schema.Unescape(l.name[:0], key), 0)
			key = l.name[:len(l.name)-1]
		case !dotted && f.lengths&(1<<min(len(key), 63)) == 0:
			return states, hits
		}
	}
	l.states, l.hits = l.e.step(l.states, l.hits, l.states[f.from:f.to], key)
	return states, hits
}

// odd says what is in a key beside letters.
func odd(key []byte) (escaped, dotted bool) {
	for _, c := range key {
		escaped = escaped || c == '\\'
		dotted = dotted || c == '.'
	}
	return escaped, dotted
}

// Enter implements schema.DeepVisitor.
func (l *layer) Enter(key []byte, _ byte) bool {
	states, hits := l.step(key)
	if len(l.states) == states {
		l.hits = l.hits[:hits]
		return false
	}
	f := frame{states, len(l.states), -1, l.e.lengths(l.states[states:])}
	if slices.ContainsFunc(l.hits[hits:], l.wholly) {
		f.target = len(l.targets)
		l.targets = append(l.targets, target{hitFrom: hits, hitTo: len(l.hits)})
	} else {
		l.hits = l.hits[:hits]
	}
	l.frames = append(l.frames, f)
	return true
}

// wholly says that a change is of whole values.
func (l *layer) wholly(change uint16) bool { return l.e.changes[change].finders == nil }

// Leave implements schema.DeepVisitor.
func (l *layer) Leave(value []byte) {
	f := l.frames[len(l.frames)-1]
	l.frames = l.frames[:len(l.frames)-1]
	if f.target >= 0 {
		t := &l.targets[f.target]
		t.start, t.end = l.place(value)
	}
	if l.kept <= f.from {
		l.states = l.states[:f.from]
	}
}

// place says where a piece of the text lies.
func (l *layer) place(piece []byte) (start, end int) {
	start = cap(l.text) - cap(piece)
	return start, start + len(piece)
}

// Member implements schema.DeepVisitor.
func (l *layer) Member(key, value []byte) {
	states, hits := l.step(key)
	means := false
	switch value[0] {
	case 'n':
	case '{', '[', 't', 'f':
		l.states = l.states[:states]
		means = slices.ContainsFunc(l.hits[hits:], l.wholly)
	case '"':
		if !l.looksInto(value[1:len(value)-1], l.states[states:]) {
			l.states = l.states[:states]
		}
		means = len(l.states) > states || slices.ContainsFunc(l.hits[hits:], l.mayMean(value))
	default:
		l.states = l.states[:states]
		means = slices.ContainsFunc(l.hits[hits:], l.mayMean(value))
	}
	if !means {
		l.states, l.hits = l.states[:states], l.hits[:hits]
		return
	}
	start, end := l.place(value)
	l.targets = append(l.targets, target{start, end, hits, len(l.hits), states, len(l.states)})
	if len(l.states) > states {
		l.kept = len(l.states)
	}
}

// mayMean says that a change is of whole values, or may find something in one.
func (l *layer) mayMean(value []byte) func(change uint16) bool {
	return func(change uint16) bool {
		finders := l.e.changes[change].finders
		return finders == nil || slices.ContainsFunc(finders, func(f finder) bool { return f.may == nil || f.may(value) })
	}
}

// looksInto says whether something in a text, which may have escapes, may be meant.
func (l *layer) looksInto(raw []byte, states []state) bool {
	if len(raw) == 0 || len(states) == 0 {
		return false
	}
	if raw[0] == '\\' || tries(raw) || raw[0] == ' ' {
		return true
	}
	return slices.ContainsFunc(states, l.e.insists)
}

// insists says that a state lies behind names without stars: what it is in should have
// members.
func (e *Editor) insists(s state) bool {
	w := &e.ways[s.way]
	return s.at > 0 && int(s.at) <= w.plain && int(s.at) < len(w.segments)
}

// replace adds an edit; put appends what takes the place.
func (l *layer) replace(start, end int, put func(out []byte) []byte) {
	from := len(l.out)
	l.out = put(l.out)
	l.edits = append(l.edits, edit{start, end, from, len(l.out)})
}

// compose appends the text from start to end with the edits in it.
func (l *layer) compose(dst []byte, start, end int, edits []edit) []byte {
	for _, e := range edits {
		dst = append(dst, l.text[start:e.start]...)
		dst = append(dst, l.out[e.from:e.to]...)
		start = e.end
	}
	return append(dst, l.text[start:end]...)
}

// lift takes over the edits of a text that stands as raw, with its escapes, at a place.
func (l *layer) lift(text *layer, at int, raw []byte) {
	escaped := bytes.IndexByte(raw, '\\') >= 0
	r, t := 0, 0 // a place in raw, and the same in the text
	for _, e := range text.edits {
		start, end := e.start, e.end
		if escaped {
			r, t = rawPlace(raw, r, t, e.start, false)
			start = r
			r, t = rawPlace(raw, r, t, e.end, true)
			end = r
		}
		l.replace(at+start, at+end, func(out []byte) []byte { return schema.AppendEscaped(out, text.out[e.from:e.to]) })
	}
}

// rawPlace goes on from place r in raw, which is t in its text, to the one that is want
// there; within an escape before it, or behind it if so said.
func rawPlace(raw []byte, r, t, want int, behind bool) (int, int) {
	for t < want {
		n, m := 1, 1
		if raw[r] == '\\' {
			n, m = schema.EscapeLen(raw[r:])
		}
		if t+m > want && !behind {
			break
		}
		r, t = r+n, t+m
	}
	return r, t
}
