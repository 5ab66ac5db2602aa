package columns

import (
	"bytes"
	"strconv"
	"time"
)

// The ways in which a level may be written.
const (
	levelExact uint16 = iota + 1
	levelLower
	levelTitle
	levelOther // the column has it in upper case, an attribute as it was
	levelJSON
)

// levelForms are the marks of those that the column alone tells.
var levelForms = map[uint16]string{levelExact: "", levelLower: " lower", levelTitle: " title", levelJSON: " json"}

// maxLevel bounds what passes for a level's name.
const maxLevel = 32

// level puts the level in upper case into its column. Numbers, as pino writes them,
// are taken as they stand.
func (s *Splitter) level(slot *slot, raw []byte) uint16 {
	text := s.text(slot.step, raw)
	switch {
	case len(text) == 0 || len(text) > maxLevel:
		if len(text) > 0 {
			s.misfits[slot.to]++
		}
		s.attribute(slot, raw)
		return 0
	case slot.step != stepText:
		s.row.Text[Level] = text
		return levelJSON
	}
	lower, upper := 0, 0
	for _, c := range text {
		if 'a' <= c && c <= 'z' {
			lower++
		} else if 'A' <= c && c <= 'Z' {
			upper++
		}
	}
	if lower == 0 {
		s.row.Text[Level] = text
		return levelExact
	}
	from := len(s.kept)
	for _, c := range text {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		s.kept = append(s.kept, c)
	}
	s.row.Text[Level] = s.kept[from:len(s.kept):len(s.kept)]
	switch {
	case upper == 0:
		return levelLower
	case upper == 1 && 'A' <= text[0] && text[0] <= 'Z':
		return levelTitle
	}
	s.attribute(slot, raw)
	return levelOther
}

