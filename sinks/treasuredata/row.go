package treasuredata

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/stream"
)

// tally is what rows cost beside their number.
type tally struct {
	overflowed int64 // members that went into the column rest
	mended     int64 // rows with text that was no UTF-8
}

func (t *tally) add(other tally) {
	t.overflowed += other.overflowed
	t.mended += other.mended
}

// source is who wrote a row, as the plan's rules say.
type source struct {
	service string
	kind    schema.Kind
}

// cell is a member of a line on its way into a column.
type cell struct {
	member *member
	column *column
	raw    []byte
}

// rowEncoder turns events into rows: msgpack maps. One goroutine uses it.
type rowEncoder struct {
	names
	shard stream.ShardID
	// places are of events that were read elsewhere, see AppendPlaced.
	places map[int32][]Place

	// Of the row at hand.
	number  uint64
	cells   []cell
	clash   bool
	rest    []byte // the text of the column rest, without its last brace
	path    []byte // names of the objects around a member
	starts  []int  // where they begin in path, and whether they have members
	filled  []bool
	mended  bool
	tally   tally
	scratch []byte
	out     []byte

	origins map[originKey]*ownCells
	labels  map[string][]byte // encoded names of our columns
}

type originKey struct {
	origin *schema.Origin
	source source
}

// ownCells are the columns of metadata that all rows of an origin share.
type ownCells struct {
	encoded []byte
	count   int
	mended  bool
}

func newRowEncoder(c *columns, shard stream.ShardID) *rowEncoder {
	e := &rowEncoder{names: *newNames(c), shard: shard, origins: map[originKey]*ownCells{}, labels: map[string][]byte{}}
	for _, name := range slices.Concat(c.metadata, ownColumns) {
		e.labels[name] = msgp.AppendString(nil, c.prefix+name)
	}
	return e
}

var (
	timeName    = msgp.AppendString(nil, "time")
	messageName = msgp.AppendString(nil, "message")
	emptyObject = []byte("{}")
)

// noOrigin stands for a missing one. Nobody writes to it.
var noOrigin schema.Origin

// encode returns the row of an event, which is the encoder's until the next call.
func (e *rowEncoder) encode(row *held.Row, line *held.Line, from source, r *held.Record) ([]byte, tally) {
	e.begin()
	// What is wrong lies within strings, or the line is no object anyway.
	text, mended := mend(line.Text)
	e.mended = mended
	object := line.Part.Number == 0 && e.walk(text)
	own := e.own(cmp.Or(line.Origin, &noOrigin), from)
	e.mended = e.mended || own.mended
	count := 1 + own.count + e.extras(line)
	if object {
		count += len(e.cells)
		if len(e.rest) > 0 {
			count++
		}
	} else {
		count++
	}
	b := msgp.AppendMapHeader(e.out[:0], uint32(count))
	b = msgp.AppendInt64(append(b, timeName...), floorDiv(row.Time, int64(time.Second)))
	b = append(b, own.encoded...)
	b = e.appendExtras(b, row, line, r)
	if !object {
		e.tally.overflowed = 0
		b = msgp.AppendStringFromBytes(append(b, messageName...), text)
		return e.end(b)
	}
	for i := range e.cells {
		c := &e.cells[i]
		b = e.value(append(b, c.column.encoded...), c.raw)
	}
	if len(e.rest) > 0 {
		b = msgp.AppendStringFromBytes(append(b, e.labels["rest"]...), append(e.rest, '}'))
	}
	return e.end(b)
}

func (e *rowEncoder) begin() {
	e.trim()
	e.number++
	e.cells, e.rest, e.path, e.starts, e.filled = e.cells[:0], e.rest[:0], e.path[:0], e.starts[:0], e.filled[:0]
	e.clash, e.tally = false, tally{}
}

func (e *rowEncoder) end(b []byte) ([]byte, tally) {
	if e.mended {
		e.tally.mended = 1
	}
	e.out = b
	return b, e.tally
}

