package dynamodb

import (
	"fmt"
	"slices"
	"strings"
)

// placeholders are a request's #names and :values with a memory of which of
// them the request's expressions used: the service refuses unused ones.
type placeholders struct {
	names      map[string]string
	values     map[string]attribute
	usedNames  map[string]bool
	usedValues map[string]bool
}

func newPlaceholders(names map[string]string, values map[string]attribute) (*placeholders, error) {
	if names != nil && len(names) == 0 {
		return nil, validation("ExpressionAttributeNames must not be empty")
	}
	if values != nil && len(values) == 0 {
		return nil, validation("ExpressionAttributeValues must not be empty")
	}
	for name, a := range values {
		if !strings.HasPrefix(name, ":") {
			return nil, validation(fmt.Sprintf("ExpressionAttributeValues contains invalid key: Syntax error; key: %q", name))
		}
		if err := a.check(1); err != nil {
			return nil, err
		}
	}
	for placeholder, name := range names {
		if !strings.HasPrefix(placeholder, "#") || name == "" {
			return nil, validation(fmt.Sprintf("ExpressionAttributeNames contains invalid key: Syntax error; key: %q", placeholder))
		}
	}
	return &placeholders{names, values, map[string]bool{}, map[string]bool{}}, nil
}

// allUsed is called after all of a request's expressions are parsed.
func (p *placeholders) allUsed() error {
	if unused := unusedKeys(p.names, p.usedNames); len(unused) > 0 {
		return validation(fmt.Sprintf("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(unused, ", ")))
	}
	if unused := unusedKeys(p.values, p.usedValues); len(unused) > 0 {
		return validation(fmt.Sprintf("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(unused, ", ")))
	}
	return nil
}

func unusedKeys[V any](given map[string]V, used map[string]bool) []string {
	var unused []string
	for key := range given {
		if !used[key] {
			unused = append(unused, key)
		}
	}
	slices.Sort(unused)
	return unused
}

// parser reads one expression; the request parameter's name is in every error.
type parser struct {
	parameter string
	tokens    []token
	at        int
	*placeholders
}

func newParser(parameter, expression string, p *placeholders) (*parser, error) {
	if strings.TrimSpace(expression) == "" {
		return nil, validation("Invalid " + parameter + ": The expression can not be empty;")
	}
	tokens, err := lex(expression)
	if err != nil {
		return nil, validation("Invalid " + parameter + ": " + err.Error())
	}
	return &parser{parameter: parameter, tokens: tokens, placeholders: p}, nil
}

func (p *parser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

func (p *parser) next() token {
	t := p.peek()
	p.at++
	return t
}

func (p *parser) invalid(format string, args ...any) error {
	return validation("Invalid " + p.parameter + ": " + fmt.Sprintf(format, args...))
}

// unexpected is the error for a token that fits nowhere.
func (p *parser) unexpected(t token) error {
	if t.kind == tokenEnd {
		return p.invalid("Syntax error; token: <EOF>")
	}
	return p.invalid("Syntax error; token: %q", t.text)
}

func (p *parser) expectSign(text string) error {
	if t := p.next(); !t.sign(text) {
		return p.unexpected(t)
	}
	return nil
}

func (p *parser) expectEnd() error {
	if t := p.peek(); t.kind != tokenEnd {
		return p.unexpected(t)
	}
	return nil
}

// path reads an attribute name, bare or #placeholder. Only top-level attributes
// are supported.
func (p *parser) path() (string, error) {
	t := p.next()
	name := t.text
	switch t.kind {
	case tokenWord:
		if reserved(t.text) {
			return "", p.invalid("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
	case tokenName:
		var ok bool
		if name, ok = p.names[t.text]; !ok {
			return "", p.invalid("An expression attribute name used in the document path is not defined; attribute name: %s", t.text)
		}
		p.usedNames[t.text] = true
	default:
		return "", p.unexpected(t)
	}
	if after := p.peek(); after.sign(".") || after.sign("[") {
		return "", p.invalid("nested document paths are not supported by this endpoint: %s%s", t.text, after.text)
	}
	return name, nil
}

// value reads a :placeholder.
func (p *parser) value() (attribute, error) {
	t := p.next()
	if t.kind != tokenValue {
		return attribute{}, p.unexpected(t)
	}
	a, ok := p.values[t.text]
	if !ok {
		return attribute{}, p.invalid("An expression attribute value used in expression is not defined; attribute value: %s", t.text)
	}
	p.usedValues[t.text] = true
	return a, nil
}

// isCall tells a function from an attribute of the same name.
func (p *parser) isCall() bool {
	return p.peek().kind == tokenWord && p.at+1 < len(p.tokens) && p.tokens[p.at+1].sign("(")
}

// parseProjection reads a comma-separated list of attributes.
func parseProjection(expression string, ph *placeholders) ([]string, error) {
	p, err := newParser("ProjectionExpression", expression, ph)
	if err != nil {
		return nil, err
	}
	var names []string
	for {
		name, err := p.path()
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, name) {
			return nil, p.invalid("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [%s], path two: [%s]", name, name)
		}
		names = append(names, name)
		if !p.peek().sign(",") {
			return names, p.expectEnd()
		}
		p.next()
	}
}
