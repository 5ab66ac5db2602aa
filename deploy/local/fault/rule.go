package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Action is what befalls a call.
type Action string

const (
	// Throttle answers with the service's own throttling error; nothing is done.
	Throttle Action = "throttle"
	// Error answers with HTTP 500, or Rule.Status; nothing is done.
	Error Action = "error"
	// Delay waits, then does the call. A client that leaves while waiting takes its call with it.
	Delay Action = "delay"
	// LoseResponse does the call, then cuts the connection without an answer.
	LoseResponse Action = "lose_response"
	// DelayCommit waits, then does the call, whether or not the client is still there.
	DelayCommit Action = "delay_commit"
	// ThrottleRecords fails single records inside an otherwise successful PutRecords answer. Every and Count count records.
	ThrottleRecords Action = "throttle_records"
	// FailRecords fails single records too, with InternalFailure: the service does not say whose fault it is.
	FailRecords Action = "fail_records"
	// Stale lets an eventually consistent read answer from before the last write. Every and Count count such reads.
	Stale Action = "stale"
	// Cut breaks the connection in the middle of an event of SubscribeToShard. Every and Count count events.
	Cut Action = "cut"
)

// Services are the names that Rule.Service may take, "" and "*" apart.
var Services = []string{"kinesis", "dynamodb", "s3", "logs", treasureData}

// treasureData is the service whose errors are told by their status, and by nothing else that a client goes by.
const treasureData = "td"

// maxDelay bounds Rule.Delay: a waiting call holds its body in memory.
const maxDelay = 10 * time.Minute

// A Rule says what happens to some of the calls that match it.
type Rule struct {
	Service   string        // one of Services; "" or "*" matches any
	Operation string        // as the API reference spells it, e.g. "PutRecords"; "" or "*" matches any
	Action    Action        //
	Every     int           // each Nth matching call is hit, the Nth first; 0 means 1: each
	Share     float64       // in place of Every: so many of the matching calls, between 0 and 1, picked at random by Seed
	Seed      uint64        // with Share: the same seed picks the same calls
	Count     int           // after so many hits the rule rests; 0 means never
	Delay     time.Duration // how long Delay and DelayCommit wait; 0 for all other actions
	Status    int           // what Error answers instead of 500, of the service "td" only; 0 for all others
}

// Status is a rule with what it has done since it was set.
type Status struct {
	Rule
	Calls int64 // matching calls
	Hits  int64 // calls the rule did something to
}

// A Fault is what to do with one call. The zero Fault is: nothing.
type Fault struct {
	Action Action
	Delay  time.Duration
	Status int
}

func (r Rule) matches(service, operation string) bool {
	return matches(r.Service, service) && matches(r.Operation, operation)
}

func matches(pattern, name string) bool {
	return pattern == "" || pattern == "*" || pattern == name
}

// befallsCall tells the actions that Handler applies from those a service asks for itself.
func (r Rule) befallsCall() bool {
	return r.Action != ThrottleRecords && r.Action != FailRecords && r.Action != Stale && r.Action != Cut
}

// due says whether the nth matching call is one to hit. It follows from the rule and n alone.
func (r Rule) due(n int64) bool {
	if r.Share > 0 {
		return rand.New(rand.NewPCG(r.Seed, uint64(n))).Float64() < r.Share
	}
	return n%int64(max(r.Every, 1)) == 0
}

