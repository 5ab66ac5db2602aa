package fluent

import (
	"errors"
	"strconv"
	"time"
)

// maxNesting is how deep the readers of records go. It is beyond what a server
// lets in, so that a lower MaxDepth of today does not refuse yesterday's spool.
const maxNesting = maxDepthLimit + 1

var errRecord = errors.New("not a msgpack map")

// Fields calls fn for each member of record, a msgpack map, in its order, until
// fn returns false. A string or binary value is given as its bytes, which need
// not be valid UTF-8; another scalar as text ("42", "1.5", "true"); a time as
// RFC 3339; an array or map as its JSON text, see RecordJSON. Members whose value
// is nil are skipped. Keys are converted like values.
//
// key and value are valid only during fn. Nothing is allocated for keys and
// values that are strings or binary. An error means that record is not one
// well-formed map, nested no more than 513 deep; fn may have seen a part of it.
func Fields(record []byte, fn func(key, value []byte) bool) error {
	h, _, rest, ok := cut(record)
	if !ok || h.kind != kindMap {
		return errRecord
	}
	var keyText, valueText []byte // reused by the conversions
	for range h.items / 2 {
		var key, value []byte
		if key, keyText, rest, ok = field(keyText, rest); !ok {
			return errRecord
		}
		isNil := len(rest) > 0 && forms[rest[0]].kind == kindNil
		if value, valueText, rest, ok = field(valueText, rest); !ok {
			return errRecord
		}
		if !isNil && !fn(key, value) {
			return nil
		}
	}
	if len(rest) != 0 {
		return errRecord
	}
	return nil
}

// field reads the first value of b as bytes: its own, or text made in scratch.
func field(scratch, b []byte) (value, reused, rest []byte, ok bool) {
	h, body, rest, ok := cut(b)
	if !ok {
		return nil, scratch, nil, false
	}
	switch h.kind {
	case kindStr, kindBin:
		return body, scratch, rest, true
	case kindArray, kindMap:
		scratch, rest, ok = appendJSON(scratch[:0], b, 1)
		return scratch, scratch, rest, ok
	}
	scratch = appendScalar(scratch[:0], h, b[0], body)
	return scratch, scratch, rest, true
}

// appendScalar appends the text of a value that is no string, binary, array or map.
func appendScalar(dst []byte, h head, first byte, body []byte) []byte {
	switch h.kind {
	case kindNil:
		return append(dst, "null"...)
	case kindBool:
		return strconv.AppendBool(dst, first == 0xc3)
	case kindInt:
		return strconv.AppendInt(dst, integer(first, body), 10)
	case kindUint:
		return strconv.AppendUint(dst, unsigned(first, body), 10)
	case kindFloat:
		f, bits := float(body)
		return strconv.AppendFloat(dst, f, 'g', -1, bits)
	}
	if t, ok := extTime(body); ok {
		return t.AppendFormat(dst, time.RFC3339Nano)
	}
	// Another extension: its type and its data, which only its writer understands.
	dst = append(dst, "ext:"...)
	dst = strconv.AppendInt(dst, int64(int8(body[0])), 10)
	return appendBase64(append(dst, ':'), body[1:])
}
