package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Run groups what Publish hands over and sends it, until ctx ends. Then it takes
// no more, fails what waits with ErrStopped, and waits for the requests on their
// way, at most ProducerConfig.AttemptTimeout: those that are stored still make
// their Publish return nil. It is called once.
func (p *Producer) Run(ctx context.Context) error {
	if p.running.Swap(true) {
		return errors.New("producer: run called twice")
	}
	d := dispatcher{
		Producer: p,
		answers:  make(chan answer),
		due:      time.NewTimer(0),
		room:     p.cfg.MaxRequestBytes,
		warner:   warner{log: p.log},
	}
	defer d.due.Stop()
	var following sync.WaitGroup
	following.Go(func() { p.follow(ctx) })
	defer following.Wait()
	// An attempt outlives ctx: cutting it would make stored records unknown ones.
	attempts := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		d.dispatch(attempts)
		select {
		case <-ctx.Done():
		case <-d.due.C:
		case pub := <-p.arrivals:
			d.take(pub)
		case pub := <-p.withdrawals:
			d.withdraw(pub)
		case a := <-d.answers:
			d.settle(a)
		}
	}
	d.drain()
	return nil
}

// schedule is when and how a publication is sent next.
type schedule struct {
	failures  int
	notBefore time.Time
	// alone keeps it out of groups: the service refused the content of a request it
	// was part of, and only a request of its own tells whether it was this record.
	alone     bool
	withdrawn bool
}

// dispatcher is the state of Run, owned by its goroutine.
type dispatcher struct {
	*Producer
	waiting  []*publication // in the order of arrival, failed ones behind
	room     int64          // bytes of the next request, see resize
	inFlight int            // requests
	answers  chan answer
	due      *time.Timer // fires when the first waiting publication may be sent
	stopped  bool
	warner   warner
}

// take accepts pub and everybody else who stands at the door, so that lanes which
// were released together travel together.
func (d *dispatcher) take(pub *publication) {
	for {
		d.wait(pub)
		select {
		case pub = <-d.arrivals:
		default:
			return
		}
	}
}

func (d *dispatcher) wait(pub *publication) {
	d.waiting = append(d.waiting, pub)
	d.metrics.waiting.Add(float64(pub.record.size()))
}

// withdraw forgets pub if it waits. If it is on its way, the answer is nobody's.
func (d *dispatcher) withdraw(pub *publication) {
	pub.schedule.withdrawn = true
	if i := slices.Index(d.waiting, pub); i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
		d.metrics.waiting.Sub(float64(pub.record.size()))
	}
}

// dispatch starts as many requests as may be and have something to carry.
func (d *dispatcher) dispatch(ctx context.Context) {
	now := time.Now()
	for d.inFlight < d.cfg.MaxInFlight {
		g := d.group(now)
		if len(g.members) == 0 {
			break
		}
		d.inFlight++
		d.metrics.inFlight.Add(float64(g.bytes))
		d.metrics.waiting.Sub(float64(g.bytes))
		go func() { d.answers <- d.put(ctx, g) }()
	}
	if d.inFlight == d.cfg.MaxInFlight || len(d.waiting) == 0 {
		d.due.Stop() // the next answer or arrival dispatches
		return
	}
	first := slices.MinFunc(d.waiting, func(a, b *publication) int {
		return a.schedule.notBefore.Compare(b.schedule.notBefore)
	})
	d.due.Reset(first.schedule.notBefore.Sub(now))
}

// group takes from waiting what is due and fits into one request. What is passed
// over keeps its place, so that a large record is the first of the next group.
func (d *dispatcher) group(now time.Time) group {
	var g group
	rest := d.waiting[:0]
	for i, pub := range d.waiting {
		if g.full(d.cfg.MaxRecordsPerRequest) {
			rest = append(rest, d.waiting[i:]...)
			break
		}
		if pub.schedule.notBefore.After(now) || !g.fits(pub, d.room) {
			rest = append(rest, pub)
			continue
		}
		g.members = append(g.members, pub)
		g.bytes += pub.record.size()
	}
	clear(d.waiting[len(rest):])
	d.waiting = rest
	return g
}

// settle releases the callers whose records are stored and schedules the others.
func (d *dispatcher) settle(a answer) {
	d.inFlight--
	d.metrics.inFlight.Sub(float64(a.bytes))
	d.resize(a)
	for i, pub := range a.members {
		f := a.failures[i]
		switch {
		case f == nil:
			d.metrics.records.Inc()
			d.metrics.bytes.Add(float64(pub.record.size()))
			pub.result <- nil
		case pub.schedule.withdrawn:
		case IsPermanent(f.err):
			d.metrics.refused.Inc()
			d.doubt(pub.record.size())
			pub.result <- fmt.Errorf("publish: %w", f.err)
		default:
			d.retry(pub, *f)
		}
	}
}

// minRoom holds a few small records. A single larger one travels all the same.
const minRoom = 64 << 10

// resize halves the next request after a timeout and lets it grow with what gets
// through. At one size a line too slow for AttemptTimeout would carry the same
// bytes for ever, and the stream would store some of them each time.
func (d *dispatcher) resize(a answer) {
	if f := a.failures[0]; f != nil && f.reason == reasonTimeout && f.whole {
		d.room = max(d.room/2, min(minRoom, d.cfg.MaxRequestBytes))
		return
	}
	d.room = min(d.room+a.bytes/8, d.cfg.MaxRequestBytes)
}

func (d *dispatcher) retry(pub *publication, f failure) {
	d.metrics.retries.WithLabelValues(f.reason).Inc()
	now := time.Now()
	s := &pub.schedule
	s.failures++
	d.warner.warn("records not stored, they are sent again", now, "stream", d.ref.String(), "reason", f.reason, "attempts", s.failures, "err", f.err)
	if d.stopped {
		pub.result <- fmt.Errorf("publish: %w: outcome unknown: %w", ErrStopped, f.err)
		return
	}
	s.alone = s.alone || f.suspect
	s.notBefore = now.Add(backoff{d.cfg.BackoffMin, d.cfg.BackoffMax}.after(s.failures))
	d.wait(pub)
}

// drain ends every Publish that is still open.
func (d *dispatcher) drain() {
	close(d.stopping)
	d.stopped = true
	for _, pub := range d.waiting {
		d.metrics.waiting.Sub(float64(pub.record.size()))
		pub.result <- fmt.Errorf("publish: %w", ErrStopped)
	}
	d.waiting = nil
	for d.inFlight > 0 {
		select {
		case a := <-d.answers:
			d.settle(a)
		case pub := <-d.withdrawals:
			d.withdraw(pub)
		}
	}
}