func (r Rule) validate() error {
	var faults []error
	if r.Service != "" && r.Service != "*" && !slices.Contains(Services, r.Service) {
		faults = append(faults, fmt.Errorf("service %q: want one of %q, or * for any", r.Service, Services))
	}
	switch r.Action {
	case Delay, DelayCommit:
		if r.Delay <= 0 || r.Delay > maxDelay {
			faults = append(faults, fmt.Errorf("delay %s: want more than 0s, at most %s", r.Delay, maxDelay))
		}
	case Throttle, Error, LoseResponse, ThrottleRecords, FailRecords, Stale, Cut:
		if r.Delay != 0 {
			faults = append(faults, fmt.Errorf("delay %s: action %q does not wait", r.Delay, r.Action))
		}
	default:
		known := []Action{Throttle, Error, Delay, LoseResponse, DelayCommit, ThrottleRecords, FailRecords, Stale, Cut}
		faults = append(faults, fmt.Errorf("action %q: want one of %q", r.Action, known))
	}
	if r.Status != 0 && (r.Action != Error || r.Service != treasureData || r.Status < 400 || r.Status > 599) {
		faults = append(faults, fmt.Errorf("status %d: want 400 to 599, with action %q and service %q", r.Status, Error, treasureData))
	}
	if r.Every < 0 {
		faults = append(faults, fmt.Errorf("every %d: want 1 or more", r.Every))
	}
	if !(r.Share >= 0 && r.Share <= 1) {
		faults = append(faults, fmt.Errorf("share %v: want 0 (each, or by every) to 1", r.Share))
	}
	if r.Share != 0 && r.Every != 0 {
		faults = append(faults, fmt.Errorf("every %d and share %v: want one of them", r.Every, r.Share))
	}
	if r.Seed != 0 && r.Share == 0 {
		faults = append(faults, fmt.Errorf("seed %d: it goes with a share", r.Seed))
	}
	if r.Count < 0 {
		faults = append(faults, fmt.Errorf("count %d: want 0 (no bound) or more", r.Count))
	}
	return errors.Join(faults...)
}

// ruleJSON is the written form of a rule: the delay as text ("3s").
type ruleJSON struct {
	Service   string  `json:"service,omitempty"`
	Operation string  `json:"operation,omitempty"`
	Action    Action  `json:"action"`
	Every     int     `json:"every,omitempty"`
	Share     float64 `json:"share,omitempty"`
	Seed      uint64  `json:"seed,omitempty"`
	Count     int     `json:"count,omitempty"`
	Delay     string  `json:"delay,omitempty"`
	Status    int     `json:"status,omitempty"`
}

func (r Rule) written() ruleJSON {
	w := ruleJSON{
		Service: r.Service, Operation: r.Operation, Action: r.Action,
		Every: r.Every, Share: r.Share, Seed: r.Seed, Count: r.Count, Status: r.Status,
	}
	if r.Delay != 0 {
		w.Delay = r.Delay.String()
	}
	return w
}

// MarshalJSON writes the rule with its delay as text, e.g. {"action":"delay","every":10,"delay":"3s"}.
func (r Rule) MarshalJSON() ([]byte, error) { return json.Marshal(r.written()) }

// UnmarshalJSON reads what MarshalJSON writes. A field it does not know is an error: a misspelt rule would never hit.
func (r *Rule) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var w ruleJSON
	if err := dec.Decode(&w); err != nil {
		return fmt.Errorf("read fault rule: %w", err)
	}
	*r = Rule{
		Service: w.Service, Operation: w.Operation, Action: w.Action,
		Every: w.Every, Share: w.Share, Seed: w.Seed, Count: w.Count, Status: w.Status,
	}
	if w.Delay == "" {
		return nil
	}
	d, err := time.ParseDuration(w.Delay)
	if err != nil {
		return fmt.Errorf("read fault rule: delay: %w", err)
	}
	r.Delay = d
	return nil
}

// statusJSON is the written form of a status.
type statusJSON struct {
	ruleJSON
	Calls int64 `json:"calls"`
	Hits  int64 `json:"hits"`
}

// MarshalJSON writes the rule's fields, calls and hits in one object.
func (s Status) MarshalJSON() ([]byte, error) {
	return json.Marshal(statusJSON{s.Rule.written(), s.Calls, s.Hits})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Status) UnmarshalJSON(data []byte) error {
	var w statusJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("read fault status: %w", err)
	}
	rule, err := json.Marshal(w.ruleJSON)
	if err != nil {
		return fmt.Errorf("read fault status: %w", err)
	}
	s.Calls, s.Hits = w.Calls, w.Hits
	return s.Rule.UnmarshalJSON(rule)
}
