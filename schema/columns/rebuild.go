package columns

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tributary/schema"
)

// Cells are a row as it was stored.
type Cells struct {
	Time  int64  // microseconds since the Unix epoch
	Shape []byte // nil: the message is the line
	// Column returns what a column holds, numbers in decimal; false: null. Attribute
	// likewise.
	Column    func(name string) ([]byte, bool)
	Attribute func(name string) ([]byte, bool)
}

// Line makes a JSON text equal to the line the row was made of, or returns the line
// itself if it was no JSON object. Rows that keep the line's bytes are not to be
// asked. An error says which cell is missing.
func (c Cells) Line() ([]byte, error) {
	if c.Shape == nil {
		line, there := c.Column(Message.String())
		if !there {
			return nil, errors.New("a row without a shape has no message")
		}
		return line, nil
	}
	r := rebuilder{cells: c, names: attributeNames{}, out: []byte{'{'}}
	if err := schema.WalkTree(c.Shape, &r); err != nil {
		return nil, fmt.Errorf("read shape: %w", err)
	}
	if r.err != nil {
		return nil, r.err
	}
	return append(r.out, '}'), nil
}

// rebuilder walks a shape.
type rebuilder struct {
	cells Cells
	out   []byte
	path  []string
	names attributeNames
	inner bool // behind the first member of an object
	clock clock
	err   error
}

func (r *rebuilder) key(key []byte) {
	if r.inner {
		r.out = append(r.out, ',')
	}
	r.out = append(append(append(r.out, '"'), key...), `":`...)
}

func (r *rebuilder) Enter(key []byte) bool {
	r.key(key)
	r.out = append(r.out, '{')
	r.path = append(r.path, string(schema.Unescape(nil, key)))
	r.inner = false
	return true
}

func (r *rebuilder) Leave() {
	r.out = append(r.out, '}')
	r.path = r.path[:len(r.path)-1]
	r.inner = true
}

func (r *rebuilder) Member(key, value []byte) {
	r.key(key)
	r.inner = true
	name := r.names.take(strings.Join(append(r.path, string(schema.Unescape(nil, key))), "."))
	if value[0] != '"' {
		r.out = append(r.out, value...)
		return
	}
	token := string(value[1 : len(value)-1])
	if err := r.value(token, name); err != nil && r.err == nil {
		r.err = fmt.Errorf("member %q: %w", name, err)
	}
}

// value appends what a token stands for.
func (r *rebuilder) value(token, name string) error {
	column, form, _ := strings.Cut(token, " ")
	switch column {
	case "", "json":
		cell, there := r.cells.Attribute(name)
		if !there {
			return errors.New("the attribute is missing")
		}
		r.append(cell, column == "")
		return nil
	case "time":
		text, ok := r.clock.append(nil, r.cells.Time, []byte(form))
		if !ok {
			return fmt.Errorf("the time has no form %q", form)
		}
		r.append(text, bytes.IndexByte([]byte("Tt "), form[0]) >= 0 || strings.HasSuffix(form, " text"))
		return nil
	}
	cell, there := r.cells.Column(column)
	if !there {
		return fmt.Errorf("column %s is null", column)
	}
	switch column {
	case Level.String():
		r.append(appendLevel(nil, cell, form), form != "json")
	case Status.String(), Duration.String():
		r.append(cell, form == "text")
	default:
		r.append(cell, form != "json")
	}
	return nil
}

func (r *rebuilder) append(value []byte, text bool) {
	if !text {
		r.out = append(r.out, value...)
		return
	}
	r.out = appendString(r.out, value)
}

// shortEscapes are those that writers of JSON prefer to a number.
var shortEscapes = [0x20]byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// appendString writes a JSON string that decodes to the text.
func appendString(b, text []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for len(text) > 0 {
		c := text[0]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 && shortEscapes[c] != 0:
			b = append(b, '\\', shortEscapes[c])
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRune(text)
			b = utf8.AppendRune(b, r)
			text = text[n:]
			continue
		}
		text = text[1:]
	}
	return append(b, '"')
}
