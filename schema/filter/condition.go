package filter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tributary/schema"
)

// Condition is what an event must be to be meant: of one of the kinds, of one of the
// services, of one of the levels, and with all of the fields. An empty list asks for
// nothing, so that the zero Condition means every event.
type Condition struct {
	// Kinds are raw, app and audit.
	Kinds []string `koanf:"kinds" json:"kinds,omitempty"`
	// Services are names; * stands for any text, also none.
	Services []string `koanf:"services" json:"services,omitempty"`
	// Levels are levels (ERROR), or all from one on (>=WARN, >INFO, <=INFO, <WARN).
	// Only NONE means lines without a level: to exclude <=DEBUG leaves them alone.
	Levels []string `koanf:"levels" json:"levels,omitempty"`
	// Fields are members of the line.
	Fields []Field `koanf:"fields" json:"fields,omitempty"`
}

// Field is a member that a line must have, with any value if both lists are empty, else
// with a text that one entry of either list means.
type Field struct {
	Path string `koanf:"path" json:"path"`
	// Equals are texts. YAML wants "true" and "false" in quotes to be texts.
	Equals []string `koanf:"equals" json:"equals,omitempty"`
	// Glob are texts in which * stands for any text, also none.
	Glob []string `koanf:"glob" json:"glob,omitempty"`
}

const (
	maxEntries = 256 // of a list in a condition
	maxText    = 256 // bytes of one
)

// condition is a Condition made ready.
type condition struct {
	kinds    uint8 // a bit for each
	services []glob
	levels   levelSet
	fields   []field
}

type field struct {
	path   int // index into paths.slots
	values []glob
}

// compile makes c ready, and calls fault for what is wrong with it.
func (c *Condition) compile(p *paths, fault func(name, format string, args ...any)) (out condition) {
	for i, name := range c.Kinds {
		k := slices.Index(kindNames, name)
		if k < 0 {
			fault(fmt.Sprintf("kinds[%d]", i), "%q must be %s%s", name, strings.Join(kindNames, ", "), DidYouMean(name, kindNames))
			continue
		}
		out.kinds |= 1 << (int(schema.KindRaw) + k)
	}
	out.services = compileGlobs("services", c.Services, true, fault)
	for i, text := range c.Levels {
		set, err := parseLevels(text)
		if err != nil {
			fault(fmt.Sprintf("levels[%d]", i), "%w", err)
		}
		out.levels |= set
	}
	if len(c.Levels) > 0 && len(p.levels) == 0 {
		fault("levels", "there are no level_paths that say where a level is")
	}
	if len(c.Fields) > maxEntries {
		fault("fields", "has %d entries, at most %d", len(c.Fields), maxEntries)
	}
	for i, f := range c.Fields {
		at := fmt.Sprintf("fields[%d].", i)
		path, err := p.add(f.Path)
		if err != nil {
			fault(at+"path", "%w", err)
		}
		out.fields = append(out.fields, field{path, slices.Concat(
			compileGlobs(at+"equals", f.Equals, false, fault), compileGlobs(at+"glob", f.Glob, true, fault))})
	}
	return out
}

// kindNames are in the order of schema's kinds from KindRaw on.
var kindNames = []string{schema.KindRaw.String(), schema.KindApp.String(), schema.KindAudit.String()}

func compileGlobs(name string, texts []string, stars bool, fault func(name, format string, args ...any)) (out []glob) {
	if len(texts) > maxEntries {
		fault(name, "has %d entries, at most %d", len(texts), maxEntries)
	}
	for i, text := range texts {
		if len(text) > maxText || !utf8.ValidString(text) {
			fault(fmt.Sprintf("%s[%d]", name, i), "%q must be UTF-8 of at most %d bytes", text[:min(len(text), maxText)], maxText)
		}
		g := glob{[]byte(text)}
		if stars {
			g = bytes.Split([]byte(text), []byte{'*'})
		}
		out = append(out, g)
	}
	return out
}

// meets says whether an event is meant. It looks into the line last.
func (c *condition) meets(l *look) bool {
	if !c.ofKind(l) || !c.ofService(l) {
		return false
	}
	if c.levels != 0 && !c.levels.has(l.level()) {
		return false
	}
	for i := range c.fields {
		if !c.fields[i].meets(l) {
			return false
		}
	}
	return true
}

func (c *condition) ofKind(l *look) bool { return c.kinds == 0 || c.kinds&(1<<l.of.Kind) != 0 }

func (c *condition) ofService(l *look) bool {
	if len(c.services) == 0 {
		return true
	}
	var buf [128]byte // what schema's rules let a name have
	return anyMatches(c.services, append(buf[:0], l.of.Service...))
}

func (f *field) meets(l *look) bool {
	raw := l.value(f.path)
	if raw == nil || len(f.values) == 0 {
		return raw != nil
	}
	text, ok := l.text(raw)
	return ok && anyMatches(f.values, text)
}

func anyMatches(globs []glob, text []byte) bool {
	for _, g := range globs {
		if g.matches(text) {
			return true
		}
	}
	return false
}

// glob is a text cut at its stars.
type glob [][]byte

// matches holds if text is the glob's pieces in their order with any text between.
func (g glob) matches(text []byte) bool {
	text, ok := bytes.CutPrefix(text, g[0])
	if len(g) == 1 || !ok {
		return ok && len(text) == 0
	}
	text, ok = bytes.CutSuffix(text, g[len(g)-1])
	if !ok {
		return false
	}
	for _, piece := range g[1 : len(g)-1] {
		i := bytes.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return true
}
