package lake

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"tributary/schema"
)

// place is what a partition's path may tell.
type place struct {
	kind    schema.Kind
	hour    int64  // hours since the Unix epoch
	service string // empty unless the template names it
}

// template renders the path of a partition.
type template struct {
	parts     []templatePart
	byService bool
}

// templatePart is a literal, or a variable when render is set.
type templatePart struct {
	literal string
	render  func(place) string
}

var templateVariables = map[string]func(place) string{
	"kind":    func(p place) string { return pathSegment(p.kind.String()) },
	"service": func(p place) string { return pathSegment(p.service) },
	"date":    func(p place) string { return p.start().Format(time.DateOnly) },
	"year":    func(p place) string { return p.start().Format("2006") },
	"month":   func(p place) string { return p.start().Format("01") },
	"day":     func(p place) string { return p.start().Format("02") },
	"hour":    func(p place) string { return p.start().Format("15") },
}

func (p place) start() time.Time { return time.Unix(p.hour*3600, 0).UTC() }

// parseTemplate reads a template and refuses one that could lose what the rows
// do not hold, or name objects where manifests lie.
func parseTemplate(text string) (template, error) {
	var t template
	if err := checkPath(text); err != nil {
		return t, err
	}
	seen := map[string]bool{}
	for rest := text; rest != ""; {
		literal, after, open := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return t, errors.New(`has a "}" without its "{"`)
		}
		if literal != "" {
			t.parts = append(t.parts, templatePart{literal: literal})
		}
		if !open {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed {
			return t, errors.New(`has a "{" without its "}"`)
		}
		render, known := templateVariables[name]
		if !known {
			return t, fmt.Errorf("has an unknown {%s}; there are {kind}, {service}, {date}, {year}, {month}, {day}, {hour}", name)
		}
		t.parts = append(t.parts, templatePart{render: render})
		seen[name] = true
		rest = next
	}
	if !seen["kind"] {
		return t, errors.New("lacks {kind}, which the rows do not repeat")
	}
	t.byService = seen["service"]
	return t, nil
}

func (t template) path(p place) string {
	var b strings.Builder
	for _, part := range t.parts {
		if part.render != nil {
			b.WriteString(part.render(p))
		} else {
			b.WriteString(part.literal)
		}
	}
	return b.String()
}

// maxSegment keeps a segment within the 255 bytes that file systems allow a
// name, so that a lake can be copied to a disk.
const maxSegment = 200

// pathSegment makes one path segment of any non-empty text. Different texts give
// different segments: letters, digits and "-_." stay, other bytes become %XX, and what is
// too long ends in a hash of the whole.
func pathSegment(s string) string {
	const digits = "0123456789ABCDEF"
	dots := strings.Trim(s, ".") == ""
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && !dots:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	if len(b) <= maxSegment {
		return string(b)
	}
	sum := sha256.Sum256([]byte(s))
	return string(b[:maxSegment-33]) + "~" + hex.EncodeToString(sum[:16])
}
