package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/schema"
)

// The service sends an event every five seconds, if only to tell the position. A
// subscription that says nothing is late after two of them, and dead after six.
const (
	late   = 10 * time.Second
	silent = 30 * time.Second
)

// Subscriber reads one shard from a position on, as Reader does and with the same
// promises. Records are pushed by SubscribeToShard; the call is made anew when it
// ends, which it does every five minutes at least, from the position that its last
// event told. Whenever there is no subscription for poll_interval (the service
// refuses one, it may not be made again yet, another worker took it over) the shard
// is polled, by the same rules as a Reader's, until there is.
//
// One goroutine uses it; Behind is for all.
type Subscriber struct {
	fan *FanOut
	r   *Reader // keeps the position and what is held, and polls

	sub      *subscription // nil: none
	opening  *opening      // nil: none
	tryAt    time.Time     // no attempt to subscribe before
	pollAt   time.Time     // no polling before
	failures int           // of attempts, in a row
}

// Await waits for a record; see Reader.Await.
func (s *Subscriber) Await(ctx context.Context, until time.Time) (int64, error) {
	deadline := s.r.src.cfg.look(until)
	for {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("read %s: %w", s.r.shard, err)
		}
		if size, ok := s.r.peek(); ok {
			return max(schema.MaxDecoded, int64(size)+rejectMargin), nil
		}
		if s.r.ended {
			return 0, ErrShardClosed
		}
		if more, err := s.step(ctx, deadline); err != nil || !more {
			return 0, err
		}
	}
}

// Next returns the next record; see Reader.Next.
func (s *Subscriber) Next(ctx context.Context) (Batch, error) {
	for {
		if n, err := s.Await(ctx, time.Time{}); err != nil || n == 0 {
			return Batch{}, err
		}
		if b, ok := s.r.handOut(); ok {
			return b, nil
		}
	}
}

// Close ends all calls under way, waits for their end and gives back all room. The
// Subscriber is of no use afterwards.
func (s *Subscriber) Close() {
	if s.opening != nil {
		s.opening.abandon()
		s.opening = nil
	}
	if s.sub != nil {
		s.sub.close()
		s.sub = nil
	}
	s.r.Close()
}

// Behind is the time behind the tip; see Reader.Behind.
func (s *Subscriber) Behind() time.Duration { return s.r.Behind() }

// Tip is a moment by which nothing was left to hand out; see Reader.Tip.
func (s *Subscriber) Tip() time.Time { return s.r.Tip() }

// Children are the shards that go on where this one ends; see Reader.Children.
func (s *Subscriber) Children() []ShardID { return s.r.Children() }

// step waits until something happens; nothing is held. False means that the
// deadline came first.
func (s *Subscriber) step(ctx context.Context, deadline time.Time) (more bool, err error) {
	s.start()
	// An event that is there already says nothing about now.
	select {
	case e, ok := <-s.events():
		s.receive(e, ok, false)
		return true, nil
	default:
	}
	timer := time.NewTimer(time.Until(s.wake(deadline)))
	defer timer.Stop()
	select {
	case e, ok := <-s.events():
		s.receive(e, ok, true)
	case <-s.attempted():
		s.adopt()
	case <-s.polled():
		return true, s.r.land()
	case <-timer.C:
		s.mind()
		return time.Now().Before(deadline), nil
	case <-ctx.Done():
		return false, fmt.Errorf("read %s: %w", s.r.shard, ctx.Err())
	}
	return true, nil
}

// mind looks whether the subscription lives.
func (s *Subscriber) mind() {
	if s.sub == nil {
		return
	}
	switch quiet := s.sub.intake.silence(); {
	case quiet >= silent:
		s.lose(errSilent)
	case quiet >= late:
		s.r.setBehind(s.r.atAnswer + quiet) // for all we know
	}
}

var errSilent = fmt.Errorf("subscription: no event for %v", silent)

// start makes the calls that are due.
func (s *Subscriber) start() {
	now := time.Now()
	if s.sub != nil {
		s.sub.intake.hurry()
		return
	}
	// Every subscription at LATEST would begin somewhere else: polling makes a time of
	// it first.
	fixed := s.r.from.kind != latest
	if s.opening == nil && fixed && !now.Before(s.tryAt) {
		s.opening = s.fan.open(s.r.shard, s.r.ahead)
	}
	if !fixed || !now.Before(s.pollAt) {
		if s.r.coming == nil {
			s.r.fetch()
		}
		s.r.coming.hurry()
	}
}

