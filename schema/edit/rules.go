package edit

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary/schema/columns"
	"tributary/schema/filter"
)

// Rules are plain data, YAML in the configuration. The zero Rules let every line go on
// as it is.
type Rules struct {
	// LevelPaths lists where a line's level may stand; the first that has one decides.
	LevelPaths []string `koanf:"level_paths" json:"level_paths"`
	// HashSecret is the key of hashes, 16 to 1024 bytes. Equal values have equal hashes as
	// long as it stays the same.
	HashSecret string `koanf:"hash_secret" json:"-"`
	// HashSecretFile is a file that holds HashSecret, white space around it aside. Whoever
	// loads the rules reads it.
	HashSecretFile string `koanf:"hash_secret_file" json:"hash_secret_file"`
	// Rules are tried in order.
	Rules []Rule `koanf:"rules" json:"rules"`
}

// Rule is what becomes of the events that meet a condition; without one, of all.
type Rule struct {
	// Name is what counters call the rule; empty: its place.
	Name string `koanf:"name" json:"name,omitempty"`
	// Action is keep, drop, sample, truncate or mask.
	Action           string `koanf:"action" json:"action"`
	filter.Condition `koanf:",squash"`

	// Rate is the part of the events, from 0 to 1, that a sample lets go on.
	Rate float64 `koanf:"rate" json:"rate,omitempty"`
	// Key lists the members to sample by, see filter.Rule.
	Key []string `koanf:"key" json:"key,omitempty"`

	// Paths are what to truncate or to mask.
	Paths []string `koanf:"paths" json:"paths,omitempty"`
	// MaxBytes is how much of a text a truncation leaves.
	MaxBytes int64 `koanf:"max_bytes" json:"max_bytes,omitempty"`
	// With is what takes the place of what is masked: stars (as if empty), hash or last.
	With string `koanf:"with" json:"with,omitempty"`
	// Last is how many characters of a text the mask last leaves, 4 if not set.
	Last int `koanf:"last" json:"last,omitempty"`
	// Presets, card and email, and Patterns, regular expressions, mask what they find
	// rather than whole values.
	Presets  []string `koanf:"presets" json:"presets,omitempty"`
	Patterns []string `koanf:"patterns" json:"patterns,omitempty"`
	// OnUnparsed is what a mask does to lines whose JSON is broken: mask_line (as if
	// empty) or pass.
	OnUnparsed string `koanf:"on_unparsed" json:"on_unparsed,omitempty"`
}

// The actions of rules.
const (
	Keep     = "keep"
	Drop     = "drop"
	Sample   = "sample"
	Truncate = "truncate"
	Mask     = "mask"
)

// What takes the place of what is masked.
const (
	WithStars = "stars"
	WithHash  = "hash"
	WithLast  = "last"
)

// What a mask does to lines whose JSON is broken.
const (
	MaskLine = "mask_line"
	Pass     = "pass"
)

// What a mask may look for.
const (
	Card  = "card"
	Email = "email"
)

const (
	maxRules    = 256
	maxName     = 64  // bytes, of a metric's label
	maxPaths    = 64  // of a rule
	maxWays     = 512 // paths of all rules: each costs time with each member of a line
	maxPath     = 256 // bytes
	maxSegments = 16  // names of a path
	maxPatterns = 16  // of a rule
	maxPattern  = 512 // bytes
	maxLast     = 16
	defaultLast = 4
)

// DefaultRules let every line go on as it is, and find levels where the lake's columns do.
func DefaultRules() Rules { return Rules{LevelPaths: columns.DefaultMapping().Level} }

// Validate joins all faults of the rules.
func (r Rules) Validate() error {
	_, err := r.Compile()
	return err
}

