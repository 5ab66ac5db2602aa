package lake

import (
	"encoding/hex"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"tributary/schema"
	"tributary/schema/columns"
)

// The values of a row, a function for each column.

func (e *encoder) put(leaf int, v parquet.Value) { e.values[leaf] = append(e.values[leaf], v) }

func (e *encoder) required(leaf int, v parquet.Value) { e.put(leaf, v.Level(0, 0, leaf)) }

// optional puts a value, or null if it is not there.
func (e *encoder) optional(leaf int, there bool, v parquet.Value) {
	if !there {
		e.put(leaf, e.nulls[leaf])
		return
	}
	e.put(leaf, v.Level(0, 1, leaf))
}

func (e *encoder) text(leaf int, b []byte) {
	if b == nil {
		e.put(leaf, e.nulls[leaf])
		return
	}
	e.put(leaf, parquet.ByteArrayValue(b).Level(0, 1, leaf))
}

func putTime(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.Int64Value(micros(c.row.Time)))
}

func putIngestTime(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.Int64Value(c.record.Arrival.UnixMicro()))
}

// putService keeps the last name: rows are sorted by service.
func putService(e *encoder, leaf int, c *cells) {
	if c.service != e.service || e.named.IsNull() {
		e.service, e.named = c.service, parquet.ByteArrayValue([]byte(c.service)).Level(0, 0, leaf)
	}
	e.put(leaf, e.named)
}

func putText(id columns.ID) putter {
	return func(e *encoder, leaf int, c *cells) { e.text(leaf, c.split.Text[id]) }
}

func putPromoted(i int) putter {
	return func(e *encoder, leaf int, c *cells) { e.text(leaf, c.split.Promoted[i]) }
}

func putStatus(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.split.HasStatus, parquet.Int32Value(c.split.Status))
}

func putDuration(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.split.HasDuration, parquet.DoubleValue(c.split.Duration))
}

func putShape(e *encoder, leaf int, c *cells) { e.text(leaf, c.split.Shape) }

func putLine(e *encoder, leaf int, c *cells) {
	e.optional(leaf, utf8.Valid(c.line.Text), parquet.ByteArrayValue(c.line.Text))
}

func putLineBytes(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.split.Verbatim, parquet.ByteArrayValue(c.line.Text))
}

func putOrigin(i int) putter {
	return func(e *encoder, leaf int, c *cells) {
		v := &c.origin.texts[i]
		if v.value.IsNull() { // not made yet, or null
			v.value = e.nulls[leaf]
			if v.text != nil {
				v.value = parquet.ByteArrayValue(v.text).Level(0, 1, leaf)
			}
		}
		e.put(leaf, v.value)
	}
}

func putIncomplete(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.BooleanValue(c.line.Flags&schema.FlagIncomplete != 0))
}

func putPartLine(e *encoder, leaf int, c *cells) {
	if c.line.Part.Number == 0 {
		e.text(leaf, nil)
		return
	}
	e.text(leaf, hex.AppendEncode(nil, c.line.Part.Line[:]))
}

func putPartNumber(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.line.Part.Number != 0, parquet.Int64Value(int64(c.line.Part.Number)))
}

func putPartCount(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.line.Part.Number != 0, parquet.Int64Value(int64(c.line.Part.Count)))
}

func putShard(e *encoder, leaf int, _ *cells) {
	if e.shardValue.IsNull() {
		e.shardValue = parquet.ByteArrayValue(e.shard).Level(0, 0, leaf)
	}
	e.put(leaf, e.shardValue)
}

func putSequence(e *encoder, leaf int, c *cells) {
	v := &e.sequences[c.row.Record]
	if v.IsNull() {
		*v = parquet.ByteArrayValue([]byte(c.record.Sequence)).Level(0, 0, leaf)
	}
	e.put(leaf, *v)
}

func putIndex(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.Int64Value(int64(c.row.Index)))
}

// putLabels is all that attributes were in format 1.
func putLabels(e *encoder, leaf int, c *cells) {
	e.beginMap()
	e.putEntries(leaf, c.origin.keys, c.origin.values)
	e.endMap(leaf)
}

func putAttributes(e *encoder, leaf int, c *cells) {
	e.beginMap()
	e.putEntries(leaf, c.split.Keys, c.split.Values)
	if keys := c.origin.prefixed; len(keys) > 0 {
		e.putEntries(leaf, besides(keys, c.split.Keys), c.origin.values)
	}
	e.endMap(leaf)
}

// besides are the names of labels, with tildes where the line has such a name.
func besides(labels, taken [][]byte) [][]byte {
	has := func(name []byte) bool {
		return slices.ContainsFunc(taken, func(k []byte) bool { return string(k) == string(name) })
	}
	if !slices.ContainsFunc(labels, has) {
		return labels
	}
	labels = slices.Clone(labels)
	for i := range labels {
		for has(labels[i]) || slices.ContainsFunc(labels[:i], func(k []byte) bool { return string(k) == string(labels[i]) }) {
			labels[i] = append(slices.Clone(labels[i]), '~')
		}
	}
	return labels
}

func (e *encoder) beginMap() { e.entries = 0 }

// putEntries puts entries into the two leaves of the map.
func (e *encoder) putEntries(leaf int, keys, values [][]byte) {
	for i := range keys {
		repeated := min(e.entries, 1)
		e.entries++
		e.put(leaf, parquet.ByteArrayValue(keys[i]).Level(repeated, 1, leaf))
		e.put(leaf+1, parquet.ByteArrayValue(values[i]).Level(repeated, 1, leaf+1))
	}
}

func (e *encoder) endMap(leaf int) {
	if e.entries == 0 {
		e.put(leaf, e.nulls[leaf])
		e.put(leaf+1, e.nulls[leaf+1])
	}
	e.wrote.entries += int64(max(e.entries, 1))
}