// walk collects the members of a line and reports whether it is an object.
func (e *rowEncoder) walk(line []byte) bool {
	var err error
	if e.flatten {
		err = schema.WalkTree(line, (*flattening)(e))
	} else {
		err = schema.WalkObject(line, func(key, value []byte) bool {
			e.take(key, value)
			return true
		})
	}
	if err != nil {
		return false
	}
	if e.clash {
		e.cells = e.settle(e.cells)
	}
	return true
}

// take takes a member. Of one that comes twice the last value counts.
func (e *rowEncoder) take(names, value []byte) {
	if len(e.cells) >= e.limit {
		if m := e.members[string(names)]; m != nil && m.row == e.number {
			e.cells[m.place].raw = value
			return
		}
		e.overflow(names, value)
		return
	}
	m := e.member(names)
	if m.row == e.number {
		e.cells[m.place].raw = value
		return
	}
	m.row, m.place = e.number, len(e.cells)
	e.clash = e.clash || m.column.row == e.number
	m.column.row = e.number
	e.cells = append(e.cells, cell{m, m.column, value})
}

// overflow puts a member into the column rest, under its names as written.
func (e *rowEncoder) overflow(names, value []byte) {
	open := byte(',')
	if len(e.rest) == 0 {
		open = '{'
	}
	e.rest = append(e.rest, open, '"')
	from := len(e.rest)
	e.rest = append(e.rest, names...)
	if e.flatten {
		for i := from; i < len(e.rest); i++ {
			if e.rest[i] == pathSeparator[0] {
				e.rest[i] = '.'
			}
		}
	}
	e.rest = append(append(e.rest, `":`...), value...)
	e.tally.overflowed++
}

// flattening is the encoder as schema.WalkTree sees it.
type flattening rowEncoder

func (f *flattening) Member(key, value []byte) {
	e := (*rowEncoder)(f)
	if len(e.starts) == 0 {
		e.take(key, value)
		return
	}
	e.filled[len(e.filled)-1] = true
	from := len(e.path)
	e.path = append(append(e.path, pathSeparator...), key...)
	e.take(e.path, value)
	e.path = e.path[:from]
}

// Enter begins an object. Names that together are too long for a column's are not
// worth a path, which would be repeated for each member.
func (f *flattening) Enter(key []byte) bool {
	if len(f.path)+len(key) > maxPath {
		return false
	}
	if len(f.filled) > 0 {
		f.filled[len(f.filled)-1] = true
	}
	f.starts = append(f.starts, len(f.path))
	f.filled = append(f.filled, false)
	if len(f.starts) > 1 {
		f.path = append(f.path, pathSeparator...)
	}
	f.path = append(f.path, key...)
	return true
}

// maxPath is where flattening ends and text begins.
const maxPath = 1024

func (f *flattening) Leave() {
	last := len(f.starts) - 1
	if !f.filled[last] {
		(*rowEncoder)(f).take(f.path, emptyObject)
	}
	f.path = f.path[:f.starts[last]]
	f.starts, f.filled = f.starts[:last], f.filled[:last]
}

// value appends a value of a line. Integers outside of what TD takes become text, as
// do arrays and objects.
func (e *rowEncoder) value(b, raw []byte) []byte {
	switch raw[0] {
	case '"':
		return e.text(b, raw[1:len(raw)-1])
	case '{', '[':
		return msgp.AppendStringFromBytes(b, raw)
	case 't':
		return msgp.AppendBool(b, true)
	case 'f':
		return msgp.AppendBool(b, false)
	case 'n':
		return msgp.AppendNil(b)
	}
	return appendNumber(b, raw)
}

func (e *rowEncoder) text(b, escaped []byte) []byte {
	text := escaped
	if bytes.IndexByte(escaped, '\\') >= 0 {
		var exact bool
		e.scratch, exact = schema.UnescapeExactly(e.scratch[:0], escaped)
		text = e.scratch
		e.mended = e.mended || !exact
	}
	return msgp.AppendStringFromBytes(b, text)
}

