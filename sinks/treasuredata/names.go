package treasuredata

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"tributary/schema"
)

// TD takes names of databases and tables of 3 to 255 letters, digits and underscores.
const (
	minName = 3
	maxName = 255
)

// maxVariable is how long a service's name may be in the name of a table.
const maxVariable = 160

// template renders the name of a database or table.
type template []templatePart

// templatePart is a literal, or a variable when render is set.
type templatePart struct {
	literal string
	render  func(service string, k schema.Kind) string
}

var templateVariables = map[string]func(service string, k schema.Kind) string{
	"service": func(service string, _ schema.Kind) string { return nameOf(service) },
	"kind":    func(_ string, k schema.Kind) string { return k.String() },
}

func parseTemplate(text string) (t template, err error) {
	literals := 0
	for rest := text; rest != ""; {
		literal, after, open := strings.Cut(rest, "{")
		for _, c := range []byte(literal) {
			if !isNameByte(c) {
				return nil, fmt.Errorf("has the character %q: names are of a-z, 0-9 and _, with {service} and {kind}", c)
			}
		}
		if literal != "" {
			t = append(t, templatePart{literal: literal})
			literals += len(literal)
		}
		if !open {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed {
			return nil, errors.New(`has a "{" without its "}"`)
		}
		render, known := templateVariables[name]
		if !known {
			return nil, fmt.Errorf("has an unknown {%s}; there are {service} and {kind}", name)
		}
		t = append(t, templatePart{render: render})
		rest = next
	}
	if literals == len(text) && literals < minName {
		return nil, fmt.Errorf("has fewer than %d characters", minName)
	}
	if literals > maxName-maxVariable {
		return nil, fmt.Errorf("has more than %d characters beside its variables", maxName-maxVariable)
	}
	return t, nil
}

func (t template) name(service string, k schema.Kind) string {
	var b strings.Builder
	for _, part := range t {
		if part.render != nil {
			b.WriteString(part.render(service, k))
		} else {
			b.WriteString(part.literal)
		}
	}
	name := b.String()
	if len(name) < minName || len(name) > maxName {
		name = withHash(name[:min(len(name), maxVariable)], name)
	}
	return name
}

// nameOf makes a part of a name of a service. Different services give different
// names: one of a-z, 0-9 and single underscores stays as it is, a single hyphen
// becomes two underscores, and whatever else would have to change also gets a hash.
func nameOf(service string) string {
	if service == "" {
		return "unknown"
	}
	b := make([]byte, 0, len(service)+8)
	fit := len(service) <= maxVariable/2
	for i := range len(service) {
		switch c := service[i]; {
		case c == '-':
			b = append(b, "__"...)
		case isNameByte(c):
			b = append(b, c)
		default:
			fit = false
		}
		if i > 0 && isJoint(service[i]) && isJoint(service[i-1]) {
			fit = false
		}
	}
	if fit {
		return string(b)
	}
	squashed := squash(b[:0], service)
	return withHash(strings.Trim(string(squashed[:min(len(squashed), maxVariable/2)]), "_"), service)
}

func isJoint(c byte) bool { return c == '-' || c == '_' }

func isNameByte(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' }

// squash appends text in lower case, each run of other characters as one underscore.
func squash(dst []byte, text string) []byte {
	other := false
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if isNameByte(c) {
			dst, other = append(dst, c), false
			continue
		}
		if !other {
			dst = append(dst, '_')
		}
		other = true
	}
	return dst
}

// withHash tells a name that had to change from others that change alike.
func withHash(name, original string) string {
	sum := sha256.Sum256([]byte(original))
	if name != "" {
		name += "_"
	}
	return name + hex.EncodeToString(sum[:4])
}

// maxColumn keeps a column's name, with a number behind it, well below 255.
const maxColumn = 128

// columnName makes the name of a column of a member's: in lower case, other
// characters squashed to underscores, no digit first. Of a name without any letter
// or digit of ASCII only a hash is left, and a long one ends in a hash.
func columnName(text string) string {
	b := squash(make([]byte, 0, len(text)+1), text)
	switch {
	case strings.Trim(string(b), "_") == "" && text != string(b):
		return "_" + withHash("", text)
	case len(b) == 0:
		return "_"
	case b[0] <= '9':
		b = append([]byte("_"), b...)
	}
	if len(b) > maxColumn {
		return withHash(string(b[:maxColumn-9]), text)
	}
	return string(b)
}
