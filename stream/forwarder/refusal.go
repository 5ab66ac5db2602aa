package forwarder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tributary/schema"
	"tributary/stream"
	"tributary/stream/refused"
)

const (
	// refusalsInRow is how many events may be set aside with nothing stored in between.
	// More of them speak of the stream, not of lines.
	refusalsInRow = 8
	// refusedWait is the pause before a stream that refuses everything is tried again.
	refusedWait = 30 * time.Second
	// keepAgain is the pause before a disk that took no reject is tried again.
	keepAgain = time.Second
	// sayEvery is how often refusals are logged.
	sayEvery = 10 * time.Second
)

// The closed set of what becomes of a record that is refused for good.
const (
	refusedHalved  = "halved"
	refusedParts   = "parts"
	refusedAside   = "set_aside"
	refusedWaiting = "waiting"
)

// aside is what lanes share to set aside what the stream refuses.
type aside struct {
	file    *refused.File
	giveUp  bool         // a stream that refuses everything is not waited for
	rejects atomic.Int64 // set aside

	mu                sync.Mutex
	row               int // refusals with nothing stored in between
	one, all, trouble spoken
}

// pass reports whether one more event may be set aside.
func (a *aside) pass() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.row >= refusalsInRow {
		return false
	}
	a.row++
	return true
}

// stored says that the stream has taken something.
func (a *aside) stored() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.row = 0
}

// spoken is one message that comes many times.
type spoken struct {
	last  time.Time
	times int
}

// say logs the first of many at once, and then one every sayEvery with their number.
func (a *aside) say(s *spoken, log *slog.Logger, message string, attrs ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.times++
	if now := time.Now(); s.last.IsZero() || now.Sub(s.last) >= sayEvery {
		log.Error(message, append(attrs, "times", s.times)...)
		s.last, s.times = now, 0
	}
}

// longLine says that a line can go out in parts that are shorter than itself.
func longLine(e *schema.Event) bool { return e.Part.Number == 0 && len(e.Line) > partBytes }

// wentInParts says that an earlier life sent the line in parts: it set one of them
// aside. Whole, it would come a second time.
func (l *lane) wentInParts(e schema.Event) bool {
	if !longLine(&e) {
		return false
	}
	for i := range uint64(len(e.Line)/(partBytes-3) + 1) { // cutParts may cut up to 3 bytes early
		if _, has := l.aside.file.Has(refused.ID{Epoch: l.epoch, Lane: l.number, Offset: e.Offset - i}); has {
			return true
		}
	}
	return false
}

// publish returns nil when the record is stored, and a Permanent error when the stream
// refuses it and takes others. final says that it cannot be cut: while the stream seems
// to refuse everything, such a record is offered again and again.
func (l *lane) publish(ctx context.Context, record []byte, final bool) error {
	defer l.vitals.lanes.end(l)
	for {
		l.vitals.lanes.begin(l)
		err := l.offer(ctx, record)
		if !stream.IsPermanent(err) || !final || l.aside.pass() {
			return err // the producer retries all else, so it is stopping
		}
		taken, err := l.probe(ctx)
		if err != nil {
			return err
		}
		if taken {
			continue
		}
		if err := l.pause(ctx, refusedWait); err != nil {
			return err
		}
	}
}

// probe asks by a record without events whether the stream takes anything. Without it
// nine lines in a row that it refuses would hold up a lane for ever.
func (l *lane) probe(ctx context.Context) (taken bool, err error) {
	record, err := l.encoders.append(nil, &schema.Batch{Epoch: l.epoch, Lane: l.number}, l.quiet)
	if err != nil {
		return false, fmt.Errorf("encode a record without events: %w", err)
	}
	err = l.offer(ctx, record)
	switch {
	case err == nil:
		return true, nil
	case !stream.IsPermanent(err):
		return false, err
	case l.aside.giveUp:
		return false, fmt.Errorf("the stream refuses every record: %s", reasonOf(err))
	}
	l.metrics.refused.WithLabelValues(refusedWaiting).Inc()
	l.aside.say(&l.aside.all, l.log, "kinesis refuses every record for good, lanes wait", "epoch", l.epoch, "lane", l.number, "err", err)
	l.vitals.lanes.hold(l, fmt.Errorf("the stream refuses every record: %s", reasonOf(err)))
	return false, nil
}

// cutAnew sends events that fit no record, or were refused as one, in smaller ones. What
// cannot be cut is set aside. Other errors are returned.
func (l *lane) cutAnew(ctx context.Context, events []queued, record []byte, err error) error {
	noFit := errors.Is(err, errNoFit)
	if !noFit && !stream.IsPermanent(err) {
		return err
	}
	count := func(outcome string) {
		if !noFit {
			l.metrics.refused.WithLabelValues(outcome).Inc()
		}
	}
	switch {
	case len(events) > 1:
		count(refusedHalved)
		half := len(events) / 2
		if err := l.send(ctx, events[:half]); err != nil {
			return err
		}
		return l.send(ctx, events[half:])
	case longLine(&events[0].event):
		count(refusedParts)
		return l.sendParts(ctx, events[0])
	case record == nil:
		return fmt.Errorf("encode an event: %w", err)
	}
	count(refusedAside)
	l.aside.say(&l.aside.one, l.log, "kinesis refuses an event for good, it is kept as a reject", "epoch", l.epoch, "lane", l.number, "bytes", len(record), "err", err)
	return l.setAside(ctx, events[0], record, reasonOf(err))
}

// setAside returns when the event is durable as a reject and done. A disk that does not
// take it is tried again: the spool still has it.
func (l *lane) setAside(ctx context.Context, q queued, record []byte, reason string) error {
	defer l.vitals.lanes.end(l)
	for {
		err := l.aside.file.Add(refused.Reject{
			ID: refused.ID{Epoch: l.epoch, Lane: l.number, Offset: q.event.Offset},
			At: time.Now(), Position: q.position, Reason: reason, Record: record,
		})
		if err == nil {
			break
		}
		l.aside.say(&l.aside.trouble, l.log, "reject not kept, its lane waits", "err", err)
		l.vitals.lanes.hold(l, err)
		if err := l.pause(ctx, keepAgain); err != nil {
			return err
		}
	}
	l.aside.rejects.Add(1)
	l.raw.Add(int64(schema.EventSize(&q.event)))
	l.tracker.done(q.indexes...)
	return nil
}

// undecided sets aside once more what an earlier life had set aside and the spool still
// offers, and returns the rest: what comes behind them may be in the stream already.
func (l *lane) undecided(ctx context.Context, events []queued) ([]queued, error) {
	var left []queued
	for i, q := range events {
		reason, has := l.aside.file.Has(refused.ID{Epoch: l.epoch, Lane: l.number, Offset: q.event.Offset})
		if !has || longLine(&q.event) { // its last part has its offset
			if left != nil {
				left = append(left, q)
			}
			continue
		}
		if left == nil {
			left = append(make([]queued, 0, len(events)), events[:i]...)
		}
		record, err := l.encoders.append(nil, &schema.Batch{Epoch: l.epoch, Lane: l.number, Events: []schema.Event{q.event}}, l.quiet)
		if err != nil {
			return nil, fmt.Errorf("encode an event: %w", err)
		}
		if err := l.setAside(ctx, q, record, reason); err != nil {
			return nil, err
		}
	}
	if left == nil {
		return events, nil
	}
	return left, nil
}

// reasonOf is what the service said, without what differs from one answer to the next.
func reasonOf(err error) string {
	var api interface {
		error
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}
