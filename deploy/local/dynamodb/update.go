package dynamodb

import (
	"maps"
	"strings"
)

// An operand of SET is evaluated against the item as it was before the update.
type operand interface {
	of(item) (attribute, error)
}

type (
	literal     struct{ value attribute }
	reference   struct{ path string }
	ifNotExists struct {
		path     string
		fallback operand
	}
	arithmetic struct {
		left, right operand
		minus       bool
	}
)

// update is a parsed UpdateExpression.
type update struct {
	set    map[string]operand
	remove map[string]bool
}

// apply gives the new item; old is left as it is.
func (u *update) apply(old item) (item, error) {
	changed := maps.Clone(old)
	if changed == nil {
		changed = item{}
	}
	for path, operand := range u.set {
		a, err := operand.of(old)
		if err != nil {
			return nil, err
		}
		changed[path] = a
	}
	for path := range u.remove {
		delete(changed, path)
	}
	return changed, nil
}

// touches says whether the update writes the attribute.
func (u *update) touches(path string) bool {
	return u.set[path] != nil || u.remove[path]
}

// parseUpdate reads SET and REMOVE clauses, each at most once; ADD, DELETE and
// all functions but if_not_exists are refused by name.
func parseUpdate(expression string, ph *placeholders) (*update, error) {
	p, err := newParser("UpdateExpression", expression, ph)
	if err != nil {
		return nil, err
	}
	u := &update{set: map[string]operand{}, remove: map[string]bool{}}
	seen := map[string]bool{}
	for p.peek().kind != tokenEnd {
		t := p.next()
		clause := strings.ToUpper(t.text)
		if seen[clause] {
			return nil, p.invalid("The %q section can only be used once in an update expression;", clause)
		}
		seen[clause] = true
		switch {
		case t.is("SET"):
			err = p.list(func() error { return p.assignment(u) })
		case t.is("REMOVE"):
			err = p.list(func() error { return p.removal(u) })
		case t.is("ADD"), t.is("DELETE"):
			err = p.invalid("clause %s is not supported by this endpoint; it has SET and REMOVE", clause)
		default:
			err = p.unexpected(t)
		}
		if err != nil {
			return nil, err
		}
	}
	return u, nil
}

// list reads entries separated by commas.
func (p *parser) list(entry func() error) error {
	for {
		if err := entry(); err != nil {
			return err
		}
		if !p.peek().sign(",") {
			return nil
		}
		p.next()
	}
}

func (p *parser) assignment(u *update) error {
	path, err := p.target(u)
	if err != nil {
		return err
	}
	if err := p.expectSign("="); err != nil {
		return err
	}
	u.set[path], err = p.sum()
	return err
}

func (p *parser) removal(u *update) error {
	path, err := p.target(u)
	u.remove[path] = true
	return err
}

// target reads the path an update writes; no path may be written twice.
func (p *parser) target(u *update) (string, error) {
	path, err := p.path()
	if err == nil && u.touches(path) {
		err = p.invalid("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [%s], path two: [%s]", path, path)
	}
	return path, err
}

func (p *parser) sum() (operand, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	sign := p.peek()
	if !sign.sign("+") && !sign.sign("-") {
		return left, nil
	}
	p.next()
	right, err := p.operand()
	return arithmetic{left, right, sign.sign("-")}, err
}

func (p *parser) operand() (operand, error) {
	switch t := p.peek(); {
	case t.kind == tokenValue:
		a, err := p.value()
		return literal{a}, err
	case p.isCall():
		return p.ifNotExists()
	}
	path, err := p.path()
	return reference{path}, err
}

func (p *parser) ifNotExists() (operand, error) {
	if name := p.next().text; name != "if_not_exists" {
		return nil, p.invalid("function %s is not supported by this endpoint; it has if_not_exists", name)
	}
	p.next()
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	if err := p.expectSign(","); err != nil {
		return nil, err
	}
	fallback, err := p.operand()
	if err != nil {
		return nil, err
	}
	return ifNotExists{path, fallback}, p.expectSign(")")
}

func (o literal) of(item) (attribute, error) { return o.value, nil }

func (o reference) of(i item) (attribute, error) {
	a, ok := i[o.path]
	if !ok {
		return attribute{}, validation("The provided expression refers to an attribute that does not exist in the item")
	}
	return a, nil
}

func (o ifNotExists) of(i item) (attribute, error) {
	if a, ok := i[o.path]; ok {
		return a, nil
	}
	return o.fallback.of(i)
}

func (o arithmetic) of(i item) (attribute, error) {
	left, err := o.left.of(i)
	if err != nil {
		return attribute{}, err
	}
	right, err := o.right.of(i)
	if err != nil {
		return attribute{}, err
	}
	if left.N == nil || right.N == nil {
		return attribute{}, validation("An operand in the update expression has an incorrect data type")
	}
	sum, err := addNumbers(string(*left.N), string(*right.N), o.minus)
	n := numeral(sum)
	return attribute{N: &n}, err
}