// appendNumber appends a JSON number: an integer if it is written as one and lies
// within −2^63 and 2^64−1, a double if it has a fraction or exponent, else its text.
func appendNumber(b, raw []byte) []byte {
	if n, ok := parseInt(raw); ok {
		return msgp.AppendInt64(b, n)
	}
	if slices.ContainsFunc(raw, func(c byte) bool { return c == '.' || c|0x20 == 'e' }) {
		if f, err := strconv.ParseFloat(string(raw), 64); err == nil {
			return msgp.AppendFloat64(b, f)
		}
	} else if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return msgp.AppendInt64(b, n)
	} else if u, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return msgp.AppendUint64(b, u)
	}
	return msgp.AppendStringFromBytes(b, raw)
}

// parseInt parses an integer of up to 18 digits, which most numbers are.
func parseInt(raw []byte) (n int64, ok bool) {
	digits := raw
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(raw) {
		n = -n
	}
	return n, true
}

// own returns the columns of metadata that all rows of an origin and source share.
func (e *rowEncoder) own(o *schema.Origin, from source) *ownCells {
	key := originKey{o, from}
	c := e.origins[key]
	if c == nil {
		c = e.newOwn(o, from)
		e.origins[key] = c
	}
	return c
}

// forget lets go of the origins of lines that were loaded.
func (e *rowEncoder) forget() { clear(e.origins) }

func (e *rowEncoder) newOwn(o *schema.Origin, from source) *ownCells {
	c := &ownCells{}
	texts := map[string]string{
		"service": from.service, "kind": from.kind.String(), "container_id": o.ContainerID, "container_name": o.ContainerName,
		"source": o.Source, "host": o.Host, "tag": o.Tag,
	}
	if slices.Contains(e.metadata, "labels") {
		texts["labels"] = labelsText(o.Labels)
	}
	for _, name := range e.metadata {
		if texts[name] == "" {
			continue
		}
		text, mended := mend([]byte(texts[name]))
		c.encoded = msgp.AppendStringFromBytes(append(c.encoded, e.labels[name]...), text)
		c.count++
		c.mended = c.mended || mended
	}
	return c
}

// labelsText is an object with the names in order; of a name that is there twice
// the last value counts.
func labelsText(labels []schema.Label) string {
	if len(labels) == 0 {
		return ""
	}
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.Name] = l.Value
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic("treasuredata: a map of texts has no JSON: " + err.Error())
	}
	return string(text)
}

// extras counts what appendExtras appends.
func (e *rowEncoder) extras(line *held.Line) (n int) {
	for _, name := range e.metadata {
		switch name {
		case "time_ns", "shard", "sequence", "index":
			n++
		}
	}
	if line.Flags&schema.FlagIncomplete != 0 {
		n++
	}
	if line.Part.Number != 0 {
		n += 3
	}
	return n
}

// appendExtras appends the columns of metadata that differ from row to row.
func (e *rowEncoder) appendExtras(b []byte, row *held.Row, line *held.Line, r *held.Record) []byte {
	at := Place{e.shard, r.Sequence, row.Index}
	if list := e.places[row.Record]; int(row.Index) < len(list) && list[row.Index].Shard != "" {
		at = list[row.Index]
	}
	for _, name := range e.metadata {
		label := e.labels[name]
		switch name {
		case "time_ns":
			b = msgp.AppendInt64(append(b, label...), row.Time)
		case "shard":
			b = msgp.AppendString(append(b, label...), string(at.Shard))
		case "sequence":
			b = msgp.AppendString(append(b, label...), string(at.Sequence))
		case "index":
			b = msgp.AppendInt64(append(b, label...), int64(at.Index))
		}
	}
	if line.Flags&schema.FlagIncomplete != 0 {
		b = msgp.AppendBool(append(b, e.labels["incomplete"]...), true)
	}
	if line.Part.Number != 0 {
		b = msgp.AppendString(append(b, e.labels["part_line"]...), hex.EncodeToString(line.Part.Line[:]))
		b = msgp.AppendInt64(append(b, e.labels["part_number"]...), int64(line.Part.Number))
		b = msgp.AppendInt64(append(b, e.labels["part_count"]...), int64(line.Part.Count))
	}
	return b
}

// floorDiv divides towards the past.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
