package edit

import (
	"bytes"
	"slices"

	"tributary/schema"
	"tributary/schema/filter"
)

// Editor applies rules. It is immutable and safe for concurrent use.
type Editor struct {
	lookout   filter.Lookout
	decisions []decision
	changes   []change
	ways      []way
	secret    []byte
	names     []string
	actions   []string
}

// decision is a rule that says whether an event goes on.
type decision struct {
	number int // of the rule
	test   filter.Test
	odds   filter.Sampling
}

// change is a rule that changes lines.
type change struct {
	number   int
	test     filter.Test
	limit    int // of a truncation, else 0
	how      how
	last     int
	finders  []finder // nil: masks whole values
	pathless bool
	closed   bool // masks what cannot be parsed
}

// how says what takes the place of what is masked; the higher wins.
type how uint8

const (
	unmasked how = iota
	lastKept
	hashed
	starred
)

// Result is what the rules made of one event.
type Result struct {
	// Line is what goes on: the event's own line where nothing was changed, else good
	// until the Work is used again.
	Line []byte
	Send bool
	// Rule decided whether the event goes on, -1: none.
	Rule int
	// Changes are what rules changed, in no order, good as long as Line.
	Changes []Change
}

// Change is what one rule changed in one line.
type Change struct {
	Rule   int
	What   What
	Values int
	Bytes  int64 // masked, or cut off
}

// What is a kind of change.
type What uint8

// The kinds of changes.
const (
	Masked What = iota
	Truncated
	Unparsed // masked whole because it could not be parsed
)

// String is a word for a metric's label.
func (w What) String() string { return [...]string{"masked", "truncated", "unparsed"}[w] }

// Names are the names of the rules, by Result.Rule and Change.Rule. A nil Editor has none.
func (e *Editor) Names() []string {
	if e == nil {
		return nil
	}
	return slices.Clone(e.names)
}

// Actions are the actions of the rules.
func (e *Editor) Actions() []string {
	if e == nil {
		return nil
	}
	return slices.Clone(e.actions)
}

// Apply edits a classified event, with w, which no other goroutine uses meanwhile. A nil
// Editor lets every line go on as it is.
func (e *Editor) Apply(w *Work, s *filter.Subject) Result {
	r := Result{Line: s.Event.Line, Send: true, Rule: -1}
	if e == nil {
		return r
	}
	w.begin(e, s.Event.Line)
	parsed := s.Kind != schema.KindRaw && s.Event.Part.Number == 0
	look := e.lookout.Look(s, nil)
	walks := false
	for i := range e.changes {
		w.active[i] = parsed && look.MayMeet(&e.changes[i].test)
		walks = walks || w.active[i]
	}
	if walks {
		w.line.expect(w.start())
		look = e.lookout.Look(s, w.line)
	}
	for i := range e.decisions {
		if d := &e.decisions[i]; look.Meets(&d.test) {
			r.Rule, r.Send = d.number, look.Lets(&d.odds)
			break
		}
	}
	switch {
	case !r.Send:
	case !parsed:
		w.raw(&look, s.Event.Flags&schema.FlagIncomplete != 0 || s.Event.Part.Number != 0)
	case walks && w.activate(&look):
		if look.Walk() {
			w.change(0)
		} else {
			w.raw(&look, false) // the kind was not that of the line
		}
	}
	look.Done()
	r.Line, r.Changes = w.result(), w.changes
	return r
}

// activate keeps those of the active changes whose condition the event meets.
func (w *Work) activate(look *filter.Look) (some bool) {
	for i := range w.e.changes {
		w.active[i] = w.active[i] && look.Meets(&w.e.changes[i].test)
		some = some || w.active[i]
	}
	return some
}

// raw edits a line that is no JSON object, torn if pieces of it are missing.
func (w *Work) raw(look *filter.Look, torn bool) {
	changes, l := w.e.changes, w.line
	for i := range changes {
		w.active[i] = look.Meets(&changes[i].test)
	}
	if tries(l.text) && !torn {
		l.expect(w.start())
		if schema.WalkDeep(l.text, l) == nil { // a list
			w.change(0)
			return
		}
	}
	l.targets = l.targets[:0]
	if torn || begins(l.text) {
		// What the line would be, and so what its conditions are about, is not known.
		for i := range changes {
			w.active[i] = w.active[i] || changes[i].closed && look.OfService(&changes[i].test)
		}
		if w.shutLine(l) {
			return
		}
	}
	w.hits = w.hits[:0]
	limit := 0
	for i := range changes {
		if c := &changes[i]; w.active[i] && c.pathless {
			w.hits = append(w.hits, uint16(i))
			limit = least(limit, c.limit)
		}
	}
	w.find(l, w.hits)
	w.cut(l, limit, w.hits)
}

// shutLine masks a broken line whole if a rule asks for it.
func (w *Work) shutLine(l *layer) (shut bool) {
	slash := bytes.IndexByte(l.text, '\\') >= 0
	for i := range w.e.changes {
		if c := &w.e.changes[i]; w.active[i] && c.closed && (!c.pathless || slash) {
			w.count(i, Unparsed, len(l.text))
			shut = true
		}
	}
	if shut {
		l.replace(0, len(l.text), func(out []byte) []byte { return append(out, stars...) })
	}
	return shut
}

// tries says that text may be an object or a list.
func tries(text []byte) bool {
	text = bytes.TrimLeft(text, space)
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// begins says that text begins as an object or a list does, and as little else.
func begins(text []byte) bool {
	text = bytes.TrimLeft(text, space)
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return false
	}
	inner := bytes.TrimLeft(text[1:], space)
	return len(inner) > 0 && (inner[0] == '"' || text[0] == '[' && (inner[0] == '{' || inner[0] == '['))
}

const space = " \t\r\n"

// least is the smaller of two limits, 0 being none.
func least(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
