package logs

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// A key is an event's place in the order of all events of a group.
type key struct {
	TS     int64  `json:"t"`
	MS     int64  `json:"a,omitempty"` // arrival
	Stream int64  `json:"s,omitempty"` // the stream's creation time, which no other stream has
	Number uint64 `json:"n,omitempty"`
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.TS, o.TS), cmp.Compare(k.MS, o.MS), cmp.Compare(k.Stream, o.Stream), cmp.Compare(k.Number, o.Number))
}

// after is the boundary behind the event, before is that in front of it.
func (k key) after() key  { k.Number++; return k }
func (k key) before() key { return k }

// at is the boundary in front of all events of this timestamp and later.
func at(ts int64) key { return key{TS: ts, MS: math.MinInt64} }

// An event is one stored log event.
type event struct {
	key
	stream  string
	message string
}

func (e event) size() int { return len(e.message) + eventOverhead }

// maxPageEvents and maxPageBytes bound a page; no event is larger.
const (
	maxPageEvents = 10_000
	maxPageBytes  = 1 << 20
)

// A page is what fits of the events nearest to where a read begins. It is a heap with the farthest event on top.
type page struct {
	backward bool
	limit    int
	events   []event
	bytes    int
	cut      *key // the nearest event that was left out
}

// nearer says whether a comes before b in the direction of the read.
func (p *page) nearer(a, b key) bool {
	if p.backward {
		a, b = b, a
	}
	return a.compare(b) < 0
}

// wants says whether an event may still become part of the page.
func (p *page) wants(k key) bool { return p.cut == nil || p.nearer(k, *p.cut) }

// add keeps the page the longest row of nearest events that fits.
func (p *page) add(e event) {
	heap.Push(p, e)
	for len(p.events) > p.limit || p.bytes > maxPageBytes {
		last := heap.Pop(p).(event)
		p.cut = &last.key
	}
}

// end leaves out all that is not nearer than the boundary: reading stopped there.
func (p *page) end(boundary key) {
	p.events = slices.DeleteFunc(p.events, func(e event) bool { return (e.compare(boundary) < 0) == p.backward })
}

// ordered gives the events, nearest first.
func (p *page) ordered() []event {
	slices.SortFunc(p.events, func(a, b event) int {
		if p.backward {
			a, b = b, a
		}
		return a.compare(b.key)
	})
	return p.events
}

func (p *page) Len() int           { return len(p.events) }
func (p *page) Less(i, j int) bool { return p.nearer(p.events[j].key, p.events[i].key) }
func (p *page) Swap(i, j int)      { p.events[i], p.events[j] = p.events[j], p.events[i] }

func (p *page) Push(x any) {
	e := x.(event)
	p.events = append(p.events, e)
	p.bytes += e.size()
}

func (p *page) Pop() any {
	n := len(p.events) - 1
	e := p.events[n]
	p.events[n] = event{}
	p.events = p.events[:n]
	p.bytes -= e.size()
	return e
}