// Compile prepares the rules for use. Its error joins all faults. Without rules the
// Editor is nil. HashSecretFile counts as a secret that is there.
func (r Rules) Compile() (*Editor, error) {
	e := &Editor{secret: []byte(r.HashSecret)}
	var faults []error
	fault := func(name, format string, args ...any) {
		faults = append(faults, fmt.Errorf(name+": "+format, args...))
	}
	if n := len(r.HashSecret); n > 0 && (n < 16 || n > 1024) {
		fault("hash_secret", "has %d bytes, want 16 to 1024", n)
	}
	e.lookout.SetLevels(r.LevelPaths, fault)
	if len(r.Rules) > maxRules {
		fault("rules", "has %d entries, at most %d", len(r.Rules), maxRules)
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		under := func(name, format string, args ...any) { fault(fmt.Sprintf("rules[%d].%s", i, name), format, args...) }
		e.add(rule, under)
		name := rule.Name
		if name == "" {
			name = fmt.Sprint(i)
		}
		if first := slices.Index(e.names, name); first >= 0 {
			under("name", "%q is that of rules[%d]", name, first)
		}
		e.names = append(e.names, name)
		e.actions = append(e.actions, rule.Action)
		if rule.With == WithHash && r.HashSecret == "" && r.HashSecretFile == "" {
			under("with", "hash needs hash_secret or hash_secret_file")
		}
	}
	if len(e.ways) > maxWays {
		fault("rules", "have %d paths together, at most %d", len(e.ways), maxWays)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if len(r.Rules) == 0 {
		return nil, nil
	}
	e.lookout.Ready()
	return e, nil
}

// add makes one rule ready.
func (e *Editor) add(r *Rule, fault filter.Fault) {
	test := e.lookout.Test(&r.Condition, fault)
	number := len(e.names)
	if len(r.Name) > maxName || !utf8.ValidString(r.Name) {
		fault("name", "%q must be UTF-8 of at most %d bytes", r.Name[:min(len(r.Name), maxName)], maxName)
	}
	r.foreign(fault)
	switch r.Action {
	case Keep, Drop, Sample:
		d := decision{number: number, test: test}
		if r.Action == Sample {
			d.odds = e.lookout.Sampling(r.Rate, r.Key, fault)
		} else {
			d.odds = e.lookout.Sampling(map[string]float64{Keep: 1, Drop: 0}[r.Action], nil, fault)
		}
		e.decisions = append(e.decisions, d)
	case Truncate, Mask:
		c := change{number: number, test: test}
		if r.Action == Truncate {
			r.truncation(&c, fault)
		} else {
			r.mask(&c, fault)
		}
		e.addPaths(r.Paths, len(e.changes), &c, fault)
		e.changes = append(e.changes, c)
	default:
		all := []string{Keep, Drop, Sample, Truncate, Mask}
		fault("action", "%q must be %s%s", r.Action, strings.Join(all, ", "), filter.DidYouMean(r.Action, all))
	}
}

// foreign tells of keys that are for other actions.
func (r *Rule) foreign(fault filter.Fault) {
	for _, k := range []struct {
		name string
		set  bool
		of   []string
	}{
		{"rate", r.Rate != 0, []string{Sample}},
		{"key", len(r.Key) > 0, []string{Sample}},
		{"paths", len(r.Paths) > 0, []string{Truncate, Mask}},
		{"max_bytes", r.MaxBytes != 0, []string{Truncate}},
		{"with", r.With != "", []string{Mask}},
		{"last", r.Last != 0, []string{Mask}},
		{"presets", len(r.Presets) > 0, []string{Mask}},
		{"patterns", len(r.Patterns) > 0, []string{Mask}},
		{"on_unparsed", r.OnUnparsed != "", []string{Mask}},
	} {
		if k.set && !slices.Contains(k.of, r.Action) {
			fault(k.name, "is for the action %s alone", strings.Join(k.of, " or "))
		}
	}
}

func (r *Rule) truncation(c *change, fault filter.Fault) {
	c.limit = int(r.MaxBytes)
	if r.MaxBytes < 1 || r.MaxBytes > 1<<30 {
		fault("max_bytes", "%d must be from 1 to 1 GiB", r.MaxBytes)
	}
	if len(r.Paths) == 0 && len(r.Kinds) > 0 && !slices.Contains(r.Kinds, "raw") {
		fault("paths", "are missing: without them only lines of kind raw are cut")
	}
}

func (r *Rule) mask(c *change, fault filter.Fault) {
	oneOf := func(key, value, fallback string, all ...string) string {
		if value == "" {
			return fallback
		}
		if !slices.Contains(all, value) {
			fault(key, "%q must be %s%s", value, strings.Join(all, " or "), filter.DidYouMean(value, all))
		}
		return value
	}
	switch oneOf("with", r.With, WithStars, WithStars, WithHash, WithLast) {
	case WithHash:
		c.how = hashed
	case WithLast:
		c.how = lastKept
	default:
		c.how = starred
	}
	c.closed = oneOf("on_unparsed", r.OnUnparsed, MaskLine, MaskLine, Pass) == MaskLine
	c.last = r.Last
	if r.Last == 0 {
		c.last = defaultLast
	} else if r.With != WithLast || r.Last < 0 || r.Last > maxLast {
		fault("last", "%d must be from 1 to %d, and is for with: last alone", r.Last, maxLast)
	}
	for i, name := range r.Presets {
		switch oneOf(fmt.Sprintf("presets[%d]", i), name, "", Card, Email) {
		case Card:
			c.finders = append(c.finders, cards)
		case Email:
			c.finders = append(c.finders, emails)
		}
	}
	if len(r.Patterns) > maxPatterns {
		fault("patterns", "has %d entries, at most %d", len(r.Patterns), maxPatterns)
	}
	for i, text := range r.Patterns {
		re, err := regexp.Compile(text)
		switch {
		case len(text) > maxPattern:
			fault(fmt.Sprintf("patterns[%d]", i), "has %d bytes, at most %d", len(text), maxPattern)
		case err != nil:
			fault(fmt.Sprintf("patterns[%d]", i), "%w", err)
		case re.NumSubexp() > 1:
			fault(fmt.Sprintf("patterns[%d]", i), "has %d groups, at most one: make the others (?:…)", re.NumSubexp())
		default:
			c.finders = append(c.finders, matcher(re))
		}
	}
	if len(r.Paths)+len(r.Presets)+len(r.Patterns) == 0 {
		fault("paths", "are missing, and so are presets and patterns: what is to be masked")
	}
}

func (e *Editor) addPaths(paths []string, number int, c *change, fault filter.Fault) {
	if len(paths) > maxPaths {
		fault("paths", "has %d entries, at most %d", len(paths), maxPaths)
	}
	c.pathless = len(paths) == 0
	if c.pathless && len(c.finders) > 0 {
		e.ways = append(e.ways, way{change: number})
	}
	for i, text := range paths {
		w, err := parseWay(text)
		if err != nil {
			fault(fmt.Sprintf("paths[%d]", i), "%w", err)
			continue
		}
		w.change = number
		e.ways = append(e.ways, w)
	}
}
