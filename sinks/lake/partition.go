package lake

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"tributary/schema"
	"tributary/stream"
)

const (
	// rowCharge is what a row costs beside its line while it is encoded: what says
	// where its line lies, twice.
	rowCharge = 64
	// rowBytes and recordBytes are what waits in memory for a flush beside a record's
	// own bytes, with the slices' growth.
	rowBytes    = 48
	recordBytes = 192
	// nameBytes is what a service's or a partition's name costs beside its letters.
	nameBytes = 256
)

// row is an event that waits for the flush. Its line is in its record.
type row struct {
	time    int64 // nanoseconds since the Unix epoch
	service uint32
	record  int32  // index into pending.records
	index   uint32 // in the record
	bytes   uint32 // of the line, and rowCharge
}

// record is one that came, as it came: compressed, if a forwarder of ours sent it.
type record struct {
	sequence stream.SequenceNumber
	arrival  time.Time
	data     []byte
}

// partition collects the rows that become one object.
type partition struct {
	path  string
	kind  schema.Kind
	rows  []row
	bytes int64 // of the rows
}

// sort brings the rows into the object's order. Records are appended in the order
// of their numbers, so their index stands for the number. No two rows are equal
// in all four, hence the order is the same in every replay.
func (p *partition) sort(ranks []uint32) {
	slices.SortFunc(p.rows, func(a, b row) int {
		switch {
		case a.service != b.service:
			return cmp.Compare(ranks[a.service], ranks[b.service])
		case a.time != b.time:
			return cmp.Compare(a.time, b.time)
		case a.record != b.record:
			return cmp.Compare(a.record, b.record)
		}
		return cmp.Compare(a.index, b.index)
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

// pending is what was appended since the last flush. records holds only those with
// rows, so that a shard full of duplicates does not grow it.
type pending struct {
	plan       *layoutPlan
	records    []record
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

	taken                     int64 // records, those without a row included
	first, last               stream.SequenceNumber
	arrivalFirst, arrivalLast time.Time
}

func newPending(lp *layoutPlan) *pending {
	return &pending{plan: lp, byPlace: map[place]*partition{}, byPath: map[string]*partition{}, numbers: map[string]uint32{}}
}

// add takes b and returns the bytes that are held for it.
func (p *pending) add(b stream.Batch) int64 {
	p.rejects += int64(len(b.Rejects))
	p.duplicates += int64(b.Duplicates)
	if p.taken == 0 {
		p.first, p.arrivalFirst = b.Sequence, b.Arrival
	}
	p.taken++
	p.last, p.arrivalLast = b.Sequence, b.Arrival
	if len(b.Events) == 0 {
		return 0
	}
	p.records = append(p.records, record{b.Sequence, b.Arrival, bytes.Clone(b.Record)})
	names := p.names
	for i := range b.Events {
		p.addEvent(&b.Events[i], b.Arrival.UnixNano())
	}
	return recordBytes + int64(len(b.Record)) + int64(len(b.Events))*rowBytes + p.names - names
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
	size := len(e.Line) + rowCharge
	to.rows = append(to.rows, row{time: at, service: number, record: int32(len(p.records) - 1), index: e.Index, bytes: uint32(size)})
	to.bytes += int64(size)
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
