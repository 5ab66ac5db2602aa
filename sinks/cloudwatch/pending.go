package cloudwatch

import (
	"time"

	"tributary/schema"
	"tributary/stream"
)

const (
	// entryBytes and recordBytes are what waits in memory for a flush beside the
	// decoded record, with the slices' growth.
	entryBytes  = 40
	recordBytes = 320
	// queueBytes is what a log stream costs beside its entries.
	queueBytes = 1024
)

// pending is what was appended since the last flush.
type pending struct {
	records  []stream.Batch // those with events that go somewhere
	queues   []*queue
	byGroup  map[string]*queue
	targets  map[targetKey]*target
	services []string
	numbers  map[string]int32 // of services
	overflow int64            // events

	taken       int64 // records, those without an event included
	first, last stream.SequenceNumber
}

// targetKey is what of an event decides where it goes.
type targetKey struct {
	kind    schema.Kind
	service string
}

// target is where events of a kind and service go.
type target struct {
	service    int32
	main       *queue
	overflowed bool
}

func newPending() *pending {
	return &pending{byGroup: map[string]*queue{}, targets: map[targetKey]*target{}, numbers: map[string]int32{}}
}

// add takes b and returns the bytes that are held for it.
func (s *Sink) add(b stream.Batch) int64 {
	p := s.pending
	if p.taken == 0 {
		p.first = b.Sequence
	}
	p.taken++
	p.last = b.Sequence
	if len(b.Events) == 0 {
		return 0
	}
	b.Record, b.Rejects = nil, nil
	p.records = append(p.records, b)
	size := b.Bytes + recordBytes
	for i := range b.Events {
		size += s.addEvent(&b, int32(i))
	}
	return size
}

func (s *Sink) addEvent(b *stream.Batch, i int32) (size int64) {
	p, e := s.pending, &b.Events[i]
	kind, service, at := s.classify(b, e)
	to, size := s.target(targetKey{kind, service})
	if to.overflowed {
		p.overflow++
	}
	p.put(to.main, entry{time: floorDiv(at, int64(time.Millisecond)), record: int32(len(p.records) - 1), event: i, service: to.service}, len(e.Line))
	return size + entryBytes
}

// classify decides what a forwarder has decided already, if one sent the event.
func (s *Sink) classify(b *stream.Batch, e *schema.Event) (schema.Kind, string, int64) {
	origin := e.Origin
	if origin == nil {
		origin = &noOrigin
	}
	if e.Kind != schema.KindUnset {
		return e.Kind, origin.Service, e.Time
	}
	v := s.plan.classifier.Classify(e.Line, origin, e.Time, b.Arrival.UnixNano())
	return v.Kind, v.Service, v.Time
}

// put adds an event to a log stream. The service knows no time before 1970.
func (p *pending) put(q *queue, e entry, line int) {
	if e.time < 0 {
		q.refuse(e, reasonTooOld)
		return
	}
	q.entries = append(q.entries, e)
	q.bytes += int64(line)
}

// target finds or makes where events go, and tells the bytes that this took.
func (s *Sink) target(k targetKey) (*target, int64) {
	p := s.pending
	if to := p.targets[k]; to != nil {
		return to, 0
	}
	group, overflowed := s.cw.groupOf(s.plan.template, k.kind, k.service)
	to := &target{service: p.service(k.service), overflowed: overflowed}
	size := int64(queueBytes + len(k.service) + len(group))
	to.main = p.queue(group)
	p.targets[k] = to
	return to, size
}

func (p *pending) queue(group string) *queue {
	q := p.byGroup[group]
	if q == nil {
		q = &queue{group: group}
		p.byGroup[group] = q
		p.queues = append(p.queues, q)
	}
	return q
}

// service numbers the names of services.
func (p *pending) service(name string) int32 {
	n, known := p.numbers[name]
	if !known {
		n = int32(len(p.services))
		p.services = append(p.services, name)
		p.numbers[name] = n
	}
	return n
}

// floorDiv divides towards the past, so that times before 1970 stay before it.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
