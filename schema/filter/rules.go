package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary/schema/columns"
)

// Rules say which events go on. They are plain data: JSON for a plan, YAML in the
// configuration. The zero Rules let every event go on and know no levels.
type Rules struct {
	// LevelPaths lists where a line's level may stand; the first that has one decides.
	// Without them no line has a level.
	LevelPaths []string `koanf:"level_paths" json:"level_paths"`
	// Rules are tried in order; the first whose condition an event meets decides. An
	// event that meets none goes on.
	Rules []Rule `koanf:"rules" json:"rules"`
}

// Rule is what becomes of the events that meet a condition; without one, of all.
type Rule struct {
	// Name is what counters call the rule; empty: its place.
	Name string `koanf:"name" json:"name,omitempty"`
	// Action is include, exclude or sample.
	Action string `koanf:"action" json:"action"`
	// Rate is the part of the events, from 0 to 1, that goes on by sampling.
	Rate float64 `koanf:"rate" json:"rate,omitempty"`
	// Key lists the members to sample by: events of which the first that there is has
	// one text, such as a trace id, go on together or not at all. Without them each
	// event has its own luck.
	Key       []string `koanf:"key" json:"key,omitempty"`
	Condition `koanf:",squash"`
}

// The actions of rules.
const (
	Include = "include"
	Exclude = "exclude"
	Sample  = "sample"
)

var actions = []string{Include, Exclude, Sample}

const (
	maxRules = 256
	maxName  = 64 // bytes, of a metric's label
	maxKeys  = 16
	// maxLevelPaths is that of a column.
	maxLevelPaths = 64
)

// DefaultRules let every event go on, and find levels where the lake's columns do.
func DefaultRules() Rules { return Rules{LevelPaths: columns.DefaultMapping().Level} }

// Validate joins all faults of the rules.
func (r Rules) Validate() error {
	_, err := r.Compile()
	return err
}

// Compile prepares the rules for use. Its error joins all faults.
func (r Rules) Compile() (*Filter, error) {
	f := &Filter{}
	var faults []error
	fault := func(name, format string, args ...any) {
		faults = append(faults, fmt.Errorf(name+": "+format, args...))
	}
	f.SetLevels(r.LevelPaths, fault)
	if len(r.Rules) > maxRules {
		fault("rules", "has %d entries, at most %d", len(r.Rules), maxRules)
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		under := func(name, format string, args ...any) { fault(fmt.Sprintf("rules[%d].%s", i, name), format, args...) }
		f.rules = append(f.rules, rule.compile(&f.lookout, under))
		name := rule.Name
		if name == "" {
			name = fmt.Sprint(i)
		}
		if first := slices.Index(f.names, name); first >= 0 {
			under("name", "%q is that of rules[%d]", name, first)
		}
		f.names = append(f.names, name)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	f.paths.compile()
	return f, nil
}

func (r *Rule) compile(o *lookout, fault Fault) rule {
	out := rule{condition: r.Condition.compile(&o.paths, fault)}
	if len(r.Name) > maxName || !utf8.ValidString(r.Name) {
		fault("name", "%q must be UTF-8 of at most %d bytes", r.Name[:min(len(r.Name), maxName)], maxName)
	}
	switch r.Action {
	case Include:
		out.odds = oddsOf(1)
	case Exclude:
	case Sample:
		out.Sampling = o.Sampling(r.Rate, r.Key, fault)
	default:
		fault("action", "%q must be %s%s", r.Action, strings.Join(actions, ", "), DidYouMean(r.Action, actions))
		return out
	}
	if r.Action != Sample && r.Rate != 0 {
		fault("rate", "is for the action sample alone")
	}
	if r.Action != Sample && len(r.Key) > 0 {
		fault("key", "is for the action sample alone")
	}
	return out
}

// DidYouMean names the word that differs from text in two letters at most.
func DidYouMean(text string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if d := distance(text, w); d < least && d < len(w) {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q", best)
}

// distance counts the bytes to change, add or leave out.
func distance(a, b string) int {
	if len(a) > 2*maxText {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
