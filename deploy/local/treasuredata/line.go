package treasuredata

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// A line is a row as JSON. It fails with errTooLong soon after it is longer than max.
type line struct {
	text []byte
	max  int
}

// appendValue writes the first value in packed and gives what follows it. The nesting was bounded when the row was read.
func (l *line) appendValue(packed []byte) (rest []byte, err error) {
	if len(l.text) > l.max {
		return nil, errTooLong
	}
	switch kind := msgp.NextType(packed); kind {
	case msgp.NilType:
		l.text = append(l.text, "null"...)
		return msgp.ReadNilBytes(packed)
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(packed)
		l.text = strconv.AppendBool(l.text, v)
		return rest, err
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(packed)
		l.text = strconv.AppendInt(l.text, v, 10)
		return rest, err
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(packed)
		l.text = strconv.AppendUint(l.text, v, 10)
		return rest, err
	case msgp.Float32Type:
		v, rest, err := msgp.ReadFloat32Bytes(packed)
		return rest, firstOf(err, l.appendFloat(float64(v), 32))
	case msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(packed)
		return rest, firstOf(err, l.appendFloat(v, 64))
	case msgp.StrType:
		v, rest, err := msgp.ReadStringZC(packed)
		return rest, firstOf(err, l.appendString(v))
	case msgp.BinType:
		v, rest, err := msgp.ReadBytesZC(packed)
		return rest, firstOf(err, l.appendString(v))
	case msgp.ArrayType:
		n, rest, err := msgp.ReadArrayHeaderBytes(packed)
		return l.appendItems(n, rest, err)
	case msgp.MapType:
		n, rest, err := msgp.ReadMapHeaderBytes(packed)
		return l.appendMembers(n, rest, err)
	default:
		return nil, noJSON("a msgpack %s is not supported by this endpoint", kind)
	}
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (l *line) appendItems(n uint32, rest []byte, err error) ([]byte, error) {
	l.text = append(l.text, '[')
	for i := uint32(0); i < n && err == nil; i++ {
		if i > 0 {
			l.text = append(l.text, ',')
		}
		rest, err = l.appendValue(rest)
	}
	l.text = append(l.text, ']')
	return rest, err
}

func (l *line) appendMembers(n uint32, rest []byte, err error) ([]byte, error) {
	l.text = append(l.text, '{')
	for i := uint32(0); i < n && err == nil; i++ {
		if i > 0 {
			l.text = append(l.text, ',')
		}
		if kind := msgp.NextType(rest); kind != msgp.StrType {
			return nil, noJSON("a nested map has a key of type %s: want a string", kind)
		}
		if rest, err = l.appendValue(rest); err != nil {
			break
		}
		l.text = append(l.text, ':')
		rest, err = l.appendValue(rest)
	}
	l.text = append(l.text, '}')
	return rest, err
}

// appendFloat writes a float so that it is read back as one.
func (l *line) appendFloat(v float64, bits int) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return noJSON("%v is not a number of JSON", v)
	}
	start := len(l.text)
	l.text = strconv.AppendFloat(l.text, v, 'g', -1, bits)
	if !bytes.ContainsAny(l.text[start:], ".e") {
		l.text = append(l.text, ".0"...)
	}
	return nil
}

func (l *line) appendString(s []byte) error {
	const digits = "0123456789abcdef"
	l.text = append(l.text, '"')
	for len(s) > 0 {
		plain := 0
		for plain < len(s) && s[plain] >= ' ' && s[plain] < utf8.RuneSelf && s[plain] != '"' && s[plain] != '\\' {
			plain++
		}
		if len(l.text)+plain > l.max {
			return errTooLong
		}
		l.text = append(l.text, s[:plain]...)
		if s = s[plain:]; len(s) == 0 {
			break
		}
		r, n := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			l.text = append(l.text, '\\', byte(r))
		case r == '\n':
			l.text = append(l.text, `\n`...)
		case r < ' ':
			l.text = append(l.text, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			l.text = utf8.AppendRune(l.text, r) // U+FFFD for what is no UTF-8
		}
		s = s[n:]
	}
	l.text = append(l.text, '"')
	return nil
}
