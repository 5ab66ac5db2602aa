package filter

import (
	"bytes"
	"sync"

	"tributary/schema"
)

// look is one look at an event. It goes into the line when first asked to.
type look struct {
	in *lookout
	of *Subject
	r  *reading // nil: not yet
	at Level    // once known
	ok bool     // at is known

	also schema.DeepVisitor // shares the walk, unless nil
}

// lookout is what looks share.
type lookout struct {
	paths
	pool sync.Pool // of *reading
}

// reading is what a line says at the paths.
type reading struct {
	found   [][]byte // by slot: the raw value, nil if there is none
	objects []*object
	name    []byte // unescaped
	scratch []byte // the text asked for last
	shared  shared
	broken  bool // the line is no object
}

// done ends the look.
func (l *look) done() {
	if l.r == nil {
		return
	}
	clear(l.r.found) // hold no line
	if cap(l.r.scratch) > maxScratch {
		l.r.scratch = nil
	}
	l.in.pool.Put(l.r)
}

// maxScratch bounds what is kept for texts with escapes in them.
const maxScratch = 64 << 10

// read takes the line apart, once; it is false for what has no fields.
func (l *look) read() bool {
	if l.r != nil {
		return true
	}
	if l.of.Kind == schema.KindRaw || l.of.Event.Part.Number != 0 {
		return false
	}
	r, _ := l.in.pool.Get().(*reading)
	if r == nil {
		r = &reading{found: make([][]byte, l.in.count)}
	}
	l.r = r
	r.objects = append(r.objects[:0], &l.in.root)
	r.broken = r.walk(l.of.Event.Line, l.also) != nil
	if r.broken {
		clear(r.found) // half a line's fields are not those of an object
	}
	return true
}

func (r *reading) walk(line []byte, also schema.DeepVisitor) error {
	if also == nil {
		return schema.WalkTree(line, r)
	}
	r.shared = shared{r: r, also: also}
	err := schema.WalkDeep(line, &r.shared)
	r.shared = shared{}
	return err
}

// Member implements schema.TreeVisitor.
func (r *reading) Member(key, value []byte) {
	m := r.find(key)
	if m == nil {
		return
	}
	clear(r.found[m.from:m.to])
	if m.slot >= 0 && value[0] != 'n' {
		r.found[m.slot] = value
	}
}

// Enter implements schema.TreeVisitor.
func (r *reading) Enter(key []byte) bool {
	m := r.find(key)
	if m == nil || m.inner == nil {
		return false
	}
	clear(r.found[m.from:m.to])
	if m.slot >= 0 {
		r.found[m.slot] = anObject
	}
	r.objects = append(r.objects, m.inner)
	return true
}

// anObject stands for the value that was looked into.
var anObject = []byte("{}")

// Leave implements schema.TreeVisitor.
func (r *reading) Leave() { r.objects = r.objects[:len(r.objects)-1] }

func (r *reading) find(key []byte) *member {
	if bytes.IndexByte(key, '\\') >= 0 {
		// An escape is at most six bytes of one character: what is cut off leaves more
		// than any path has.
		r.name = schema.Unescape(r.name[:0], key[:min(len(key), 12*maxPath)])
		key = r.name
	}
	return r.objects[len(r.objects)-1].find(key)
}

// value is the raw value at a path, nil if there is none.
func (l *look) value(path int) []byte {
	if !l.read() {
		return nil
	}
	for _, slot := range l.in.slots[path] {
		if v := l.r.found[slot]; v != nil {
			return v
		}
	}
	return nil
}

// text is the text of a raw value, good until the next call.
func (l *look) text(raw []byte) (text []byte, ok bool) {
	switch raw[0] {
	case '{', '[':
		return nil, false
	case '"':
		text = raw[1 : len(raw)-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			l.r.scratch = schema.Unescape(l.r.scratch[:0], text)
			text = l.r.scratch
		}
		return text, true
	}
	return raw, true
}

// level is the level of the line.
func (l *look) level() Level {
	if l.ok {
		return l.at
	}
	l.ok = true
	for _, p := range l.in.levels {
		raw := l.value(p.path)
		if raw == nil || len(raw) > 6*maxLevel+2 {
			continue
		}
		if text, ok := l.text(raw); ok {
			if l.at = levelOf(text, p.telemetry); l.at != None {
				break
			}
		}
	}
	return l.at
}
