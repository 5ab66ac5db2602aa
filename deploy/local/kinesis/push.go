package kinesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tributary/deploy/local/fault"
)

const (
	eventBytes = 1 << 20 // of data and keys in one event; a larger record goes alone
	// pushEvery is the least time between two events while a subscription is at the tip: records that come meanwhile go together.
	pushEvery = 200 * time.Millisecond
	// heartbeat is the most time between two events; one without records tells the position.
	heartbeat = 5 * time.Second
	// slowClient is how long the writing of one event may take. Its memory is held meanwhile.
	slowClient = 30 * time.Second
	// payoff is how often a subscription above its rate looks whether it may go on.
	payoff = 50 * time.Millisecond
)

// errClientGone: nobody reads the answer any more.
var errClientGone = errors.New("the client is gone")

// serve writes the answer, to its end.
func (s *subscription) serve(w http.ResponseWriter) {
	defer s.stream.subscriptions.leave(s)
	defer s.cancel(nil)
	out := eventWriter{w, http.NewResponseController(w)}
	defer out.finish()
	w.Header().Set("Content-Type", eventStreamType)
	// The SDK waits for this message before it hands the stream to its caller.
	err := out.message(initialHeaders, []byte("{}"))
	if err == nil {
		err = s.push(out)
	}
	if err == nil || errors.Is(err, errEnded) || errors.Is(err, errClientGone) || errors.Is(err, context.Canceled) {
		return
	}
	refused := &apiError{Code: "InternalFailureException", Message: "the local endpoint failed: " + err.Error()}
	if !errors.As(err, &refused) {
		s.svc.opts.Log.Error("subscription failed", "stream", s.stream.meta.Name, "shard", s.shard.meta.ID, "err", err)
	}
	text, _ := json.Marshal(map[string]string{"message": refused.Message}) // strings always marshal
	_ = out.message(exceptionHeaders(refused.Code), text)                  // the client may have left
}

// push writes events until the shard ends (nil), the client is gone, or the subscription is ended, with the reason.
func (s *subscription) push(out eventWriter) error {
	var last time.Time // of the last event
	for {
		changed := s.shard.changed() // before reading, so that nothing written after it is slept over
		if err := s.payOff(); err != nil {
			return err
		}
		e, err := s.pushOne(out, time.Since(last) >= heartbeat)
		if err != nil || e.end {
			return err
		}
		s.position = e.next
		if e.sent {
			last = time.Now()
		}
		if !e.atTip {
			continue
		}
		if err := s.wait(changed, last); err != nil {
			return err
		}
	}
}

// payOff waits until the rate allows the next event.
func (s *subscription) payOff() error {
	for !s.admits(s.svc.opts.Now()) {
		if err := s.sleep(payoff); err != nil {
			return err
		}
	}
	return context.Cause(s.done)
}

func (s *subscription) admits(now time.Time) bool {
	s.pushed.mu.Lock()
	defer s.pushed.mu.Unlock()
	return !s.svc.opts.Limits || s.pushed.bytes.Takes(0, now)
}

func (s *subscription) pay(bytes int) {
	s.pushed.mu.Lock()
	defer s.pushed.mu.Unlock()
	s.pushed.bytes.Take(float64(bytes))
}

// wait waits at the tip until there is something to push or a heartbeat is due.
func (s *subscription) wait(changed <-chan struct{}, last time.Time) error {
	beat := time.NewTimer(heartbeat - time.Since(last))
	defer beat.Stop()
	select {
	case <-s.done.Done():
		return context.Cause(s.done)
	case <-beat.C:
		return nil
	case <-changed:
		return s.sleep(pushEvery - time.Since(last))
	}
}

func (s *subscription) sleep(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.done.Done():
		return context.Cause(s.done)
	case <-timer.C:
		return nil
	}
}

// A pushEvent is one SubscribeToShardEvent and what follows from it.
type pushEvent struct {
	text  []byte
	next  uint64 // the position behind it
	empty bool   // it has no record
	atTip bool   // nothing that had been written lies behind it, nor the shard's end
	end   bool   // it is the shard's end
	sent  bool
}

// pushOne pushes what there is, or even nothing if that is overdue.
func (s *subscription) pushOne(out eventWriter, overdue bool) (e pushEvent, err error) {
	room := s.room()
	// Before the stream's lock, as in getRecords.
	if err := s.svc.memory.Acquire(s.done, room); err != nil {
		return e, context.Cause(s.done)
	}
	defer s.svc.memory.Release(room)
	e, err = s.read(room)
	if err != nil || e.empty && !e.end && !overdue {
		return e, err
	}
	e.sent = true
	if s.svc.opts.Faults.Strikes(fault.Cut, "kinesis", "SubscribeToShard") {
		out.half(eventHeaders, e.text)
		panic(http.ErrAbortHandler)
	}
	return e, out.message(eventHeaders, e.text)
}

// room is how large the next event's text may become, from what is stored now.
func (s *subscription) room() int64 {
	s.stream.resizeOn(s.svc.opts.Now())
	s.stream.mu.RLock()
	largest := max(eventBytes, int64(s.stream.meta.MaxRecordKiB)<<10, int64(s.stream.meta.LargestRecordKiB)<<10)
	s.stream.mu.RUnlock()
	return answerRoom(s.shard.unread(s.position), largest, maxGetRecords)
}

func (s *subscription) read(room int64) (e pushEvent, err error) {
	st, sh, now := s.stream, s.shard, s.svc.opts.Now()
	st.mu.RLock()
	defer st.mu.RUnlock()
	if err := st.usable(); err != nil {
		return e, err
	}
	if sh.meta.expired(st.horizon(now)) {
		return e, noShard(st, sh.meta.ID)
	}
	a := answer{buf: make([]byte, 0, room), st: st, limit: maxGetRecords, maxBytes: eventBytes}
	if e.next, e.atTip, err = a.read(sh, s.position, now); err != nil {
		return e, err
	}
	s.pay(a.bytes)
	e.empty = a.records == 0
	if e.atTip && sh.meta.closed() {
		// The end is an event of its own: Beam's reader looks for records only where there is a continuation.
		e.end, e.atTip = e.empty, e.empty
	}
	if e.end {
		// The service leaves out the continuation at the end, though its documentation calls it required: the KCL takes an event with
		// one and children, or with neither, for invalid.
		err = a.children(sh)
	} else {
		a.buf = append(a.buf, `,"ContinuationSequenceNumber":"`...)
		a.buf = append(st.appendSequence(a.buf, e.next-1), '"')
	}
	e.text = append(a.buf, '}')
	return e, err
}

// An eventWriter writes an event stream, each message at once.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (o eventWriter) message(headers, payload []byte) error {
	before, behind := enclose(headers, payload)
	return o.write(before, payload, behind)
}

// half is a message that is cut off in its payload.
func (o eventWriter) half(headers, payload []byte) {
	before, _ := enclose(headers, payload)
	_ = o.write(before, payload[:len(payload)/2]) // it is cut off either way
}

func (o eventWriter) write(parts ...[]byte) error {
	// A writer without deadlines is not a connection's.
	_ = o.rc.SetWriteDeadline(time.Now().Add(slowClient))
	for _, p := range parts {
		if _, err := o.w.Write(p); err != nil {
			return fmt.Errorf("%w: %w", errClientGone, err)
		}
	}
	if err := o.rc.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// finish leaves the connection to the calls that follow on it.
func (o eventWriter) finish() { _ = o.rc.SetWriteDeadline(time.Time{}) }
