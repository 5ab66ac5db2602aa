package cloudwatch

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"tributary/stream"
)

const (
	// ahead is how far an event's time may lie behind its record's arrival: clocks.
	ahead = time.Second
	// appears is how long after its acceptance an event may still be invisible. What is
	// not there so soon after Inherit's until proves nothing.
	appears = 5 * time.Second
	// sightingBytes and suspicionBytes are what an entry of suspicion.seen and a
	// suspicion take.
	sightingBytes  = 72
	suspicionBytes = 512
)

// doubt is what a sink knows after Recall and Inherit: a life before it may have
// delivered more than the checkpoint says. See the package's words on doubled lines.
type doubt struct {
	inherited bool
	since     time.Time
	until     time.Time
	groups    map[string]*suspicion
	full      bool // more would have to be remembered than may be: nothing is skipped
}

// suspicion is the doubt about one log stream.
type suspicion struct {
	// seen counts the messages that are accounted for: recalled, skipped or sent.
	seen map[sighting]uint32
	// clear: a look found nothing of an earlier life, so nothing of what comes later
	// is there.
	clear bool
}

// sighting stands for a message with its time.
type sighting struct {
	time int64
	sum  [2]uint64
}

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func sight[T string | []byte](at int64, message T) sighting {
	return sighting{at, [2]uint64{maphash.String(seeds[0], string(message)), maphash.String(seeds[1], string(message))}}
}

// place names a message of a queue.
type place struct{ record, event, part int32 }

// Recall shows a record that was delivered and is not to be delivered again. All
// Recalls come before Inherit, and this before the first Append.
func (s *Sink) Recall(b stream.Batch) {
	if s.doubt == nil {
		s.doubt = &doubt{groups: map[string]*suspicion{}}
	}
	var scratch []byte
	for i := range b.Events {
		e := &b.Events[i]
		j := s.plan.judge(&b, e)
		if j.time < 0 || s.doubt.full {
			continue // the service never took it, or it is too late to count
		}
		// Whatever the rules say now: it may have been sent by others.
		to, _ := s.target(targetKey{j.kind, j.service})
		message, _ := s.plan.message(scratch[:0], &b, e)
		scratch = message
		for part := range s.plan.split(message, &b, e) {
			at := sight(j.time, part)
			s.doubt.of(to.group).seen[at]++
			if !j.send || j.failure {
				s.doubt.of(to.group + errorsSuffix).seen[at]++
			}
		}
	}
	s.doubt.bound(s.cw.cfg.ReadBack.Bytes)
}

// Inherit ends the Recalls: they showed everything that arrived at since or later, up
// to the checkpoint; a zero since means that nothing lies before it. What arrived
// behind the checkpoint, up to until, may have been delivered.
func (s *Sink) Inherit(since, until time.Time) {
	if s.doubt == nil {
		s.doubt = &doubt{groups: map[string]*suspicion{}}
	}
	s.doubt.inherited, s.doubt.since, s.doubt.until = true, since, until
}

// Settled reports that nothing is in doubt any more.
func (s *Sink) Settled() bool { return s.doubt == nil || !s.doubt.inherited }

// of is the suspicion about a group.
func (d *doubt) of(group string) *suspicion {
	g := d.groups[group]
	if g == nil {
		g = &suspicion{seen: map[sighting]uint32{}}
		d.groups[group] = g
	}
	return g
}

// bound gives up skipping when too much would have to be remembered: a count that
// lacked something would be the one way to lose a line.
func (d *doubt) bound(limit int64) {
	size := int64(0)
	for name, g := range d.groups {
		size += int64(len(name)) + suspicionBytes + int64(len(g.seen))*sightingBytes
	}
	if size > limit {
		d.full, d.groups = true, map[string]*suspicion{}
	}
}

// suspicions are those about the queues, in their order; nil: there is none.
func (s *Sink) suspicions() []*suspicion {
	out := make([]*suspicion, len(s.pending.queues))
	if d := s.doubt; d != nil && d.inherited && !d.full {
		for i, q := range s.pending.queues {
			out[i] = d.of(q.group)
		}
	}
	return out
}

// settle ends the doubt after a flush: the records have left behind what an earlier
// life can have read, or no log stream shows anything of it any more.
func (s *Sink) settle() {
	d := s.doubt
	if d == nil || !d.inherited {
		return
	}
	open := d.full || len(d.groups) == 0
	for _, g := range d.groups {
		open = open || !g.clear
	}
	if !open || s.pending.arrival.After(d.until) {
		s.doubt = nil
	}
}

// message is one of a queue's that is looked for.
type message struct {
	place
	sighting
	suspect bool
}

