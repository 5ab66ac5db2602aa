package fault

import (
	"errors"
	"fmt"
	"sync"
)

// A Set holds the rules in force. The zero Set has none and is ready for use; a nil Set never does anything.
// All methods may be called from any goroutine.
type Set struct {
	mu    sync.Mutex
	rules []Status

	// hurry is closed by Drain: calls that are waiting stop waiting. nil until the first call waits.
	hurry    chan struct{}
	inFlight int
	idle     chan struct{} // closed when inFlight falls to 0; nil while nobody drains
}

// Replace puts rules in force in the place of all earlier ones and starts their counters at 0.
// If any rule is wrong, nothing changes and the error names every fault.
func (s *Set) Replace(rules []Rule) error {
	var faults []error
	fresh := make([]Status, len(rules))
	for i, r := range rules {
		if err := r.validate(); err != nil {
			faults = append(faults, fmt.Errorf("fault rule %d: %w", i, err))
		}
		fresh[i] = Status{Rule: r}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = fresh
	return nil
}

// Rules returns the rules in force, in the order given, with what each has done.
func (s *Set) Rules() []Status {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Status{}, s.rules...)
}

// Next counts one call and says what to do with it. Every matching rule counts the call; if several hit, the first one decides.
// A rule that hits behind another one spends no hit.
func (s *Set) Next(service, operation string) Fault {
	return s.next(service, operation, Rule.befallsCall)
}

// Strikes counts one event of a service's own kind (a record for ThrottleRecords and FailRecords, a read for Stale, an event for Cut) and says whether it is hit.
func (s *Set) Strikes(action Action, service, operation string) bool {
	f := s.next(service, operation, func(r Rule) bool { return r.Action == action })
	return f.Action == action
}

func (s *Set) next(service, operation string, applies func(Rule) bool) Fault {
	if s == nil {
		return Fault{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count(service, operation, applies)
}

// count is next for those who hold the lock.
func (s *Set) count(service, operation string, applies func(Rule) bool) Fault {
	var f Fault
	for i := range s.rules {
		r := &s.rules[i]
		if !applies(r.Rule) || !r.matches(service, operation) {
			continue
		}
		r.Calls++
		due := r.due(r.Calls)
		spent := r.Count > 0 && r.Hits >= int64(r.Count)
		if f.Action == "" && due && !spent {
			r.Hits++
			f = Fault{Action: r.Action, Delay: r.Delay, Status: r.Status}
		}
	}
	return f
}
