package filter

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxPath = 256 // bytes
	// maxDots bounds the ways of nesting that a path stands for: two to the power of it.
	maxDots = 6
	// maxSlots bounds the ways of all paths together.
	maxSlots = 512
)

// paths is all that is to be found in a line. Each way in which the names of a path can
// be nested has a slot of its own, so that what is found does not depend on the order of
// members that are not the same.
type paths struct {
	names  []string
	slots  [][]int // by path: its ways, the one with the longest outer name first
	levels []levelPath
	root   object
	count  int // of slots
}

type levelPath struct {
	path      int
	telemetry bool
}

// object is what is looked for in one object of a line.
type object struct {
	members []*member
	lengths uint64 // bit min(n, 63): there is a name of n bytes
}

// member is one that is looked for, or looked into.
type member struct {
	name     string
	slot     int // -1: only looked into
	inner    *object
	from, to int // slots of it and of what lies in it
}

// add returns the index of a path.
func (p *paths) add(path string) (int, error) {
	if i := slices.Index(p.names, path); i >= 0 {
		return i, nil
	}
	switch {
	case path == "" || len(path) > maxPath || !utf8.ValidString(path):
		return 0, fmt.Errorf("%q must be a path of 1 to %d bytes of UTF-8", path[:min(len(path), maxPath)], maxPath)
	case strings.Count(path, ".") > maxDots:
		return 0, fmt.Errorf("%q has more than %d dots", path, maxDots)
	}
	ways := 1 << strings.Count(path, ".")
	if p.count += ways; p.count > maxSlots {
		return 0, fmt.Errorf("%q: with it there are %d ways of nesting the names of all paths, at most %d", path, p.count, maxSlots)
	}
	p.names = append(p.names, path)
	return len(p.names) - 1, nil
}

// compile prepares for walking what was added.
func (p *paths) compile() {
	for _, path := range p.names {
		p.root.add(path)
	}
	p.slots, p.count = make([][]int, len(p.names)), 0
	p.number(&p.root, "")
}

// add adds a path below o.
func (o *object) add(path string) {
	for end := len(path); end >= 0; end = strings.LastIndexByte(path[:end], '.') {
		m := o.member(path[:end])
		if end == len(path) {
			m.slot = 0
			continue
		}
		if m.inner == nil {
			m.inner = &object{}
		}
		m.inner.add(path[end+1:])
	}
}

func (o *object) member(name string) *member {
	for _, m := range o.members {
		if m.name == name {
			return m
		}
	}
	m := &member{name: name, slot: -1}
	o.members = append(o.members, m)
	o.lengths |= 1 << min(len(name), 63)
	return m
}

// find returns the member of a name, nil if it is of no interest.
func (o *object) find(name []byte) *member {
	if o.lengths&(1<<min(len(name), 63)) == 0 {
		return nil
	}
	for _, m := range o.members {
		if m.name == string(name) {
			return m
		}
	}
	return nil
}

// number gives slots to all ways, those in an object one after the other.
func (p *paths) number(o *object, prefix string) {
	for _, m := range o.members {
		m.from = p.count
		path := prefix + m.name
		if m.slot >= 0 {
			m.slot = p.count
			p.count++
			i := slices.Index(p.names, path)
			p.slots[i] = append(p.slots[i], m.slot)
		}
		if m.inner != nil {
			p.number(m.inner, path+".")
		}
		m.to = p.count
	}
}
