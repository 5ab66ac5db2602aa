package lake

import (
	"encoding/hex"
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
		e.put(leaf, parquet.Value{}.Level(0, 0, leaf))
		return
	}
	e.put(leaf, v.Level(0, 1, leaf))
}

func (e *encoder) text(leaf int, b []byte) {
	e.optional(leaf, b != nil, parquet.ByteArrayValue(b))
}

func putTime(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.Int64Value(micros(c.row.time)))
}

func putIngestTime(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.Int64Value(c.record.arrival.UnixMicro()))
}

// putService keeps the last name: rows are sorted by service.
func putService(e *encoder, leaf int, c *cells) {
	if c.service != e.service || e.named == nil {
		e.service, e.named = c.service, []byte(c.service)
	}
	e.required(leaf, parquet.ByteArrayValue(e.named))
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
	e.optional(leaf, utf8.Valid(c.line.text), parquet.ByteArrayValue(c.line.text))
}

func putLineBytes(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.split.Verbatim, parquet.ByteArrayValue(c.line.text))
}

func putOrigin(i int) putter {
	return func(e *encoder, leaf int, c *cells) { e.text(leaf, c.origin.texts[i]) }
}

func putIncomplete(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.BooleanValue(c.line.flags&schema.FlagIncomplete != 0))
}

func putPartLine(e *encoder, leaf int, c *cells) {
	if c.line.part.Number == 0 {
		e.text(leaf, nil)
		return
	}
	e.text(leaf, hex.AppendEncode(nil, c.line.part.Line[:]))
}

func putPartNumber(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.line.part.Number != 0, parquet.Int64Value(int64(c.line.part.Number)))
}

func putPartCount(e *encoder, leaf int, c *cells) {
	e.optional(leaf, c.line.part.Number != 0, parquet.Int64Value(int64(c.line.part.Count)))
}

func putShard(e *encoder, leaf int, _ *cells) { e.required(leaf, parquet.ByteArrayValue(e.shard)) }

func putSequence(e *encoder, leaf int, c *cells) {
	text, ok := e.sequences[c.row.record]
	if !ok {
		text = []byte(c.record.sequence)
		e.sequences[c.row.record] = text
	}
	e.required(leaf, parquet.ByteArrayValue(text))
}

func putIndex(e *encoder, leaf int, c *cells) {
	e.required(leaf, parquet.Int64Value(int64(c.row.index)))
}

func putLabels(e *encoder, leaf int, c *cells) {
	e.putMap(leaf, c.origin.keys, c.origin.values)
}

func putAttributes(e *encoder, leaf int, c *cells) {
	e.putMap(leaf, c.split.Keys, c.split.Values)
}

// putMap puts the entries into the two leaves of a map.
func (e *encoder) putMap(leaf int, keys, values [][]byte) {
	n := max(len(keys), 1)
	for i, at := range e.layout.maps {
		if at == leaf {
			e.wrote.entries[i] += int64(n)
		}
	}
	if len(keys) == 0 {
		e.put(leaf, parquet.Value{}.Level(0, 0, leaf))
		e.put(leaf+1, parquet.Value{}.Level(0, 0, leaf+1))
		return
	}
	for i := range keys {
		repeated := min(i, 1)
		e.put(leaf, parquet.ByteArrayValue(keys[i]).Level(repeated, 1, leaf))
		e.put(leaf+1, parquet.ByteArrayValue(values[i]).Level(repeated, 1, leaf+1))
	}
}
