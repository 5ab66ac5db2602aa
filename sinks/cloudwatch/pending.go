package cloudwatch

import (
	"time"

	"tributary/schema"
	"tributary/schema/filter"
	"tributary/sinks/held"
	"tributary/stream"
)

const (
	// entryBytes and recordBytes are what waits in memory for a flush beside the
	// decoded record, with the slices' growth.
	entryBytes  = 40
	recordBytes = 320
	// targetBytes is what a kind and service cost, with their log streams.
	targetBytes = 2048
)

// pending is what was appended since the last flush.
type pending struct {
	records  []stream.Batch // those with events that wait
	waiting  int64          // events
	queues   []*queue
	byGroup  map[string]*queue
	targets  map[targetKey]*target
	services []string
	numbers  map[string]int32 // of services
	unsent   map[int]int64    // lines, by rule

	held.Span
	arrival time.Time // of the last record
}

// targetKey is what of an event decides where it goes.
type targetKey struct {
	kind    schema.Kind
	service string
}

// target is where events of a kind and service go, and what came of them.
type target struct {
	group        string
	overflowed   bool
	service      int32
	main, errors *queue // nil: none went there yet
	lines        [filter.Fatal + 1]int64
	saved        int64 // bytes
}

func newPending(shard stream.ShardID) *pending {
	return &pending{Span: held.Span{Shard: shard}, byGroup: map[string]*queue{}, targets: map[targetKey]*target{}, numbers: map[string]int32{}, unsent: map[int]int64{}}
}

// add takes b and returns the bytes that are held for it.
func (s *Sink) add(b stream.Batch) int64 {
	p := s.pending
	p.Extend(b)
	p.arrival = b.Arrival
	if len(b.Events) == 0 {
		return 0
	}
	b.Record, b.Rejects = nil, nil
	p.records = append(p.records, b)
	size, waiting := int64(0), p.waiting
	for i := range b.Events {
		size += s.addEvent(&b, int32(i))
	}
	if p.waiting == waiting { // rules keep all of it back
		p.records[len(p.records)-1] = stream.Batch{}
		p.records = p.records[:len(p.records)-1]
		return size
	}
	return size + b.Bytes + recordBytes
}

func (s *Sink) addEvent(b *stream.Batch, i int32) (size int64) {
	p, e := s.pending, &b.Events[i]
	j := s.plan.judge(b, e)
	to, size := s.target(targetKey{j.kind, j.service})
	to.lines[j.level]++
	if !j.send {
		p.unsent[j.rule]++
		to.saved += int64(len(e.Line)) + eventOverhead
		return size
	}
	p.waiting++
	waits := entry{time: j.time, record: int32(len(p.records) - 1), event: i, service: to.service}
	if to.main == nil {
		to.main = p.queue(to.group)
	}
	to.main.put(waits, len(e.Line))
	if !j.failure {
		return size + entryBytes
	}
	if to.errors == nil {
		to.errors = p.queue(to.group + errorsSuffix)
	}
	to.errors.put(waits, len(e.Line))
	return size + 2*entryBytes
}

// judgement is all that is decided about an event.
type judgement struct {
	kind    schema.Kind
	service string
	time    int64 // milliseconds since the Unix epoch
	send    bool
	rule    int
	level   filter.Level
	failure bool // it also goes to the group for errors
}

// judge classifies what no forwarder did, and applies the rules.
func (p *readyPlan) judge(b *stream.Batch, e *schema.Event) judgement {
	origin := e.Origin
	if origin == nil {
		origin = &noOrigin
	}
	j := judgement{kind: e.Kind, service: origin.Service}
	at := e.Time
	if e.Kind == schema.KindUnset {
		v := p.classifier.Classify(e.Line, origin, e.Time, b.Arrival.UnixNano())
		j.kind, j.service, at = v.Kind, v.Service, v.Time
	}
	j.time = floorDiv(at, int64(time.Millisecond))
	v := p.filter.Judge(&filter.Subject{
		Event: e, Kind: j.kind, Service: j.service, Epoch: b.Epoch, Lane: b.Lane, Record: string(b.Sequence),
	})
	j.send, j.rule, j.level = v.Send, v.Rule, v.Level
	j.failure = p.failure(v.Level, j.kind, origin)
	return j
}

// failure tells whether a line also goes to the group for errors.
func (p *readyPlan) failure(level filter.Level, kind schema.Kind, origin *schema.Origin) bool {
	return p.errors.Enabled && (level >= p.errorLevel || p.errors.Stderr && kind == schema.KindRaw && origin.Source == "stderr")
}

// put adds an event. The service knows no time before 1970.
func (q *queue) put(e entry, line int) {
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
	to := &target{group: group, overflowed: overflowed, service: p.service(k.service)}
	p.targets[k] = to
	return to, int64(targetBytes + len(k.service) + len(group))
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

// count follows a flush: its range is not read again, unless the process dies before
// its checkpoint.
func (s *Sink) count() {
	p, m := s.pending, s.cw.metrics
	for k, to := range p.targets {
		label := s.cw.services.of(k.service)
		for level, n := range to.lines {
			if n == 0 {
				continue
			}
			m.lines.WithLabelValues(label, filter.Level(level).String()).Add(float64(n))
			if to.overflowed {
				m.overflow.Add(float64(n))
			}
		}
		if to.saved > 0 {
			m.saved.WithLabelValues(label).Add(float64(to.saved))
			m.savedCost.WithLabelValues(label).Add(s.cw.cfg.Price.of(to.saved))
		}
	}
	for rule, n := range p.unsent {
		m.unsent.WithLabelValues(s.plan.rules[rule]).Add(float64(n))
	}
}

// floorDiv divides towards the past, so that times before 1970 stay before it.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