// inquire decides which messages of a queue are there already. Called again it decides
// only what came since.
func (s *Sink) inquire(ctx context.Context, q *queue, g *suspicion, look *lookBudget) {
	if g == nil || g.clear {
		return
	}
	k := key{q.group, s.shard}
	list := s.undecided(q)
	found := map[sighting]uint32{}
	lo, hi := int64(0), int64(-1)
	for _, m := range list {
		if !m.suspect {
			continue
		}
		if hi < lo {
			lo = m.time
		}
		hi = max(hi, m.time) // the queue is in the order of times
		found[m.sighting] = 0
	}
	whole := hi >= lo && s.cw.readBack(ctx, k, lo, hi, found, look)
	skips := 0
	for _, m := range list {
		if m.suspect && found[m.sighting] > g.seen[m.sighting] {
			if q.there == nil {
				q.there = map[place]struct{}{}
			}
			q.there[m.place] = struct{}{}
			skips++
		}
		g.seen[m.sighting]++
	}
	if whole && skips == 0 && time.Since(s.doubt.until) > appears {
		g.clear, g.seen = true, nil
	}
}

// undecided are the messages of a queue that were not looked for yet, in the order in
// which they are sent.
func (s *Sink) undecided(q *queue) (list []message) {
	var scratch []byte
	from := q.done
	if q.part > 0 {
		from++
	}
	for i := from; i < len(q.entries); i++ {
		e := &q.entries[i]
		if e.decided {
			continue
		}
		e.decided = true
		b := &s.pending.records[e.record]
		event := &b.Events[e.event]
		suspect := !b.Arrival.After(s.doubt.until) && (s.doubt.since.IsZero() || e.time >= s.doubt.since.Add(ahead).UnixMilli())
		text, _ := s.plan.message(scratch[:0], b, event)
		scratch = text
		part := int32(0)
		for m := range s.plan.split(text, b, event) {
			part++
			list = append(list, message{place{e.record, e.event, part}, sight(e.time, m), suspect})
		}
	}
	return list
}

// pageBytes is what a page takes: 1 MiB of messages, and the answer they came in.
const pageBytes = 3 << 20

// lookBudget bounds what one flush reads back.
type lookBudget struct {
	calls atomic.Int64 // left
	until time.Time
}

// readBack counts in found the messages of a log stream from time lo to hi, both
// included, and tells whether it saw all of them.
func (c *CloudWatch) readBack(ctx context.Context, k key, lo, hi int64, found map[sighting]uint32, look *lookBudget) bool {
	if c.unreadable.has(k.group) {
		return false
	}
	ctx, cancel := context.WithDeadline(ctx, look.until)
	defer cancel()
	head, end := true, hi+1
	in := &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: &k.group, LogStreamName: (*string)(&k.shard), StartTime: &lo, EndTime: &end, StartFromHead: &head,
	}
	for look.calls.Add(-1) >= 0 && c.reads.wait(ctx) == nil {
		began := time.Now()
		var out *cloudwatchlogs.GetLogEventsOutput
		err := c.call(ctx, "GetLogEvents", resource(k), func(ctx context.Context) (err error) {
			release, err := c.reserve(ctx, pageBytes)
			if err != nil {
				return err
			}
			defer release()
			out, err = c.api.GetLogEvents(ctx, in, once)
			return err
		})
		c.metrics.lookups.Inc()
		if err != nil {
			c.unread(k, err, began)
			if err.is(throttled) {
				continue // somebody else searches the logs: later, and more slowly
			}
			return err.is(missing)
		}
		c.reads.passed()
		for _, e := range out.Events {
			if e.Timestamp == nil || e.Message == nil {
				continue
			}
			at := sight(*e.Timestamp, *e.Message)
			if n, wanted := found[at]; wanted {
				found[at] = n + 1
			}
		}
		// A page may be empty while there is more.
		if out.NextForwardToken == nil || in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			return true
		}
		in.NextToken = out.NextForwardToken
	}
	return false
}

// unread learns from a look that failed, and says so where it will not mend.
func (c *CloudWatch) unread(k key, err *callError, began time.Time) {
	switch {
	case err.is(throttled):
		c.reads.throttled(began)
	case err.code == "InvalidOperationException", err.is(denied):
		if c.unreadable.add(k.group) {
			c.log.Warn("log group cannot be read back: after a takeover some lines come twice", "group", k.group, "err", err)
		}
	}
}

// nameSet is a set of names, within Config.MaxGroups and their groups for errors.
type nameSet struct {
	mu    sync.Mutex
	names map[string]struct{}
}

func (n *nameSet) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.names[name]
	return ok
}

// add tells whether the name is new.
func (n *nameSet) add(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, known := n.names[name]
	n.names[name] = struct{}{}
	return !known
}
