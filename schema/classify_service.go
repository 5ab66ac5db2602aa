package schema

import (
	"strings"
	"unicode/utf8"
)

// source is one place where a service name may come from.
type source struct {
	from   int
	name   string // of the label
	number int    // of the part of the tag; slot of the field
}

const (
	fromLabel = iota
	fromField
	fromTag
	fromContainerName
)

func (c *Classifier) service(found *values, o *Origin) string {
	for i := range c.services {
		s := &c.services[i]
		name := ""
		switch s.from {
		case fromLabel:
			name = label(o.Labels, s.name)
		case fromField:
			name = nameIn(found[s.number])
		case fromTag:
			name = tagPart(o.Tag, s.number)
		case fromContainerName:
			name = withoutECS(o.ContainerName)
		}
		if name != "" {
			return mendName(name)
		}
	}
	return c.fallback
}

// ServiceOf is the service by what o says alone: a line's fields do not count.
func (c *Classifier) ServiceOf(o *Origin) string { return c.service(&values{}, o) }

func label(labels []Label, name string) string {
	for i := range labels {
		if labels[i].Name == name {
			return labels[i].Value
		}
	}
	return ""
}

// nameIn takes strings and numbers; an object, a list or null names nothing.
func nameIn(raw []byte) string {
	if raw == nil {
		return ""
	}
	var buf [maxRuleText]byte
	text, isString := scalar(buf[:0], raw)
	if !isString && raw[0] != '-' && raw[0]-'0' > 9 {
		return ""
	}
	// A character more than is kept shows mendName that there was more.
	return string(text[:min(len(text), maxServiceName+utf8.UTFMax)])
}

// tagPart returns the part n of tag between dots, from the end for a negative n.
func tagPart(tag string, n int) string {
	if n < 0 {
		if n += strings.Count(tag, ".") + 1; n < 0 {
			return ""
		}
	}
	for ; n > 0; n-- {
		_, rest, more := strings.Cut(tag, ".")
		if !more {
			return ""
		}
		tag = rest
	}
	part, _, _ := strings.Cut(tag, ".")
	return part
}

// withoutECS returns <name> of ecs-<family>-<revision>-<name>-<hex>, and any
// other name as it is. Family and name may hold dashes and numbers themselves:
// the revision is taken to be the last number before the name, so that a wrong
// guess shortens a name but never leaves in it a revision, which changes with
// each deployment.
func withoutECS(name string) string {
	name = strings.TrimPrefix(name, "/")
	rest, ok := strings.CutPrefix(name, "ecs-")
	if !ok {
		return name
	}
	dash := strings.LastIndexByte(rest, '-')
	if dash < 0 || len(rest)-dash-1 < 16 || strings.Trim(rest[dash+1:], "0123456789abcdef") != "" {
		return name
	}
	rest = rest[:dash]
	for end := strings.LastIndexByte(rest, '-'); end > 0; {
		start := strings.LastIndexByte(rest[:end], '-')
		if start <= 0 {
			break // what is left is the family
		}
		if number := rest[start+1 : end]; number != "" && strings.Trim(number, "0123456789") == "" {
			return rest[end+1:]
		}
		end = start
	}
	return name
}

func mendName(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= maxServiceName {
		return s
	}
	end := maxServiceName
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
