package workload

import (
	"strconv"
	"time"

	"tributary/schema"
)

// Lines are the lines of one seed. They are immutable and safe for concurrent use.
type Lines struct {
	seed uint64
	base time.Time
	step time.Duration
	size int // 0: as they come
}

// NewLines returns the lines of seed. Line n says in its @timestamp that it was
// written at base + n × step, in milliseconds; base and step are as much a part of
// its bytes as the seed is.
func NewLines(seed uint64, base time.Time, step time.Duration) *Lines {
	return &Lines{seed: seed, base: base.UTC(), step: step}
}

// MinSize is the smallest size that Sized takes: what the fields of an app line
// need.
const MinSize = 500

// auditFrom is the size from which on sized lines are audit lines.
const auditFrom = 2048

// Sized returns the lines of the same seed with exactly size bytes each: app lines
// below 2 KiB, audit lines from there on. It panics below MinSize.
func (l *Lines) Sized(size int) *Lines {
	if size < MinSize {
		panic("workload: lines have at least " + strconv.Itoa(MinSize) + " bytes")
	}
	sized := *l
	sized.size = size
	return &sized
}

// Append appends line n, without a newline, to dst and returns the kind that the
// default rules give it. n is not negative. It allocates only to grow dst.
func (l *Lines) Append(dst []byte, n int64) ([]byte, schema.Kind) {
	r := newRandom(l.seed, purposeLine, uint64(n))
	switch share := r.below(100); {
	case l.size >= auditFrom, l.size == 0 && share < 16:
		return l.audit(dst, n, &r), schema.KindAudit
	case l.size == 0 && share < 20:
		return l.raw(dst, n, &r), schema.KindRaw
	}
	return l.app(dst, n, &r), schema.KindApp
}

// Purposes of generators, so that no two of them share a sequence.
const (
	purposeLine = iota
	purposeRequest
)

// request is what the lines of one request have in common, across services. About
// four lines belong to it; 64 requests go on at a time.
type request struct {
	trace  [2]uint64
	user   int
	ip     int
	tenant string
	agent  int
}

func (l *Lines) request(n int64, r *random) request {
	const lines, live = 256, 64
	id := n/lines*live + int64(r.below(live))
	q := newRandom(l.seed, purposeRequest, uint64(id))
	return request{
		trace:  [2]uint64{q.next(), q.next()},
		user:   q.often(users),
		ip:     q.below(1 << 16),
		tenant: pick(&q, tenants),
		agent:  q.often(len(agents)),
	}
}

var tenants = []string{"jp-main", "jp-main", "jp-outlet", "asia"}

// head begins a JSON line. The mark comes early, so that the first piece of a long
// line has it.
func (l *Lines) head(dst []byte, n int64) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = appendTime(dst, l.base.Add(time.Duration(n)*l.step))
	dst = append(dst, `","seq":"`...)
	dst = appendMark(dst, l.seed, n)
	return append(dst, '"')
}

// field appends ,"name":" of a text.
func field(dst []byte, name string) []byte {
	dst = append(dst, `","`...)
	dst = append(dst, name...)
	return append(dst, `":"`...)
}

func appendTrace(dst []byte, trace [2]uint64) []byte {
	return appendHex(appendHex(dst, trace[0], 16), trace[1], 16)
}

// appendTime appends a UTC time as Logback's ISO 8601 does. AppendFormat would take
// a fifth of the time of the whole line.
func appendTime(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	milli := t.Nanosecond() / 1e6
	dst = appendTwo(append(dst, '.', '0'+byte(milli/100)), milli%100)
	return append(dst, 'Z')
}

func appendTwo(dst []byte, v int) []byte { return append(dst, '0'+byte(v/10), '0'+byte(v%10)) }
