package schema

import (
	"bytes"
	"time"
)

// Classifier applies rules. It is immutable and safe for concurrent use.
type Classifier struct {
	fields   []string // JSON fields of all rules, each once
	lengths  uint64   // bit min(n, 63): there is a field of n bytes
	kinds    []kindRule
	services []source
	fallback string
	times    []int // slots in fields
	zone     *time.Location
	past     int64
	future   int64
}

type kindRule struct {
	field  int
	equals string
	kind   Kind
}

// Verdict is what the rules say of one line.
type Verdict struct {
	Kind    Kind
	Service string // valid UTF-8 of 1 to 128 bytes, see Classify
	Time    int64  // nanoseconds since the Unix epoch
}

// values are the raw JSON values of the fields of the rules; nil: not there.
type values [maxRuleFields][]byte

// Classify judges a line. fallback is the time to use when the line has none of
// its own that lies within the window around arrival (both nanoseconds); it is
// Docker's time, or the arrival for records of other producers. A nil o is an
// empty one; its Service is not looked at.
//
// Of a duplicate field the last value counts. A line that is nested deeper than
// WalkObject goes is raw. A service name is cut to 128 bytes, at a character, and
// what is not UTF-8 in it replaced by U+FFFD; apart from that it is what the
// source says, slashes, spaces and equals signs included: whoever makes a path
// of it escapes it. Classify allocates only for a service name that it takes out
// of the line or has to mend.
func (c *Classifier) Classify(line []byte, o *Origin, fallback, arrival int64) Verdict {
	if o == nil {
		o = foreignOrigin
	}
	v := Verdict{Kind: KindRaw, Time: fallback}
	var found values
	if c.lookUp(line, &found) {
		v.Kind = c.kind(&found)
		v.Time = c.time(&found, fallback, arrival)
	} else {
		found = values{} // half a line's fields are not those of an object
	}
	v.Service = c.service(&found, o)
	return v
}

// lookUp finds all fields of the rules in one pass and reports whether line is
// an object.
func (c *Classifier) lookUp(line []byte, found *values) bool {
	return WalkObject(line, func(key, value []byte) bool {
		if bytes.IndexByte(key, '\\') >= 0 {
			var buf [maxRuleText]byte
			key = unescape(buf[:0], key)
		}
		if c.lengths&(1<<min(len(key), 63)) == 0 {
			return true
		}
		for i := range c.fields {
			if string(key) == c.fields[i] {
				found[i] = value
				break
			}
		}
		return true
	}) == nil
}

func (c *Classifier) kind(found *values) Kind {
	for i := range c.kinds {
		r := &c.kinds[i]
		if v := found[r.field]; v != nil && valueIs(v, r.equals) {
			return r.kind
		}
	}
	return KindApp
}

// valueIs compares a raw value; the text of a string, anything else as written.
func valueIs(raw []byte, want string) bool {
	var buf [maxRuleText]byte
	text, _ := scalar(buf[:0], raw)
	return string(text) == want
}

// scalar returns the text of a raw JSON string, unescaped into buf if need be,
// or raw as it is and false.
func scalar(buf, raw []byte) (text []byte, isString bool) {
	if raw[0] != '"' {
		return raw, false
	}
	text = raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text = unescape(buf, text)
	}
	return text, true
}

// unescape is Unescape for texts that a rule looks at, of which all but the
// beginning may be cut off: an escape is at most six bytes of one character, so
// what is left is longer than any text of a rule, and equal to none.
func unescape(buf, s []byte) []byte {
	return Unescape(buf, s[:min(len(s), 12*maxRuleText)])
}

func (c *Classifier) time(found *values, fallback, arrival int64) int64 {
	for _, slot := range c.times {
		raw := found[slot]
		if raw == nil {
			continue
		}
		var buf [maxRuleText]byte // some serialisers write the + of a zone as \u002B
		text, _ := scalar(buf[:0], raw)
		if t, ok := parseTime(text, c.zone); ok && c.within(t, arrival) {
			return t
		}
	}
	return fallback
}

// within holds for a t in [arrival-past, arrival+future]. The differences are
// taken on the side where they cannot overflow.
func (c *Classifier) within(t, arrival int64) bool {
	if t <= arrival {
		return uint64(arrival)-uint64(t) <= uint64(c.past)
	}
	return uint64(t)-uint64(arrival) <= uint64(c.future)
}
