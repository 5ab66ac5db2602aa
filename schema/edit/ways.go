package edit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// way is a path of a rule. One without segments is that of a rule for all of a line.
type way struct {
	change   int // index into Editor.changes
	segments []segment
	plain    int // how many segments at the beginning are without stars
}

// segment is what one name is to be.
type segment struct {
	text  string
	stars [][]byte // text cut at its stars, nil: there is none
	any   bool     // any names
}

func parseWay(path string) (way, error) {
	names := strings.Split(path, ".")
	switch {
	case path == "" || len(path) > maxPath || !utf8.ValidString(path):
		return way{}, fmt.Errorf("%q must be a path of 1 to %d bytes of UTF-8", path[:min(len(path), maxPath)], maxPath)
	case len(names) > maxSegments:
		return way{}, fmt.Errorf("%q has %d names, at most %d", path, len(names), maxSegments)
	case names[len(names)-1] == "**":
		return way{}, fmt.Errorf("%q must end in a name: ** stands for those before it", path)
	}
	w := way{plain: -1}
	for i, name := range names {
		s := segment{text: name}
		switch {
		case name == "**":
			s.any = true
			if i > 0 && names[i-1] == "**" {
				continue
			}
		case strings.Contains(name, "**"):
			return way{}, fmt.Errorf("%q: ** must be a name of its own", path)
		case strings.Contains(name, "*"):
			s.stars = bytes.Split([]byte(name), []byte("*"))
		}
		if w.plain < 0 && (s.any || s.stars != nil) {
			w.plain = len(w.segments)
		}
		w.segments = append(w.segments, s)
	}
	if w.plain < 0 {
		w.plain = len(w.segments)
	}
	return w, nil
}

func (s *segment) matches(name []byte) bool {
	if s.stars == nil {
		return s.text == string(name)
	}
	first, last := s.stars[0], s.stars[len(s.stars)-1]
	if len(name) < len(first)+len(last) || !bytes.HasPrefix(name, first) || !bytes.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, piece := range s.stars[1 : len(s.stars)-1] {
		i := bytes.Index(name, piece)
		if i < 0 {
			return false
		}
		name = name[i+len(piece):]
	}
	return true
}

// state is a place on a way: what lies in an object at it. Behind the last segment all
// that lies there is meant, which is so of rules that look for something.
type state struct{ way, at uint16 }

// step appends to states those at a member of an object at from, and to hits the changes
// that mean the member itself. The key of an element is nil. from may lie in states.
func (e *Editor) step(states []state, hits []uint16, from []state, key []byte) ([]state, []uint16) {
	start, known := len(states), len(hits)
	if key == nil {
		for _, s := range from {
			states = append(states, s)
			if w := &e.ways[s.way]; int(s.at) == len(w.segments) {
				hits = push(hits, known, uint16(w.change))
			}
		}
		return states, hits
	}
	for {
		name, rest, more := bytes.Cut(key, []byte{'.'})
		begin := len(states)
		for _, s := range from {
			states, hits = e.follow(states, begin, hits, known, s, name)
		}
		n := copy(states[start:], states[begin:]) // those on the way are not needed
		states = states[:start+n]
		if !more {
			return states, hits
		}
		from, key = states[start:], rest
	}
}

// follow is step for one state and one name.
func (e *Editor) follow(states []state, begin int, hits []uint16, known int, s state, name []byte) ([]state, []uint16) {
	w := &e.ways[s.way]
	for at := int(s.at); ; at++ {
		if at == len(w.segments) {
			return push(states, begin, state{s.way, uint16(at)}), push(hits, known, uint16(w.change))
		}
		segment := &w.segments[at]
		if segment.any {
			states = push(states, begin, state{s.way, uint16(at)})
			continue
		}
		if !segment.matches(name) {
			return states, hits
		}
		if at+1 < len(w.segments) {
			return push(states, begin, state{s.way, uint16(at + 1)}), hits
		}
		if len(e.changes[w.change].finders) > 0 {
			states = push(states, begin, state{s.way, uint16(at + 1)})
		}
		return states, push(hits, known, uint16(w.change))
	}
}

// push adds what is not there from begin on.
func push[T comparable](list []T, begin int, one T) []T {
	if slices.Contains(list[begin:], one) {
		return list
	}
	return append(list, one)
}

// lengths are those of the names that mean something at states, see frame.
func (e *Editor) lengths(states []state) (lengths uint64) {
	for _, s := range states {
		w := &e.ways[s.way]
		if int(s.at) == len(w.segments) || w.segments[s.at].any || w.segments[s.at].stars != nil {
			return ^uint64(0)
		}
		lengths |= 1 << min(len(w.segments[s.at].text), 63)
	}
	return lengths
}
