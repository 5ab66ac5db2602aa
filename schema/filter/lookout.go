package filter

import (
	"fmt"

	"tributary/schema"
)

// Lookout is what rules of another package ask of events, made ready together so that
// one look at a line serves them all. Add what they ask, then call Ready; from then on
// it is immutable and safe for concurrent use.
type Lookout struct{ lookout }

// Fault is told what is wrong with the key of a rule.
type Fault = func(key, format string, args ...any)

// Test is a Condition made ready.
type Test struct{ condition }

// Sampling is a rate and its key made ready.
type Sampling struct {
	odds odds
	key  []int // paths
}

// SetLevels says where a line's level may stand, as Rules.LevelPaths does.
func (o *lookout) SetLevels(levelPaths []string, fault Fault) {
	if len(levelPaths) > maxLevelPaths {
		fault("level_paths", "has %d entries, at most %d", len(levelPaths), maxLevelPaths)
	}
	for i, text := range levelPaths {
		path, err := o.add(text)
		if err != nil {
			fault(fmt.Sprintf("level_paths[%d]", i), "%w", err)
		}
		o.levels = append(o.levels, levelPath{path, isTelemetry(text)})
	}
}

// Test makes a condition ready; levels are set before.
func (o *Lookout) Test(c *Condition, fault Fault) Test { return Test{c.compile(&o.paths, fault)} }

// Sampling makes the rate and the key of a sample rule ready.
func (o *lookout) Sampling(rate float64, key []string, fault Fault) Sampling {
	if !(rate >= 0 && rate <= 1) {
		fault("rate", "%v must be from 0 to 1", rate)
	}
	if len(key) > maxKeys {
		fault("key", "has %d entries, at most %d", len(key), maxKeys)
	}
	s := Sampling{odds: oddsOf(rate)}
	for i, text := range key {
		path, err := o.add(text)
		if err != nil {
			fault(fmt.Sprintf("key[%d]", i), "%w", err)
		}
		s.key = append(s.key, path)
	}
	return s
}

// Ready ends the adding.
func (o *Lookout) Ready() { o.paths.compile() }

// Look is one look at an event, good until Done. It goes into the line when a test first
// asks to.
type Look struct{ look }

// Look begins one. When the line is walked, also (unless nil) is told of all that is in it,
// in the same pass.
func (o *Lookout) Look(s *Subject, also schema.DeepVisitor) Look {
	return Look{look{in: &o.lookout, of: s, also: also}}
}

// Meets says whether the event meets a condition.
func (l *Look) Meets(t *Test) bool { return t.meets(&l.look) }

// MayMeet is Meets as far as kind and service tell. It does not look into the line.
func (l *Look) MayMeet(t *Test) bool { return t.ofKind(&l.look) && t.ofService(&l.look) }

// OfService is Meets as far as the service tells.
func (l *Look) OfService(t *Test) bool { return t.ofService(&l.look) }

// Lets says whether a sample rule lets the event go on.
func (l *Look) Lets(s *Sampling) bool { return s.odds.lets(&l.look, s.key) }

// Walk has the line walked, unless it was. It is false for a line that is no JSON object,
// of which also may have seen a part.
func (l *Look) Walk() bool { return l.read() && !l.r.broken }

// Done ends the look.
func (l *Look) Done() { l.done() }

// shared is a walk of a reading with another visitor. Each of them may stay outside of
// what the other enters, and gets it as a member at its end.
type shared struct {
	r     *reading
	also  schema.DeepVisitor
	depth int
	// out and alsoOut are the depths of what r and also stayed outside of, 0: of nothing;
	// with the keys.
	out, alsoOut       int
	outKey, alsoOutKey []byte
}

// Enter implements schema.DeepVisitor.
func (s *shared) Enter(key []byte, open byte) bool {
	reads := s.out == 0 && (s.depth == 0 || open == '{' && s.r.Enter(key))
	alsoIn := s.alsoOut == 0 && s.also.Enter(key, open)
	if !reads && !alsoIn {
		return false
	}
	s.depth++
	if s.out == 0 && !reads {
		s.out, s.outKey = s.depth, key
	}
	if s.alsoOut == 0 && !alsoIn {
		s.alsoOut, s.alsoOutKey = s.depth, key
	}
	return true
}

// Member implements schema.DeepVisitor.
func (s *shared) Member(key, value []byte) {
	if s.out == 0 {
		s.r.Member(key, value)
	}
	if s.alsoOut == 0 {
		s.also.Member(key, value)
	}
}

// Leave implements schema.DeepVisitor.
func (s *shared) Leave(value []byte) {
	switch s.out {
	case 0:
		if s.depth > 1 {
			s.r.Leave()
		}
	case s.depth:
		s.out = 0
		s.r.Member(s.outKey, value)
	}
	switch s.alsoOut {
	case 0:
		s.also.Leave(value)
	case s.depth:
		s.alsoOut = 0
		s.also.Member(s.alsoOutKey, value)
	}
	s.depth--
}
