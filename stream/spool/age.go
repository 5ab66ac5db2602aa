package spool

import "slices"

// ages remembers when positions of the log were committed, coarsely and bounded:
// enough to say how old what lies at the cursor is. Not safe for concurrent use.
type ages struct {
	known []aged
	every int64 // ns between two that are kept
}

type aged struct {
	pos uint64
	at  int64
}

const (
	mostAges  = 4096
	firstStep = int64(1e9)
)

// add says that what lies from pos on came at the time at.
func (a *ages) add(pos uint64, at int64) {
	if n := len(a.known); n > 0 && at-a.known[n-1].at < max(a.every, firstStep) {
		return
	}
	if len(a.known) == mostAges {
		a.every = 2 * max(a.every, firstStep)
		i := 0
		a.known = slices.DeleteFunc(a.known, func(aged) bool { i++; return i%2 == 0 })
	}
	a.known = append(a.known, aged{pos, at})
}

// at returns about when the entry at pos came; no later than it did. It forgets
// what lies before.
func (a *ages) at(pos uint64) (int64, bool) {
	i, found := slices.BinarySearchFunc(a.known, pos, func(x aged, pos uint64) int {
		switch {
		case x.pos < pos:
			return -1
		case x.pos > pos:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i > 0 {
		a.known = slices.Delete(a.known, 0, i)
	}
	if len(a.known) == 0 {
		return 0, false
	}
	return a.known[0].at, true
}
