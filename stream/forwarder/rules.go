package forwarder

import (
	"tributary/schema"
	"tributary/schema/edit"
	"tributary/schema/filter"
)

// Rules are what is done to a line between rejoining and its lane: it is classified, then
// edited. They are immutable and safe for concurrent use.
type Rules struct {
	classifier *schema.Classifier
	editor     *edit.Editor // nil: no rules
}

// NewRules joins the two. A nil editor leaves every line as it is.
func NewRules(c *schema.Classifier, e *edit.Editor) *Rules { return &Rules{c, e} }

// Edits reports whether there are rules that may drop or change a line.
func (r *Rules) Edits() bool { return r.editor != nil }

// Names are the names of the rules that edit, by edit.Result.Rule.
func (r *Rules) Names() []string { return r.editor.Names() }

// Actions are their actions.
func (r *Rules) Actions() []string { return r.editor.Actions() }

// Classify is the first half: kind, service and time of a line.
func (r *Rules) Classify(line []byte, o *schema.Origin, fallback, arrival int64) schema.Verdict {
	return r.classifier.Classify(line, o, fallback, arrival)
}

// Edit is the second half, with w, which no other goroutine uses meanwhile.
func (r *Rules) Edit(w *edit.Work, s *filter.Subject) edit.Result { return r.editor.Apply(w, s) }

// SetRules has all lines from the next one on judged by other rules. It may be called at
// any time.
func (f *Forwarder) SetRules(r *Rules) { f.rules.Store(r) }

// edit applies the rules to an event and counts what they do. It returns the line that
// goes on, valid until the next call, and false if none does.
func (p *pump) edit(rules *Rules, epoch schema.Epoch, lane uint32, e schema.Event) (line []byte, goesOn bool) {
	if p.counted != rules {
		p.counted, p.counters = rules, p.f.metrics.rules(rules.Names(), rules.Actions())
	}
	before := int64(len(e.Line))
	p.event = e // here, so that nothing is allocated
	p.subject = filter.Subject{Event: &p.event, Kind: e.Kind, Service: e.Origin.Service, Epoch: epoch, Lane: lane}
	result := rules.Edit(&p.work, &p.subject)
	p.event, p.subject = schema.Event{}, filter.Subject{}
	if result.Rule >= 0 {
		c := &p.counters[result.Rule]
		if result.Send {
			c.kept.add(before)
		} else {
			c.dropped.add(before)
		}
	}
	for _, c := range result.Changes {
		p.counters[c.Rule].changed[c.What].add(c.Bytes)
	}
	if len(result.Changes) > 0 {
		return result.Line, true
	}
	return e.Line, result.Send
}
