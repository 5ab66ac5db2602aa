package cloudwatch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"tributary/schema"
)

const (
	maxGroupName = 512
	// errorsSuffix makes the name of the group for errors.
	errorsSuffix = "/errors"
	// otherService has the group of services beyond Config.MaxGroups.
	otherService = "other"
	// unknownService stands for one without a name.
	unknownService = "unknown"
)

// template renders the name of a log group.
type template struct{ parts []templatePart }

// templatePart is a literal, or a variable when render is set.
type templatePart struct {
	literal string
	render  func(kind schema.Kind, service string) string
}

var templateVariables = map[string]func(schema.Kind, string) string{
	"kind":    func(k schema.Kind, _ string) string { return k.String() },
	"service": func(_ schema.Kind, service string) string { return escape(service) },
}

// parseTemplate reads a template and refuses one that makes names the service would
// refuse.
func parseTemplate(text string) (template, error) {
	var t template
	for rest := text; rest != ""; {
		literal, after, open := strings.Cut(rest, "{")
		if i := strings.IndexFunc(literal, func(r rune) bool { return !nameRune(r) && r != '/' && r != '#' }); i >= 0 {
			return t, fmt.Errorf("has %q: a name is of a-z, A-Z, 0-9, and . _ - / #", literal[i:])
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
			return t, fmt.Errorf("has an unknown {%s}; there are {kind} and {service}", name)
		}
		t.parts = append(t.parts, templatePart{render: render})
		rest = next
	}
	switch {
	case len(t.parts) == 0:
		return t, errors.New("is empty")
	case strings.HasPrefix(text, "aws/"):
		return t, errors.New("names cannot begin with aws/")
	case len(text) > 256:
		return t, fmt.Errorf("has %d bytes, more than 256", len(text))
	}
	return t, nil
}

func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
}

// group is the name of the log group. Different services have different names, and no
// name is that of another's group for errors.
func (t template) group(kind schema.Kind, service string) string {
	if service == "" {
		service = unknownService
	}
	var b strings.Builder
	for _, part := range t.parts {
		if part.render != nil {
			b.WriteString(part.render(kind, service))
		} else {
			b.WriteString(part.literal)
		}
	}
	name := b.String()
	if limit := maxGroupName - len(errorsSuffix); len(name) > limit {
		sum := sha256.Sum256([]byte(name))
		name = name[:limit-34] + "##" + hex.EncodeToString(sum[:16])
	}
	return name
}

// escape makes a part of a name of any text. Different texts give different parts:
// letters, digits and "-_." stay, other bytes become #XX. A slash is one of these: it
// would make "x/errors" the group of x's errors.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	plain := true
	for i := range len(s) {
		plain = plain && nameRune(rune(s[i]))
	}
	if plain {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		if c := s[i]; nameRune(rune(c)) {
			b = append(b, c)
		} else {
			b = append(b, '#', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}
