package lake

import (
	"cmp"
	"slices"
	"time"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/stream"
)

// nameBytes is what a service's or a partition's name costs beside its letters.
const nameBytes = 256

// partition collects the rows that become one object.
type partition struct {
	path  string
	kind  schema.Kind
	rows  []held.Row
	bytes int64 // of the rows
}

// sort brings the rows into the object's order. Records are appended in the order
// of their numbers, so their index stands for the number. No two rows are equal
// in all four, hence the order is the same in every replay.
func (p *partition) sort(ranks []uint32) {
	slices.SortFunc(p.rows, func(a, b held.Row) int {
		switch {
		case a.Name != b.Name:
			return cmp.Compare(ranks[a.Name], ranks[b.Name])
		case a.Time != b.Time:
			return cmp.Compare(a.Time, b.Time)
		case a.Record != b.Record:
			return cmp.Compare(a.Record, b.Record)
		}
		return cmp.Compare(a.Index, b.Index)
	})
}

// ranks are the places of the services, by number, in the order of their names.
func (p *pending) ranks() []uint32 {
	order := make([]uint32, len(p.services))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(p.services[a], p.services[b]) })
	ranks := make([]uint32, len(order))
	for rank, service := range order {
		ranks[service] = uint32(rank)
	}
	return ranks
}

// pending is what was appended since the last flush.
type pending struct {
	held.Records
	plan       *layoutPlan
	partitions []*partition
	byPlace    map[place]*partition
	byPath     map[string]*partition
	services   []string
	numbers    map[string]uint32 // of services
	names      int64             // bytes: of services and partitions
	rows       int64
	lines      int64 // bytes
	late       int64
	duplicates int64
	rejects    int64

	arrivalFirst, arrivalLast time.Time
}

func newPending(shard stream.ShardID, lp *layoutPlan) *pending {
	return &pending{Records: held.Records{Span: held.Span{Shard: shard}}, plan: lp, byPlace: map[place]*partition{}, byPath: map[string]*partition{}, numbers: map[string]uint32{}}
}

// add takes b and returns the bytes that are held for it.
func (p *pending) add(b stream.Batch) int64 {
	p.rejects += int64(len(b.Rejects))
	p.duplicates += int64(b.Duplicates)
	if p.Taken == 0 {
		p.arrivalFirst = b.Arrival
	}
	p.arrivalLast = b.Arrival
	size, names := p.Take(b), p.names
	for i := range b.Events {
		p.addEvent(&b.Events[i], b.Arrival.UnixNano())
	}
	return size + p.names - names
}

func (p *pending) addEvent(e *schema.Event, arrival int64) {
	origin := cmp.Or(e.Origin, &noOrigin)
	kind, service, at := e.Kind, origin.Service, e.Time
	if kind == schema.KindUnset {
		v := p.plan.classifier.Classify(e.Line, origin, e.Time, arrival)
		kind, service, at = v.Kind, v.Service, v.Time
	}
	number := p.service(service)
	when, window := at, int64(p.plan.window)
	if when < arrival-window || when > arrival+window {
		when = arrival
		p.late++
	}
	to := p.partition(place{kind: kind, hour: floorDiv(when, int64(time.Hour)), service: p.services[number]})
	row := p.Row(e, at, number)
	to.rows = append(to.rows, row)
	to.bytes += int64(row.Bytes)
	p.rows++
	p.lines += int64(len(e.Line))
}

// service numbers the names of services; the same name has one number.
func (p *pending) service(name string) uint32 {
	n, known := p.numbers[name]
	if known {
		return n
	}
	text := validText(name)
	if n, known = p.numbers[text]; !known {
		n = uint32(len(p.services))
		p.services = append(p.services, text)
		p.numbers[text] = n
	}
	p.numbers[name] = n
	p.names += nameBytes + int64(len(name)+len(text))
	return n
}

// partition finds or opens the partition of a place. Several places may share a
// path, such as all hours of a day under a template without {hour}.
func (p *pending) partition(at place) *partition {
	if !p.plan.template.byService {
		at.service = ""
	} else if at.service == "" {
		at.service = "unknown"
	}
	if to := p.byPlace[at]; to != nil {
		return to
	}
	path := p.plan.template.path(at)
	to := p.byPath[path]
	if to == nil {
		to = &partition{path: path, kind: at.kind}
		p.byPath[path] = to
		p.partitions = append(p.partitions, to)
	}
	p.byPlace[at] = to
	p.names += nameBytes + int64(len(path))
	return to
}

// floorDiv divides towards the past, so that times before 1970 fall into the
// hour that holds them.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
