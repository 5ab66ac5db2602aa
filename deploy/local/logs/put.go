package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// The limits of one call, from the documentation of PutLogEvents.
const (
	maxBatchEvents = 10_000
	maxBatchBytes  = 1 << 20
	eventOverhead  = 26 // counted for each event beside its message
	maxSpan        = 24 * time.Hour
	maxAge         = 14 * day
	maxAhead       = 2 * time.Hour
)

type putLogEventsInput struct {
	LogGroupName  string         `json:"logGroupName"`
	LogStreamName string         `json:"logStreamName"`
	LogEvents     inputLogEvents `json:"logEvents"`
	SequenceToken *string        `json:"sequenceToken"` // "is now ignored"
}

type inputLogEvents []inputLogEvent

// UnmarshalJSON stops at the first event that is too many: a body of nothing but brackets would else take ten times its size.
func (events *inputLogEvents) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return errors.Join(errors.New("logEvents is no array"), err)
	}
	for dec.More() {
		if len(*events) == maxBatchEvents {
			return invalid("logEvents has more than %d members", maxBatchEvents)
		}
		var e inputLogEvent
		if err := dec.Decode(&e); err != nil {
			return err
		}
		*events = append(*events, e)
	}
	return nil
}

type inputLogEvent struct {
	Timestamp *int64 `json:"timestamp"`
	Message   string `json:"message"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string    `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejected `json:"rejectedLogEventsInfo,omitempty"`
}

// rejected are the events that were not stored: those before the ends, which are exclusive, and from the start on, which is inclusive.
type rejected struct {
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredLogEventEndIndex  *int `json:"expiredLogEventEndIndex,omitempty"`
}

// check refuses what fails a call as a whole, the span apart.
func (in putLogEventsInput) check() error {
	if err := checkGroupName(in.LogGroupName); err != nil {
		return err
	}
	if err := checkStreamName("logStreamName", in.LogStreamName); err != nil {
		return err
	}
	if n := len(in.LogEvents); n < 1 || n > maxBatchEvents {
		return invalid("logEvents has %d members: want 1 to %d", n, maxBatchEvents)
	}
	total := 0
	for i, e := range in.LogEvents {
		size := len(e.Message) + eventOverhead
		switch {
		case e.Message == "":
			return invalid("Log event message is null or empty: member %d of logEvents", i)
		case e.Timestamp == nil || *e.Timestamp < 0:
			return invalid("member %d of logEvents: want a timestamp of 0 or more", i)
		case size > maxBatchBytes:
			return invalid("Log event too large: %d bytes exceeds limit of %d", size, maxBatchBytes)
		case i > 0 && *e.Timestamp < *in.LogEvents[i-1].Timestamp:
			return invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		total += size
	}
	if total > maxBatchBytes {
		return invalid("Upload too large: %d bytes exceeds limit of %d", total, maxBatchBytes)
	}
	return nil
}

// admit gives the events to be stored, and which are not. Events are in chronological order.
func admit(events []inputLogEvent, now time.Time, horizon int64) ([]inputLogEvent, *rejected) {
	oldest, newest := now.Add(-maxAge).UnixMilli(), now.Add(maxAhead).UnixMilli()
	tooOld, expired, end := 0, 0, len(events)
	for i, e := range events {
		switch ts := *e.Timestamp; {
		case ts < oldest:
			tooOld = i + 1
		case ts < horizon:
			expired = i + 1
		case ts > newest:
			end = min(end, i)
		}
	}
	var r *rejected
	if tooOld > 0 || expired > 0 || end < len(events) {
		r = new(rejected)
	}
	if tooOld > 0 {
		r.TooOldLogEventEndIndex = &tooOld
	}
	if expired > 0 {
		r.ExpiredLogEventEndIndex = &expired
	}
	if end < len(events) {
		r.TooNewLogEventStartIndex = &end
	}
	return events[max(tooOld, expired):end], r
}

func (c *call) putLogEvents(in putLogEventsInput) (out putLogEventsOutput, err error) {
	if err := in.check(); err != nil {
		return out, err
	}
	g, unlock, err := c.use(in.LogGroupName)
	if err != nil {
		return out, err
	}
	defer unlock()
	st, err := g.stream(in.LogStreamName)
	if err != nil {
		return out, err
	}
	events, rejected := admit(in.LogEvents, c.now, g.horizon(c.now))
	out = putLogEventsOutput{NextSequenceToken: sequenceToken(uint64(c.now.UnixMilli())), RejectedLogEventsInfo: rejected}
	if len(events) == 0 {
		return out, nil
	}
	if span := *events[len(events)-1].Timestamp - *events[0].Timestamp; span > maxSpan.Milliseconds() {
		return out, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return out, st.append(events, c.now)
}
