package fluent

import (
	"encoding/binary"
	"math"
	"time"
)

// parseEntry reads an entry, [time, map], of bytes that a scanner has accepted.
func parseEntry(b []byte) (Event, bool) {
	h, _ := readHead(b)
	if h.kind != kindArray || h.items != 2 {
		return Event{}, false
	}
	b = b[h.size:]
	n, ok := valueEnd(b)
	if !ok {
		return Event{}, false
	}
	ns, ok := parseTime(b[:n])
	record := b[n:]
	if !ok || forms[record[0]].kind != kindMap {
		return Event{}, false
	}
	return Event{Time: orArrival(ns), Record: record}, true
}

// parseTime reads the time of an entry in nanoseconds: integer or float seconds,
// EventTime, or either with v1.5's metadata, which is dropped. Nil and zero give 0.
func parseTime(b []byte) (int64, bool) {
	if isTimeWithMetadata(b) {
		b = b[1:] // the array's head
	}
	h, body, _, ok := cut(b)
	if !ok {
		return 0, false
	}
	switch h.kind {
	case kindNil:
		return 0, true
	case kindUint:
		return seconds(unsigned(b[0], body))
	case kindInt:
		if v := integer(b[0], body); v >= 0 {
			return seconds(uint64(v))
		}
	case kindFloat:
		return floatSeconds(body)
	case kindExt:
		return eventTime(body)
	}
	return 0, false
}

// isTimeWithMetadata reports whether b is [number or ext, {…}].
func isTimeWithMetadata(b []byte) bool {
	if b[0] != 0x92 {
		return false
	}
	h, _, rest, ok := cut(b[1:])
	if !ok || len(rest) == 0 || forms[rest[0]].kind != kindMap {
		return false
	}
	switch h.kind {
	case kindInt, kindUint, kindFloat, kindExt:
		return true
	}
	return false
}

// seconds converts up to the year 2262, where int64 nanoseconds end.
func seconds(s uint64) (int64, bool) {
	if s > math.MaxInt64/uint64(time.Second) {
		return 0, false
	}
	return int64(s) * int64(time.Second), true
}

func floatSeconds(body []byte) (int64, bool) {
	f, _ := float(body)
	if !(f >= 0 && f < math.MaxInt64/float64(time.Second)) { // false for NaN too
		return 0, false
	}
	whole, fraction := math.Modf(f)
	return int64(whole)*int64(time.Second) + int64(fraction*float64(time.Second)), true
}

// eventTime reads Fluentd's EventTime: ext type 0, seconds and nanoseconds as
// 32-bit big endian. body is the type and the data.
func eventTime(body []byte) (int64, bool) {
	if len(body) != 9 || body[0] != 0 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint32(body[1:]))*int64(time.Second) + int64(binary.BigEndian.Uint32(body[5:])), true
}

// orArrival replaces the zero time, which means "not known", by now.
func orArrival(ns int64) int64 {
	if ns == 0 {
		return time.Now().UnixNano()
	}
	return ns
}
