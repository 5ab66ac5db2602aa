package fluent

import (
	"encoding/binary"
	"math"
)

// Lengths and counts of 32 bits, and sums of them, are held in an int. On a
// 32-bit machine they would turn negative, so there this does not compile.
const _ int = 4 * math.MaxUint32

// kind is the class of a msgpack value.
type kind uint8

const (
	kindInvalid kind = iota // 0xc1, which msgpack never uses
	kindNil
	kindBool
	kindInt  // signed
	kindUint // unsigned
	kindFloat
	kindStr
	kindBin
	kindExt
	kindArray
	kindMap
)

// head is what the first bytes of a msgpack value say about it.
type head struct {
	kind  kind
	size  int // bytes of the head
	body  int // bytes after the head that belong to the value; an ext's include its type
	items int // values after the head that belong to it: n of an array, 2n of a map
}

// form is how a head is read, given its first byte: the length field's width,
// the value it is added to, and the kind.
type form struct {
	kind  kind
	width uint8 // bytes of a length field after the first byte
	fixed uint8 // body or count where there is no length field; added where there is
}

var forms = func() (t [256]form) {
	for b := range 256 {
		switch {
		case b < 0x80:
			t[b] = form{kind: kindUint}
		case b < 0x90:
			t[b] = form{kind: kindMap, fixed: uint8(b & 0x0f)}
		case b < 0xa0:
			t[b] = form{kind: kindArray, fixed: uint8(b & 0x0f)}
		case b < 0xc0:
			t[b] = form{kind: kindStr, fixed: uint8(b & 0x1f)}
		case b >= 0xe0:
			t[b] = form{kind: kindInt}
		}
	}
	t[0xc0] = form{kind: kindNil}
	t[0xc2], t[0xc3] = form{kind: kindBool}, form{kind: kindBool}
	for i, width := range []uint8{1, 2, 4} {
		t[0xc4+i] = form{kind: kindBin, width: width}
		t[0xc7+i] = form{kind: kindExt, width: width, fixed: 1}
		t[0xd9+i] = form{kind: kindStr, width: width}
	}
	for i, width := range []uint8{2, 4} {
		t[0xca+i] = form{kind: kindFloat, fixed: 4 << i}
		t[0xdc+i] = form{kind: kindArray, width: width}
		t[0xde+i] = form{kind: kindMap, width: width}
	}
	for i := range 4 {
		t[0xcc+i] = form{kind: kindUint, fixed: 1 << i}
		t[0xd0+i] = form{kind: kindInt, fixed: 1 << i}
	}
	for i := range 5 {
		t[0xd4+i] = form{kind: kindExt, fixed: 1<<i + 1}
	}
	return t
}()

// readHead reads the head of the value that b begins with. It reports false when
// b is too short to hold the head. It does not look whether the body is there.
func readHead(b []byte) (head, bool) {
	if len(b) == 0 {
		return head{}, false
	}
	f := forms[b[0]]
	n, size := int(f.fixed), 1+int(f.width)
	if len(b) < size {
		return head{}, false
	}
	switch f.width {
	case 1:
		n += int(b[1])
	case 2:
		n += int(binary.BigEndian.Uint16(b[1:]))
	case 4:
		n += int(binary.BigEndian.Uint32(b[1:]))
	}
	switch f.kind {
	case kindArray:
		return head{kind: f.kind, size: size, items: n}, true
	case kindMap:
		return head{kind: f.kind, size: size, items: 2 * n}, true
	}
	return head{kind: f.kind, size: size, body: n}, true
}

// cut splits b after the head and body of its first value. It reports false when
// they are not all there or the byte is none of msgpack's.
func cut(b []byte) (h head, body, rest []byte, ok bool) {
	h, ok = readHead(b)
	if !ok || h.kind == kindInvalid || h.body > len(b)-h.size {
		return h, nil, nil, false
	}
	end := h.size + h.body
	return h, b[h.size:end], b[end:], true
}

// valueEnd returns the length of the first value of b, nested ones included, or
// false when b does not hold it whole. It needs no stack, so it does not bound
// the depth: for bytes that a scanner has accepted.
func valueEnd(b []byte) (int, bool) {
	off := 0
	for missing := 1; missing > 0; missing-- {
		h, ok := readHead(b[off:])
		if !ok || h.kind == kindInvalid || h.body > len(b)-off-h.size {
			return 0, false
		}
		off += h.size + h.body
		missing += h.items
		// Each missing value takes a byte at least: a forged count ends here.
		if missing-1 > len(b)-off {
			return 0, false
		}
	}
	return off, true
}

// text returns the body of the string or binary value that is all of b.
func text(b []byte) ([]byte, bool) {
	h, body, rest, ok := cut(b)
	if !ok || len(rest) != 0 || (h.kind != kindStr && h.kind != kindBin) {
		return nil, false
	}
	return body, true
}

// integer reads a kindInt value: its first byte and its body.
func integer(first byte, body []byte) int64 {
	switch len(body) {
	case 1:
		return int64(int8(body[0]))
	case 2:
		return int64(int16(binary.BigEndian.Uint16(body)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(body)))
	case 8:
		return int64(binary.BigEndian.Uint64(body))
	}
	return int64(int8(first))
}

// unsigned reads a kindUint value: its first byte and its body.
func unsigned(first byte, body []byte) uint64 {
	switch len(body) {
	case 1:
		return uint64(body[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(body))
	case 4:
		return uint64(binary.BigEndian.Uint32(body))
	case 8:
		return binary.BigEndian.Uint64(body)
	}
	return uint64(first)
}