// appendLevel writes a level in one of its forms.
func appendLevel(b, level []byte, suffix string) []byte {
	if suffix == "" || suffix == "json" {
		return append(b, level...)
	}
	for i, c := range level {
		if 'A' <= c && c <= 'Z' && (suffix == "lower" || i > 0) {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// kept is the code of a number that its column tells to the letter.
const kept uint16 = 1

func (s *Splitter) status(slot *slot, raw []byte) uint16 {
	text := s.text(slot.step, raw)
	n, err := strconv.ParseInt(string(text), 10, 32)
	var buf [16]byte
	if err != nil || !bytes.Equal(strconv.AppendInt(buf[:0], n, 10), text) {
		return s.misfit(slot, raw)
	}
	s.row.Status, s.row.HasStatus = int32(n), true
	return kept
}

// service leaves a name out that is the row's own.
func (s *Splitter) service(slot *slot, raw []byte, service string) uint16 {
	if slot.step == stepText && string(s.text(slot.step, raw)) == service {
		return kept
	}
	s.attribute(slot, raw)
	return 0
}

func (s *Splitter) duration(slot *slot, raw []byte) uint16 {
	text := s.text(slot.step, raw)
	d, err := strconv.ParseFloat(string(text), 64)
	var buf [32]byte
	if err != nil || len(text) > len(buf) || !bytes.Equal(appendDuration(buf[:0], d), text) {
		return s.misfit(slot, raw)
	}
	s.row.Duration, s.row.HasDuration = d, true
	return kept
}

func appendDuration(b []byte, ms float64) []byte { return strconv.AppendFloat(b, ms, 'f', -1, 64) }

// misfit leaves a value among the attributes.
func (s *Splitter) misfit(slot *slot, raw []byte) uint16 {
	s.misfits[slot.to]++
	s.attribute(slot, raw)
	return 0
}

// time leaves a time out that is the row's own, written in a form it can be written
// in again.
func (s *Splitter) time(slot *slot, raw []byte, micros int64) uint16 {
	var buf, again [64]byte
	text := s.text(slot.step, raw)
	if form, ok := appendTimeForm(buf[:0], text, slot.step); ok {
		if written, ok := s.clock.append(again[:0], micros, form); ok && bytes.Equal(written, text) {
			return s.forms.code(form)
		}
	}
	s.attribute(slot, raw)
	return 0
}

// timeForm, as a shape has it, says how a time was written:
//
//	T3Z, T6,+09:00    a date, the letter before its hour, how many digits behind the
//	                  point (or comma), the zone
//	s, s.3, ms, us, ns  a number of those since the epoch, "text" behind it if it
//	                  stood in quotes
const maxFraction = 9

// appendTimeForm appends the form that a text seems to have.
func appendTimeForm(b, text []byte, sort step) ([]byte, bool) {
	if sort == stepText && len(text) >= len(time.DateTime) && text[4] == '-' {
		return appendDateForm(b, text)
	}
	whole := 0
	for whole < len(text) && text[whole]-'0' <= 9 {
		whole++
	}
	digits := 0
	switch {
	case whole == 0:
		return nil, false
	case whole == len(text):
	case text[whole] == '.' && whole <= 11:
		if digits = len(text) - whole - 1; digits == 0 || digits > maxFraction {
			return nil, false
		}
	default:
		return nil, false
	}
	switch {
	case digits > 0:
		b = append(b, 's', '.', '0'+byte(digits))
	case whole <= 11:
		b = append(b, 's')
	case whole <= 14:
		b = append(b, "ms"...)
	case whole <= 17:
		b = append(b, "us"...)
	default:
		b = append(b, "ns"...)
	}
	if sort == stepText {
		b = append(b, " text"...)
	}
	return b, true
}

func appendDateForm(b, text []byte) ([]byte, bool) {
	rest := text[len(time.DateTime):]
	digits, comma := 0, false
	if len(rest) > 0 && (rest[0] == '.' || rest[0] == ',') {
		comma = rest[0] == ','
		for digits+1 < len(rest) && rest[digits+1]-'0' <= 9 {
			digits++
		}
		if digits == 0 || digits > maxFraction {
			return nil, false
		}
		rest = rest[digits+1:]
	}
	if _, ok := zone(rest); !ok {
		return nil, false
	}
	switch text[10] {
	case 'T', 't', ' ':
	default:
		return nil, false
	}
	b = append(b, text[10], '0'+byte(digits))
	if comma {
		b = append(b, ',')
	}
	return append(b, rest...), true
}

// zone reads Z, +09:00, +0900 or +09 as seconds east of UTC. There are some hundred
// zones of whole quarters of an hour; what is none of them is not a time's form, of
// which there must not be many.
func zone(s []byte) (seconds int64, ok bool) {
	if len(s) == 1 {
		return 0, s[0] == 'Z' || s[0] == 'z'
	}
	digits := make([]byte, 0, 4)
	for i, c := range s {
		switch {
		case i == 0 && (c == '+' || c == '-'), i == 3 && c == ':' && len(s) == 6:
		case c-'0' <= 9 && i > 0:
			digits = append(digits, c-'0')
		default:
			return 0, false
		}
	}
	switch len(digits) {
	case 2:
		digits = append(digits, 0, 0)
	case 4:
	default:
		return 0, false
	}
	hours, minutes := int64(digits[0])*10+int64(digits[1]), int64(digits[2])*10+int64(digits[3])
	if hours > 23 || minutes > 45 || minutes%15 != 0 {
		return 0, false
	}
	seconds = hours*3600 + minutes*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// clock writes times; it keeps the date of the last second.
type clock struct {
	second int64
	date   [len(time.DateTime)]byte // empty at first
}

// append writes a time in a form, if it can be.
func (c *clock) append(b []byte, micros int64, form []byte) ([]byte, bool) {
	if len(form) == 0 {
		return nil, false
	}
	second, fraction := micros/1e6, micros%1e6
	if fraction < 0 {
		second, fraction = second-1, fraction+1e6
	}
	switch form[0] {
	case 'T', 't', ' ':
		return c.appendDate(b, second, fraction, form)
	}
	if micros < 0 {
		return nil, false
	}
	unit, _, _ := bytes.Cut(form, []byte(" "))
	switch string(unit) {
	case "s":
		return strconv.AppendInt(b, second, 10), true
	case "ms":
		return strconv.AppendInt(b, micros/1000, 10), true
	case "us":
		return strconv.AppendInt(b, micros, 10), true
	case "ns":
		return append(strconv.AppendInt(b, micros, 10), "000"...), true
	}
	if len(unit) == 3 && unit[0] == 's' && unit[1] == '.' {
		b = append(strconv.AppendInt(b, second, 10), '.')
		return appendFraction(b, fraction, int(unit[2]-'0')), true
	}
	return nil, false
}

func (c *clock) appendDate(b []byte, second, fraction int64, form []byte) ([]byte, bool) {
	if len(form) < 3 || form[1]-'0' > maxFraction {
		return nil, false
	}
	digits, rest, point := int(form[1]-'0'), form[2:], byte('.')
	if rest[0] == ',' {
		point, rest = ',', rest[1:]
	}
	east, ok := zone(rest)
	if !ok {
		return nil, false
	}
	second += east
	if c.second != second || c.date[0] == 0 {
		t := time.Unix(second, 0).UTC()
		if t.Year() < 0 || t.Year() > 9999 {
			return nil, false
		}
		t.AppendFormat(c.date[:0], time.DateTime)
		c.second = second
	}
	from := len(b)
	b = append(b, c.date[:]...)
	b[from+10] = form[0]
	if digits > 0 {
		b = appendFraction(append(b, point), fraction, digits)
	}
	return append(b, rest...), true
}

// appendFraction writes the first digits of a fraction in millionths.
func appendFraction(b []byte, fraction int64, digits int) []byte {
	unit := int64(100_000)
	for range digits {
		if unit == 0 {
			b = append(b, '0')
			continue
		}
		b = append(b, '0'+byte(fraction/unit%10))
		unit /= 10
	}
	return b
}

// forms numbers the forms of times that a splitter has met, from 1. There are 25,000
// of dates.
type forms struct {
	last  uint16
	names []string
	codes map[string]uint16
}

func (f *forms) code(form []byte) uint16 {
	if f.last != 0 && f.names[f.last-1] == string(form) {
		return f.last
	}
	code, known := f.codes[string(form)]
	if !known {
		f.names = append(f.names, string(form))
		code = uint16(len(f.names))
		if f.codes == nil {
			f.codes = map[string]uint16{}
		}
		f.codes[string(form)] = code
	}
	f.last = code
	return code
}

func (f *forms) name(code uint16) string { return f.names[code-1] }
