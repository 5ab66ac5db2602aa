package forwarder

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// readyWithin is how long spool or stream may keep something waiting before the
// forwarder says that it is not ready: longer than a throttled second or a slow disk
// takes, and soon enough for a load balancer or a deployment to see.
const readyWithin = 15 * time.Second

// Ready is nil while lines that are sent now are kept and go on: the listeners are
// open, the spool takes entries, and the stream has been reached, does not refuse all it
// is offered and holds up nothing for long.
func (f *Forwarder) Ready() error {
	switch f.vitals.phase.Load() {
	case phaseStarting:
		return errors.New("starting")
	case phaseStopping:
		return errors.New("stopping")
	}
	if f.vitals.spool.Stalled(readyWithin) {
		if err := f.vitals.spool.Usable(); err != nil {
			return err
		}
		return fmt.Errorf("the spool has stored nothing for %v", readyWithin)
	}
	answered := f.vitals.answered.Load()
	if answered == 0 && !f.out.Known() {
		return errors.New("the stream has not answered since the start")
	}
	for _, w := range f.vitals.lanes.waiting() {
		if w.why != nil {
			return w.why
		}
		if since := time.Since(w.since); since > readyWithin && w.since.After(time.Unix(0, answered)) {
			return fmt.Errorf("the stream has stored nothing for %v", since.Round(time.Second))
		}
	}
	return nil
}

// Healthy is nil unless a part is stuck, so that only a new start can help. A stream
// that cannot be reached, or refuses everything, is no such case: each attempt ends, and
// the spool takes on.
func (f *Forwarder) Healthy() error {
	v := &f.vitals
	if v.phase.Load() != phaseServing {
		return nil
	}
	now := time.Now()
	if at := v.pumped.Load(); at != 0 && now.Sub(time.Unix(0, at)) > f.cfg.StuckAfter {
		return fmt.Errorf("the pump has read nothing for %v, though the spool holds something", now.Sub(time.Unix(0, at)).Round(time.Second))
	}
	silent := now.Sub(f.out.Called()) > f.cfg.StuckAfter
	answered := time.Unix(0, v.answered.Load())
	for _, w := range v.lanes.waiting() {
		if w.paused {
			continue // it goes on by itself
		}
		if waits := now.Sub(w.since); waits > f.cfg.StuckAfter && (silent || answered.After(w.since)) {
			return fmt.Errorf("lane %d of epoch %v has stored nothing for %v, though something waits", w.lane.number, w.lane.epoch, waits.Round(time.Second))
		}
	}
	return nil
}

// The phases of Run.
const (
	phaseStarting = iota
	phaseServing
	phaseStopping
)

// vitals are the signs of life of a Run.
type vitals struct {
	phase    atomic.Int32
	spool    store        // once the phase is phaseServing
	answered atomic.Int64 // when the stream last stored a record
	pumped   atomic.Int64 // when the pump last went on; 0: it waits for somebody else
	lanes    waitingLanes
}

// store is the spool, as far as it tells of itself.
type store interface {
	// Usable is nil while what arrives is taken.
	Usable() error
	// Stalled says that what arrives waits, if for an error or for longer than patience.
	Stalled(patience time.Duration) bool
}

// waitingLanes are those with a record on its way, or held up.
type waitingLanes struct {
	mu    sync.Mutex
	lanes map[*lane]waitingLane
}

type waitingLane struct {
	lane   *lane
	since  time.Time
	why    error // what holds it up
	paused bool  // nothing is on its way until it tries again
}

// begin says that l tries to go on.
func (w *waitingLanes) begin(l *lane) { w.set(l, nil) }

// hold says why l pauses. Until the end it is held up, also while it tries again.
func (w *waitingLanes) hold(l *lane, why error) { w.set(l, why) }

func (w *waitingLanes) set(l *lane, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lanes == nil {
		w.lanes = make(map[*lane]waitingLane)
	}
	next := waitingLane{l, time.Now(), why, why != nil}
	if why == nil {
		next.why = w.lanes[l].why
	}
	w.lanes[l] = next
}

func (w *waitingLanes) end(l *lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.lanes, l)
}

func (w *waitingLanes) waiting() (out []waitingLane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.lanes {
		out = append(out, one)
	}
	return out
}