// wake is when to look again, at deadline the latest.
func (s *Subscriber) wake(deadline time.Time) time.Time {
	sooner := func(t time.Time) {
		if t.Before(deadline) {
			deadline = t
		}
	}
	switch {
	case s.sub != nil:
		sooner(time.Now().Add(max(silent-s.sub.intake.silence(), time.Second)))
	case s.r.coming == nil:
		sooner(s.pollAt)
	}
	if s.sub == nil && s.opening == nil {
		sooner(s.tryAt)
	}
	return deadline
}

// events, attempted and polled are nil, which is silent for ever, while there is
// nothing to wait for.
func (s *Subscriber) events() <-chan types.SubscribeToShardEventStream {
	if s.sub == nil {
		return nil
	}
	return s.sub.stream.Events()
}

func (s *Subscriber) attempted() <-chan struct{} {
	if s.opening == nil {
		return nil
	}
	return s.opening.done
}

func (s *Subscriber) polled() <-chan struct{} {
	if s.r.coming == nil {
		return nil
	}
	return s.r.coming.done
}

// adopt goes over from polling to the subscription. It began where polling stood
// when it was asked for, so it holds all that polling had not handed out; what
// polling has handed out since is passed over.
func (s *Subscriber) adopt() {
	o := s.opening
	s.opening = nil
	if o.err != nil {
		s.refused(o.err)
		return
	}
	s.r.letGo()
	s.sub = o.sub
	s.sub.next = s.r.ahead
}

// refused plans the next attempt.
func (s *Subscriber) refused(err error) {
	s.pollAt = time.Now()
	if errors.Is(err, errNoFanOut) {
		s.tryAt = s.fan.retryAt()
		return
	}
	now := time.Now()
	s.failures++
	s.tryAt = now.Add(backoff{subscribeAgain, time.Minute}.after(s.failures))
	s.r.metrics.troubles[reasonOf(err)].Inc()
	if s.failures == 1 && isInUse(err) {
		// The last owner subscribed less than five seconds ago, or the new one took over.
		s.r.log.Debug("subscribed to elsewhere, polling until it is free", "err", err)
		return
	}
	s.r.warner.warn("shard not subscribed to, polling until it is", now, "stream", s.r.src.ref.String(), "failures", s.failures, "err", err)
}

// lose goes on without the subscription: with the next one, from the position that
// is known, and with polling when that takes long.
func (s *Subscriber) lose(err error) {
	s.sub.close()
	s.sub = nil
	now := time.Now()
	s.tryAt, s.pollAt = now, now.Add(s.r.src.cfg.PollInterval)
	if err != nil {
		s.refused(err)
	}
}

// receive takes an event over; ok is false at the end of the subscription.
func (s *Subscriber) receive(e types.SubscribeToShardEventStream, ok, waited bool) {
	if !ok {
		s.lose(s.sub.err())
		return
	}
	event, known := e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
	if !known {
		return // of a kind that did not exist when this was written
	}
	l := s.sub.intake.take()
	if !s.accept(&event.Value, l, waited) {
		l.free()
	}
}

// accept makes the event's records what is held. It reports whether it did.
func (s *Subscriber) accept(e *types.SubscribeToShardEvent, l load, waited bool) bool {
	r := s.r
	if r.ahead != s.sub.next {
		s.lose(nil) // what came before was taken back for the room it took
		return false
	}
	to := SequenceNumber(aws.ToString(e.ContinuationSequenceNumber))
	if (to == "") != (len(e.ChildShards) > 0) {
		s.lose(errNoPlace)
		return false
	}
	var first, last *types.Record
	if l.page != nil {
		if first, last, _ = l.page.ends(); last == nil {
			s.lose(nil) // taken back before it came here
			return false
		}
	}
	s.failures = 0
	r.answered = time.Now()
	r.atAnswer = time.Duration(aws.ToInt64(e.MillisBehindLatest)) * time.Millisecond
	if last != nil {
		r.held = l.page
		r.metrics.held.Set(float64(l.data))
		r.newest = arrivalOf(last)
		r.lag(arrivalOf(first))
	} else {
		r.setBehind(r.atAnswer)
		if r.atAnswer == 0 && waited {
			r.tip = r.answered
		}
	}
	if to == "" {
		// Not needed any more, unless the held records are taken back: then r.ended goes
		// with them, and the last of them says where to go on.
		r.ended, r.children = true, nil
		for _, child := range e.ChildShards {
			r.children = append(r.children, ShardID(aws.ToString(child.ShardId)))
		}
		return true
	}
	r.ahead = After(to)
	s.sub.next = r.ahead
	return true
}

// errNoPlace: an event tells where to go on, or that the shard has ended and what
// its children are. One that tells neither or both leaves it to polling.
var errNoPlace = errors.New("subscription: an event tells neither where to go on nor what follows the shard")
