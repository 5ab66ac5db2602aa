package fluent

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"
	"unicode/utf8"
)

// RecordJSON appends record, a msgpack map, to dst as one JSON object on one
// line, members in their order. It is the line of an event whose client, unlike
// Docker, sends no log field.
//
// Strings have what is not UTF-8 replaced by U+FFFD. Binary is text when it is
// valid UTF-8 (older clients know no other string), else base64. A key that is
// not a string is its text, an array or map as key the base64 of its msgpack. NaN
// and infinities are strings. EventTime and msgpack's timestamp are RFC 3339
// strings; another extension is "ext:<type>:<base64>".
//
// Of bytes that are not one well-formed map it makes
// {"malformed_record":"<base64>"}, so nothing is lost. The result is at most some
// 8 times as long as record.
func RecordJSON(dst, record []byte) []byte {
	start := len(dst)
	if len(record) > 0 && forms[record[0]].kind == kindMap {
		out, rest, ok := appendJSON(dst, record, 0)
		if ok && len(rest) == 0 {
			return out
		}
		dst = out
	}
	dst = append(dst[:start], `{"malformed_record":"`...)
	return append(appendBase64(dst, record), `"}`...)
}

// appendJSON appends the first value of b, which is nested depth deep.
func appendJSON(dst, b []byte, depth int) (out, rest []byte, ok bool) {
	h, body, rest, ok := cut(b)
	if !ok || h.items > len(rest) || h.items > 0 && depth == maxNesting {
		return dst, nil, false
	}
	switch h.kind {
	case kindMap:
		return appendObject(dst, rest, h.items/2, depth+1)
	case kindArray:
		return appendArray(dst, rest, h.items, depth+1)
	case kindStr:
		return appendQuoted(dst, body), rest, true
	case kindBin:
		return appendBinary(dst, body), rest, true
	case kindNil, kindBool, kindInt, kindUint:
		return appendScalar(dst, h, b[0], body), rest, true
	case kindFloat:
		if f, _ := float(body); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return appendScalar(dst, h, b[0], body), rest, true
		}
	}
	dst = appendScalar(append(dst, '"'), h, b[0], body)
	return append(dst, '"'), rest, true
}

func appendObject(dst, b []byte, members, depth int) (out, rest []byte, ok bool) {
	dst = append(dst, '{')
	for i := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, b, ok = appendKey(dst, b); !ok {
			return dst, nil, false
		}
		dst = append(dst, ':')
		if dst, b, ok = appendJSON(dst, b, depth); !ok {
			return dst, nil, false
		}
	}
	return append(dst, '}'), b, true
}

func appendArray(dst, b []byte, items, depth int) (out, rest []byte, ok bool) {
	dst = append(dst, '[')
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, b, ok = appendJSON(dst, b, depth); !ok {
			return dst, nil, false
		}
	}
	return append(dst, ']'), b, true
}

func appendKey(dst, b []byte) (out, rest []byte, ok bool) {
	h, body, rest, ok := cut(b)
	if !ok {
		return dst, nil, false
	}
	switch h.kind {
	case kindStr:
		return appendQuoted(dst, body), rest, true
	case kindBin:
		return appendBinary(dst, body), rest, true
	case kindArray, kindMap:
		// Not as JSON: text within text would double its backslashes at each level.
		n, ok := valueEnd(b)
		if !ok {
			return dst, nil, false
		}
		dst = appendBase64(append(dst, '"'), b[:n])
		return append(dst, '"'), b[n:], true
	}
	dst = appendScalar(append(dst, '"'), h, b[0], body)
	return append(dst, '"'), rest, true
}

func appendBinary(dst, body []byte) []byte {
	if utf8.Valid(body) {
		return appendQuoted(dst, body)
	}
	dst = appendBase64(append(dst, '"'), body)
	return append(dst, '"')
}

func appendBase64(dst, b []byte) []byte { return base64.StdEncoding.AppendEncode(dst, b) }

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	from := 0 // s[from:i] needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// float reads a kindFloat value and its width in bits.
func float(body []byte) (float64, int) {
	if len(body) == 4 {
		return float64(math.Float32frombits(binary.BigEndian.Uint32(body))), 32
	}
	return math.Float64frombits(binary.BigEndian.Uint64(body)), 64
}

// extTime reads EventTime (type 0) and msgpack's timestamp (type -1, in its
// three lengths: 32 bits of seconds; 30 of nanoseconds and 34 of seconds; 32 of
// nanoseconds and 64 of seconds).
func extTime(body []byte) (time.Time, bool) {
	kind, data := int8(body[0]), body[1:]
	if ns, ok := eventTime(body); ok {
		return time.Unix(0, ns).UTC(), true
	}
	if kind != -1 {
		return time.Time{}, false
	}
	var sec, nsec int64
	switch len(data) {
	case 4:
		sec = int64(binary.BigEndian.Uint32(data))
	case 8:
		v := binary.BigEndian.Uint64(data)
		sec, nsec = int64(v&(1<<34-1)), int64(v>>34)
	case 12:
		nsec, sec = int64(binary.BigEndian.Uint32(data)), int64(binary.BigEndian.Uint64(data[4:]))
	default:
		return time.Time{}, false
	}
	t := time.Unix(sec, nsec).UTC()
	// RFC 3339 has four digits for the year.
	return t, nsec < 1e9 && t.Year() >= 0 && t.Year() <= 9999
}
