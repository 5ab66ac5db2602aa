package dynamodb

import (
	"bytes"
	"strings"
)

// A condition is decided against the stored item; an absent item is an empty one.
type condition interface {
	holds(item) (bool, error)
}

type (
	conjunction struct{ left, right condition }
	disjunction struct{ left, right condition }
	negation    struct{ of condition }
	existence   struct {
		path string
		want bool
	}
	comparison struct {
		path  string
		op    string // from the path's point of view: path op value
		value attribute
	}
)

// parseCondition reads a ConditionExpression or a FilterExpression:
// attribute_exists, attribute_not_exists, comparisons of an attribute with a
// value, AND, OR, NOT and parentheses. All else is refused by name.
func parseCondition(parameter, expression string, ph *placeholders) (condition, error) {
	p, err := newParser(parameter, expression, ph)
	if err != nil {
		return nil, err
	}
	c, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	return c, p.expectEnd()
}

func (p *parser) disjunction() (condition, error) {
	left, err := p.conjunction()
	for err == nil && p.peek().is("OR") {
		p.next()
		var right condition
		right, err = p.conjunction()
		left = disjunction{left, right}
	}
	return left, err
}

func (p *parser) conjunction() (condition, error) {
	left, err := p.negation()
	for err == nil && p.peek().is("AND") {
		p.next()
		var right condition
		right, err = p.negation()
		left = conjunction{left, right}
	}
	return left, err
}

func (p *parser) negation() (condition, error) {
	if !p.peek().is("NOT") {
		return p.primary()
	}
	p.next()
	c, err := p.negation()
	return negation{c}, err
}

func (p *parser) primary() (condition, error) {
	switch t := p.peek(); {
	case t.sign("("):
		return p.parenthesised()
	case p.isCall():
		return p.function()
	}
	return p.comparison()
}

func (p *parser) parenthesised() (condition, error) {
	p.next()
	start := p.at
	inner, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	if p.tokens[start].sign("(") && p.closes(start) {
		return nil, p.invalid("The expression has redundant parentheses;")
	}
	return inner, p.expectSign(")")
}

// closes tells whether the parenthesis opened at start was closed by the last
// token read, so that another pair around it adds nothing.
func (p *parser) closes(start int) bool {
	depth := 0
	for i := start; i < p.at; i++ {
		switch {
		case p.tokens[i].sign("("):
			depth++
		case p.tokens[i].sign(")"):
			depth--
		}
		if depth == 0 {
			return i == p.at-1
		}
	}
	return false
}

func (p *parser) function() (condition, error) {
	name := p.next().text
	if name != "attribute_exists" && name != "attribute_not_exists" {
		return nil, p.invalid("function %s is not supported by this endpoint; it has attribute_exists and attribute_not_exists", name)
	}
	p.next()
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	return existence{path, name == "attribute_exists"}, p.expectSign(")")
}

// mirrored turns "value op path" into "path op value".
var mirrored = map[string]string{"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

func (p *parser) comparison() (condition, error) {
	var c comparison
	var err error
	valueFirst := p.peek().kind == tokenValue
	if valueFirst {
		c.value, err = p.value()
	} else {
		c.path, err = p.path()
	}
	if err != nil {
		return nil, err
	}
	if c.op, err = p.operator(); err != nil {
		return nil, err
	}
	switch second := p.peek(); {
	case valueFirst && second.kind == tokenValue, !valueFirst && second.kind != tokenValue && second.kind != tokenEnd:
		return nil, p.invalid("a comparison must be between an attribute and a value, others are not supported by this endpoint; token: %q", second.text)
	case valueFirst:
		c.op = mirrored[c.op]
		c.path, err = p.path()
	default:
		c.value, err = p.value()
	}
	if err == nil && c.op != "=" && c.op != "<>" && !c.value.ordered() {
		err = p.invalid("Incorrect operand type for operator or function; operator: %s, operand type: %s", c.op, c.value.typeName())
	}
	return c, err
}

func (p *parser) operator() (string, error) {
	t := p.next()
	switch {
	case t.kind == tokenSign && mirrored[t.text] != "":
		return t.text, nil
	case t.is("BETWEEN"), t.is("IN"):
		return "", p.invalid("operator %s is not supported by this endpoint", strings.ToUpper(t.text))
	}
	return "", p.unexpected(t)
}

func (c conjunction) holds(i item) (bool, error) {
	ok, err := c.left.holds(i)
	if err != nil || !ok {
		return false, err
	}
	return c.right.holds(i)
}

func (c disjunction) holds(i item) (bool, error) {
	ok, err := c.left.holds(i)
	if err != nil || ok {
		return ok, err
	}
	return c.right.holds(i)
}

func (c negation) holds(i item) (bool, error) {
	ok, err := c.of.holds(i)
	return !ok, err
}

func (c existence) holds(i item) (bool, error) {
	_, ok := i[c.path]
	return ok == c.want, nil
}

// holds: an absent attribute differs from every value and is neither less nor
// greater; so is an attribute of another type.
func (c comparison) holds(i item) (bool, error) {
	a, ok := i[c.path]
	equal := ok && a.equal(c.value)
	switch {
	case c.op == "=":
		return equal, nil
	case c.op == "<>":
		return !equal, nil
	case !ok || a.typeName() != c.value.typeName():
		return false, nil
	}
	order := a.compare(c.value)
	switch c.op {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

func (a attribute) ordered() bool { return a.S != nil || a.N != nil || a.B != nil }

// compare orders two attributes of the same ordered type: strings and binaries
// by their bytes, numbers by value.
func (a attribute) compare(b attribute) int {
	switch {
	case a.N != nil:
		return compareNumbers(string(*a.N), string(*b.N))
	case a.S != nil:
		return strings.Compare(*a.S, *b.S)
	}
	return bytes.Compare(*a.B, *b.B)
}
