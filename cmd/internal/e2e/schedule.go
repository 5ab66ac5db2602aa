package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tributary/deploy/local/fault"
)

// Verb is what a step does.
type Verb string

// What can happen. The first four last for a time and are then undone; shards stay
// as they have become.
const (
	Kill      Verb = "kill"      // a process, kill -9, then started again where it was
	Interrupt Verb = "interrupt" // a process, Ctrl-C, then started again where it was
	Stop      Verb = "stop"      // a process, SIGSTOP and then SIGCONT
	Faults    Verb = "faults"    // of the services, by rules
	Split     Verb = "split"     // an open shard, in two
	Merge     Verb = "merge"     // two open shards that are neighbours, into one
	Resize    Verb = "resize"    // the stream, into a number of equal shards
)

// A Step is one thing that happens to a system.
type Step struct {
	At     time.Duration // since the beginning
	Verb   Verb
	For    time.Duration // until it is undone
	Target string        // of Kill, Interrupt and Stop: a process by its name
	Rules  []fault.Rule  // of Faults
	Pick   uint64        // of Split and Merge: the open shard, or pair, with this index, modulo their number
	Shards int           // of Resize
}

// String is one line; all of the step is in it.
func (s Step) String() string {
	what := s.Target
	switch s.Verb {
	case Split, Merge:
		return fmt.Sprintf("%7.3fs %s %d", s.At.Seconds(), s.Verb, s.Pick)
	case Resize:
		return fmt.Sprintf("%7.3fs %s to %d", s.At.Seconds(), s.Verb, s.Shards)
	case Faults:
		var rules strings.Builder
		if err := json.NewEncoder(&rules).Encode(s.Rules); err != nil {
			return err.Error()
		}
		what = strings.TrimSpace(rules.String())
	}
	return fmt.Sprintf("%7.3fs %s %s for %.3fs", s.At.Seconds(), s.Verb, what, s.For.Seconds())
}

// A Schedule is what happens to a system: one track for each thing that it happens
// to. The steps of a track follow one another; tracks do not wait for each other.
type Schedule struct {
	Seed   uint64
	Tracks [][]Step
}

// String lists all steps in the order of their times.
func (s Schedule) String() string {
	steps := slices.Concat(s.Tracks...)
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	var b strings.Builder
	fmt.Fprintf(&b, "schedule of seed %d:\n", s.Seed)
	for _, step := range steps {
		fmt.Fprintln(&b, step)
	}
	return b.String()
}

// Span is a time between two bounds, both possible.
type Span struct{ Least, Most time.Duration }

// Outage is one way for a process to be away.
type Outage struct {
	Verb Verb // Kill, Interrupt or Stop
	For  Span
}

// Trouble is what a process goes through: outages, one of them chosen by lot at a
// time, and quiet between them.
type Trouble struct {
	Target  string
	Quiet   Span
	Outages []Outage
}

// Storms are times in which the services misbehave, with one to three of the rules.
type Storms struct {
	Quiet Span
	For   Span
	Rules []fault.Rule
}

// Reshards are splits, merges and resizes, one after the other, that keep the number
// of open shards within bounds.
type Reshards struct {
	Quiet       Span
	First       int // open shards at the beginning
	Least, Most int
}

// maxResizes is below the ten per stream and day that the service allows.
const maxResizes = 8

// Plan is what a schedule is drawn from.
type Plan struct {
	Duration  time.Duration
	Processes []Trouble
	Storms    Storms // none without rules
	Splits    int
	Reshards  Reshards // none without Most
}

// NewSchedule draws a schedule. Equal seeds and plans give equal schedules, and
// each track has dice of its own, so that a change of one leaves the others as they
// were. Everything is undone by the end of the plan's duration.
func NewSchedule(seed uint64, p Plan) Schedule {
	s := Schedule{Seed: seed}
	for _, t := range p.Processes {
		d := newDice(seed, t.Target)
		s.Tracks = append(s.Tracks, d.track(t.Quiet, p.Duration, func() Step {
			o := t.Outages[d.IntN(len(t.Outages))]
			return Step{Verb: o.Verb, For: d.within(o.For), Target: t.Target}
		}))
	}
	if len(p.Storms.Rules) > 0 {
		d := newDice(seed, "storms")
		s.Tracks = append(s.Tracks, d.track(p.Storms.Quiet, p.Duration, func() Step {
			return Step{Verb: Faults, For: d.within(p.Storms.For), Rules: d.some(p.Storms.Rules)}
		}))
	}
	d := newDice(seed, "splits")
	var splits []Step
	for range p.Splits {
		splits = append(splits, Step{At: d.within(Span{0, p.Duration}), Verb: Split, Pick: d.Uint64N(1000)})
	}
	slices.SortFunc(splits, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	s.Tracks = append(s.Tracks, splits)
	if p.Reshards.Most > 0 {
		s.Tracks = append(s.Tracks, newDice(seed, "reshards").reshards(p.Reshards, p.Duration))
	}
	return s
}

// dice are a track's source of chance.
type dice struct{ *rand.Rand }

func newDice(seed uint64, track string) dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(track)) // never fails
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

func (d dice) within(s Span) time.Duration {
	return s.Least + time.Duration(d.Int64N(int64(s.Most-s.Least)+1))
}

// some are one to three of rules, in an order by chance.
func (d dice) some(rules []fault.Rule) (some []fault.Rule) {
	for _, i := range d.Perm(len(rules))[:min(1+d.IntN(3), len(rules))] {
		some = append(some, rules[i])
	}
	return some
}

// track draws steps until the next one would not be undone in time.
func (d dice) track(quiet Span, duration time.Duration, draw func() Step) (steps []Step) {
	// The tracks do not all begin with a quiet time, and not all at once either.
	for at := d.within(Span{0, quiet.Most}); ; at += d.within(quiet) {
		step := draw()
		step.At = at
		if at += step.For; at > duration {
			return steps
		}
		steps = append(steps, step)
	}
}

// reshards draws what happens to the shards. Steps wait for one another, so the
// number of open shards is known beforehand.
func (d dice) reshards(r Reshards, duration time.Duration) []Step {
	open, resizes := r.First, 0
	return d.track(r.Quiet, duration, func() Step {
		if d.IntN(8) == 0 && resizes < maxResizes {
			resizes++
			// The service goes to half or to double at most.
			least, most := max(r.Least, (open+1)/2), min(r.Most, 2*open)
			open = least + d.IntN(most-least+1)
			return Step{Verb: Resize, Shards: open}
		}
		if open >= r.Most || open > r.Least && d.IntN(2) == 0 {
			open--
			return Step{Verb: Merge, Pick: d.Uint64N(1000)}
		}
		open++
		return Step{Verb: Split, Pick: d.Uint64N(1000)}
	})
}
