package consumers

import (
	"strings"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// Target is where a reset leads: TrimHorizon, Latest, a time or a sequence number.
type Target struct {
	start  lease.Start
	latest bool
	text   string
}

// ParseTarget reads trim-horizon, latest, a time (RFC 3339, or a duration before
// now such as -90m) or the sequence number of the record to be delivered first.
func ParseTarget(s string, now time.Time) (Target, error) {
	t := Target{text: s}
	switch {
	case s == "trim-horizon" || s == StartTrimHorizon:
		t.start.From = lease.StartTrimHorizon
		return t, nil
	case s == StartLatest:
		t.latest = true
		return t, nil
	case strings.Trim(s, "0123456789") == "" && len(s) > 10:
		t.start = lease.Start{From: lease.StartSequence, Sequence: stream.SequenceNumber(s)}
		return t, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if back, failed := time.ParseDuration(s); failed == nil && strings.HasPrefix(s, "-") {
		at, err = now.Add(back), nil
	}
	if err != nil {
		return Target{}, refuse("%q is no position: use trim-horizon, latest, a time such as 2026-11-22T15:04:05Z, how long ago such as -2h, or a sequence number", s)
	}
	if !at.Before(now) {
		return Target{}, refuse("%s lies in the future: to skip everything use latest", s)
	}
	t.start = lease.Start{From: lease.StartTimestamp, Time: at.UTC().Truncate(time.Millisecond)}
	return t, nil
}

// String is what ParseTarget read.
func (t Target) String() string { return t.text }
