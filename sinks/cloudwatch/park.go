package cloudwatch

import (
	"sync"
	"time"
)

const (
	// maxFailing bounds the log streams that are watched. One beyond them is not parked.
	maxFailing = 10_000
	// evidence is how long ago another stream may have been accepted to show that the
	// service is up.
	evidence = time.Minute
)

// parking knows since when log streams fail without a success. It outlives sinks: one
// that is dropped because it is stuck must not start the time anew.
type parking struct {
	after time.Duration
	show  func(parked int)

	mu      sync.Mutex
	failing map[key]*failing
	parked  int
	last    key       // the stream that was accepted last
	lastAt  time.Time // and when
	otherAt time.Time // when any other was
}

type failing struct {
	since, last time.Time
	parked      bool
}

// accepted clears a log stream.
func (p *parking) accepted(k key, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k != p.last {
		p.last, p.otherAt = k, p.lastAt
	}
	p.lastAt = now
	if f := p.failing[k]; f != nil {
		delete(p.failing, k)
		if f.parked {
			p.parked--
			p.show(p.parked)
		}
	}
}

// failed tells whether what a log stream should have taken goes to the rejects, and
// whether it is the first time. own: the answer spoke of this stream and not of the
// service. Otherwise other streams must have been accepted while this one failed.
func (p *parking) failed(k key, own bool, now time.Time) (park, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.failing[k]
	if f != nil && !f.parked && now.Sub(f.last) > p.after {
		f = nil // another failure, long after the one before
	}
	if f == nil {
		if len(p.failing) >= maxFailing && !p.forget(now) {
			return false, false
		}
		f = &failing{since: now}
		p.failing[k] = f
	}
	f.last = now
	others := p.lastAt
	if k == p.last {
		others = p.otherAt
	}
	if !own && (now.Sub(others) > evidence || !others.After(f.since)) {
		return false, false
	}
	if f.parked {
		return true, false
	}
	if now.Sub(f.since) < p.after {
		return false, false
	}
	f.parked = true
	p.parked++
	p.show(p.parked)
	return true, true
}

// forget makes room and tells whether there is some.
func (p *parking) forget(now time.Time) bool {
	for k, f := range p.failing {
		if !f.parked && now.Sub(f.last) > p.after {
			delete(p.failing, k)
		}
	}
	return len(p.failing) < maxFailing
}
