package multiline

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Rule names the services whose lines are joined, and how. Exactly one of Preset and
// Start is set.
type Rule struct {
	// Service is a glob: * stands for any run of characters.
	Service string `koanf:"service" json:"service"`
	// Preset is "java", "python" or "go".
	Preset string `koanf:"preset" json:"preset"`
	// Start is a regular expression (RE2) of first lines; what it does not match goes
	// on with the line before.
	Start string `koanf:"start" json:"start"`
}

// Rules are tried in order; the first whose Service matches decides. What none
// matches is not joined.
type Rules []Rule

// Grammars are compiled rules. They are immutable and safe for concurrent use.
type Grammars []named

type named struct {
	glob    []string // what lies between the stars
	grammar *Grammar
}

const (
	maxRules   = 256
	maxPattern = 1 << 10
)

// Validate joins all faults.
func (r Rules) Validate() error {
	_, err := r.Compile()
	return err
}

// Compile prepares the rules. Its error joins all faults.
func (r Rules) Compile() (Grammars, error) {
	if len(r) > maxRules {
		return nil, fmt.Errorf("multiline has %d rules: at most %d", len(r), maxRules)
	}
	var faults []error
	var out Grammars
	for i, rule := range r {
		g, err := rule.grammar()
		if err != nil {
			faults = append(faults, fmt.Errorf("multiline[%d]%w", i, err))
			continue
		}
		out = append(out, named{strings.Split(rule.Service, "*"), g})
	}
	return out, errors.Join(faults...)
}

func (r Rule) grammar() (*Grammar, error) {
	switch {
	case r.Service == "" || len(r.Service) > maxPattern:
		return nil, fmt.Errorf(".service: %q must name services in 1 to %d bytes, as in web-*", r.Service, maxPattern)
	case (r.Preset == "") == (r.Start == ""):
		return nil, errors.New(": set either preset or start")
	case r.Preset != "":
		g, ok := presets[r.Preset]
		if !ok {
			return nil, fmt.Errorf(".preset: %q must be java, python or go", r.Preset)
		}
		return g, nil
	case len(r.Start) > maxPattern:
		return nil, fmt.Errorf(".start: has %d bytes: at most %d", len(r.Start), maxPattern)
	}
	start, err := regexp.Compile(r.Start)
	if err != nil {
		return nil, fmt.Errorf(".start: %w", err)
	}
	if start.Match(nil) {
		return nil, fmt.Errorf(".start: %q matches an empty line, so every line would be a first one", r.Start)
	}
	return &Grammar{func(s State, line []byte) (Verdict, State) {
		if s == Closed || start.Match(line) {
			return Begins, 1
		}
		return Joins, s
	}}, nil
}

// Of returns the grammar of a service, nil when its lines are not joined.
func (g Grammars) Of(service string) *Grammar {
	for i := range g {
		if matches(g[i].glob, service) {
			return g[i].grammar
		}
	}
	return nil
}

// matches finds the pieces of a glob in order, the first at the beginning and the last
// at the end.
func matches(glob []string, s string) bool {
	if len(glob) == 1 {
		return s == glob[0]
	}
	s, ok := strings.CutPrefix(s, glob[0])
	if !ok {
		return false
	}
	for _, piece := range glob[1 : len(glob)-1] {
		_, rest, found := strings.Cut(s, piece)
		if !found {
			return false
		}
		s = rest
	}
	return strings.HasSuffix(s, glob[len(glob)-1])
}

// A Verdict says what a line is to the block before it.
type Verdict uint8

// The verdicts.
const (
	Alone  Verdict = iota // neither goes on with a block nor begins one
	Begins                // others may join it
	Joins                 // belongs to the open block
)

// State is what a Grammar remembers of the open block.
type State uint8

// Closed says that no block is open.
const Closed State = 0

// Grammar judges lines. It is immutable and safe for concurrent use.
type Grammar struct {
	next func(State, []byte) (Verdict, State)
}

// lookAt is how much of a line is judged: more than the head of a trace has, and less
// than the first piece of a cut line.
const lookAt = 4 << 10

// Next judges a line, or the beginning of one. The state is that of the block which is
// open behind the line; it is Closed exactly when the verdict is Alone. Joins is never
// the answer to Closed.
func (g *Grammar) Next(s State, line []byte) (Verdict, State) {
	line = line[:min(len(line), lookAt)]
	if rest := bytes.TrimLeft(line, " \t\r\n"); len(rest) > 0 && rest[0] == '{' {
		return Alone, Closed
	}
	return g.next(s, bytes.TrimSuffix(line, []byte("\r")))
}
