package lake

import (
	"cmp"
	"slices"
	"time"

	"tributary/schema"
	"tributary/stream"
)

// rowCharge is what a row costs beside its line: this package's row and its
// share of the slices' growth.
const rowCharge = 96

// row is an event that waits for the flush.
type row struct {
	event   *schema.Event
	kind    schema.Kind
	record  int32 // index into pending.records
	time    int64 // nanoseconds since the Unix epoch
	service string
}

// record is what rows of one record share.
type record struct {
	sequence stream.SequenceNumber
	arrival  time.Time
}

// partition collects the rows that become one object.
type partition struct {
	path  string
	rows  []row
	bytes int64 // lines and rowCharge, what encoding reads
}

// sort brings the rows into the object's order. Records are appended in the order
// of their numbers, so their index stands for the number. No two rows are equal
// in all four, hence the order is the same in every replay.
func (p *partition) sort() {
	slices.SortFunc(p.rows, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(a.service, b.service),
			cmp.Compare(a.time, b.time),
			cmp.Compare(a.record, b.record),
			cmp.Compare(a.event.Index, b.event.Index),
		)
	})
}

// pending is what was appended since the last flush. records holds only those with
// rows, so that a shard full of duplicates does not grow it.
type pending struct {
	plan       *layoutPlan
	records    []record
	partitions []*partition
	byPlace    map[place]*partition
	byPath     map[string]*partition
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
	return &pending{plan: lp, byPlace: map[place]*partition{}, byPath: map[string]*partition{}}
}

// add takes b's events and returns the bytes they hold.
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
	p.records = append(p.records, record{b.Sequence, b.Arrival})
	var held int64
	for i := range b.Events {
		e := &b.Events[i]
		p.addEvent(e, b.Arrival.UnixNano())
		held += int64(schema.EventSize(e)) + rowCharge
	}
	// The lines alias one buffer per record: it stays as a whole even when
	// de-duplication has left a single event of it.
	return max(held, b.Bytes+int64(len(b.Events))*rowCharge)
}

func (p *pending) addEvent(e *schema.Event, arrival int64) {
	origin := cmp.Or(e.Origin, &noOrigin)
	r := row{event: e, kind: e.Kind, record: int32(len(p.records) - 1), time: e.Time, service: origin.Service}
	if e.Kind == schema.KindUnset {
		v := p.plan.classifier.Classify(e.Line, origin, e.Time, arrival)
		r.kind, r.service, r.time = v.Kind, v.Service, v.Time
	}
	r.service = validText(r.service)

	when, window := r.time, int64(p.plan.window)
	if when < arrival-window || when > arrival+window {
		when = arrival
		p.late++
	}
	to := p.partition(place{kind: r.kind, hour: floorDiv(when, int64(time.Hour)), service: r.service})
	size := int64(len(e.Line)) + rowCharge
	to.rows = append(to.rows, r)
	to.bytes += size
	p.rows++
	p.lines += int64(len(e.Line))
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
		to = &partition{path: path}
		p.byPath[path] = to
		p.partitions = append(p.partitions, to)
	}
	p.byPlace[at] = to
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
