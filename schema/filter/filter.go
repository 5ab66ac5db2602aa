package filter

import (
	"slices"

	"tributary/schema"
)

// Filter judges events. It is immutable and safe for concurrent use.
type Filter struct {
	lookout
	rules []rule
	names []string
}

// rule lets a part of the events that meet its condition go on.
type rule struct {
	condition
	Sampling
}

// Subject is an event as rules see it.
type Subject struct {
	Event *schema.Event
	// Kind and Service are the event's own or, of an event that nobody has classified
	// yet, what the rules of a plan say.
	Kind    schema.Kind
	Service string
	// Epoch and Lane are those of the event's record, Record is what tells the record of
	// another producer from all others, such as its sequence number. Only a sample looks
	// at them.
	Epoch  schema.Epoch
	Lane   uint32
	Record string
}

// Verdict is what the rules say of one event.
type Verdict struct {
	Send bool
	Rule int // the rule that decided, -1: none
	// Level is that of the line. Of an event that does not go on it is None unless a
	// rule had the line looked at.
	Level Level
}

// Judge applies the rules. It allocates nothing once the filter has been in use, but for
// a service's name of more than 128 bytes and for texts of more than 64 KiB with escapes
// that a rule compares.
func (f *Filter) Judge(s *Subject) Verdict {
	l := look{in: &f.lookout, of: s}
	v := Verdict{Send: true, Rule: -1}
	for i := range f.rules {
		r := &f.rules[i]
		if r.meets(&l) {
			v.Send = r.odds.lets(&l, r.key)
			v.Rule = i
			break
		}
	}
	if v.Send || l.r != nil {
		v.Level = l.level()
	}
	l.done()
	return v
}

// Names are the names of the rules, by Verdict.Rule.
func (f *Filter) Names() []string { return slices.Clone(f.names) }
