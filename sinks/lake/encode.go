package lake

import (
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"tributary/schema"
	"tributary/stream"
)

// chunkRows are handed to the columns at a time: enough to make the calls cheap,
// few enough for the processor's cache.
const chunkRows = 512

// pageRows end the pages of all columns, as in other writers. The library looks
// at a dictionary's size only at the end of a page, and an index into it counts
// four bytes toward the page whatever it stands for.
const pageRows = 20_000

// encodeCharge is what encoding costs beside the lines: the open pages,
// dictionaries and compressors of all columns.
const encodeCharge = 4 << 20

// usualCompression is how much smaller an object is than its lines, rather too
// little: a buffer that grows is there twice for a while.
const usualCompression = 4

// tally is what an object must hold; the footer is checked against it.
type tally struct {
	rows       int64
	attributes int64 // values in each of the map's two columns, counting 1 for an empty map
}

// encoder turns sorted rows into a Parquet file. It lives for one object.
type encoder struct {
	file    *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	values  [columnCount][]parquet.Value
	rows    int
	lines   int64 // bytes in values
	page    int   // rows since all columns ended a page
	group   int64 // bytes in the open row group
	wrote   tally

	shard   parquet.Value
	records []record
	origins map[*schema.Origin]*originValues
	levels  levelNames
	service struct {
		name  string
		value parquet.Value
	}
	sequences map[int32]parquet.Value
}

// sizes cut an object into row groups and pages.
type sizes struct{ rowGroup, page int64 }

// encode writes the partition's rows, which are sorted.
func encode(p *partition, shard stream.ShardID, records []record, codec *zstd.Codec, cut sizes) ([]byte, tally, error) {
	out := &objectBuffer{bytes: make([]byte, 0, p.bytes/usualCompression)}
	e := &encoder{
		file:      newFile(out, codec, cut.page, p.bytes),
		shard:     required(colShard, []byte(shard)),
		records:   records,
		origins:   map[*schema.Origin]*originValues{},
		levels:    levelNames{known: map[string][]byte{}},
		sequences: map[int32]parquet.Value{},
	}
	e.columns = e.file.ColumnWriters()
	for i := range p.rows {
		e.add(&p.rows[i])
		if e.rows < chunkRows && e.lines < cut.page {
			continue
		}
		if err := e.writeChunk(); err != nil {
			return nil, tally{}, err
		}
		if e.group >= cut.rowGroup {
			if err := e.file.Flush(); err != nil {
				return nil, tally{}, fmt.Errorf("close row group: %w", err)
			}
			e.group, e.page = 0, 0
		}
	}
	if err := e.writeChunk(); err != nil {
		return nil, tally{}, err
	}
	if err := e.file.Close(); err != nil {
		return nil, tally{}, fmt.Errorf("close file: %w", err)
	}
	return out.bytes, e.wrote, nil
}

// add appends one row to the values of every column.
func (e *encoder) add(r *row) {
	ev, rec := r.event, e.records[r.record]
	origin := e.origin(ev.Origin)
	e.put(colTime, parquet.Int64Value(floorDiv(r.time, 1000)).Level(0, 0, colTime))
	e.put(colIngestTime, parquet.Int64Value(rec.arrival.UnixMicro()).Level(0, 0, colIngestTime))
	e.put(colService, e.serviceValue(r.service))
	var level []byte
	if r.kind == schema.KindApp || r.kind == schema.KindAudit {
		level = e.levels.of(ev.Line)
	}
	e.put(colLevel, optional(colLevel, level, level != nil))
	for i, v := range origin.columns {
		e.put(colContainerID+i, v)
	}
	e.put(colIncomplete, parquet.BooleanValue(ev.Flags&schema.FlagIncomplete != 0).Level(0, 0, colIncomplete))
	e.addPart(&ev.Part)
	e.put(colShard, e.shard)
	e.put(colSequence, e.sequence(r.record))
	e.put(colIndex, parquet.Int64Value(int64(ev.Index)).Level(0, 0, colIndex))
	valid := utf8.Valid(ev.Line)
	e.put(colLine, optional(colLine, ev.Line, valid))
	e.put(colLineBytes, optional(colLineBytes, ev.Line, !valid))
	e.values[colAttributeKey] = append(e.values[colAttributeKey], origin.keys...)
	e.values[colAttributeValue] = append(e.values[colAttributeValue], origin.values...)

	e.rows++
	size := int64(len(ev.Line)) + rowCharge
	e.lines += size
	e.group += size
	e.wrote.rows++
	e.wrote.attributes += int64(len(origin.keys))
}

func (e *encoder) put(column int, v parquet.Value) {
	e.values[column] = append(e.values[column], v)
}

func (e *encoder) addPart(p *schema.Part) {
	if p.Number == 0 {
		for c := colPartLine; c <= colPartCount; c++ {
			e.put(c, null(c))
		}
		return
	}
	e.put(colPartLine, optional(colPartLine, hex.AppendEncode(nil, p.Line[:]), true))
	e.put(colPartNumber, parquet.Int64Value(int64(p.Number)).Level(0, 1, colPartNumber))
	e.put(colPartCount, parquet.Int64Value(int64(p.Count)).Level(0, 1, colPartCount))
}

// writeChunk hands the collected values to the columns, which copy them.
func (e *encoder) writeChunk() error {
	for i, c := range e.columns {
		n, err := c.WriteRowValues(e.values[i])
		if err != nil {
			return fmt.Errorf("write column %d: %w", i, err)
		}
		if n != e.rows {
			return fmt.Errorf("write column %d: it took %d of %d rows", i, n, e.rows)
		}
		clear(e.values[i])
		e.values[i] = e.values[i][:0]
	}
	e.page += e.rows
	e.rows, e.lines = 0, 0
	if e.page < pageRows {
		return nil
	}
	e.page = 0
	for i, c := range e.columns {
		if err := c.Flush(); err != nil {
			return fmt.Errorf("end page of column %d: %w", i, err)
		}
	}
	return nil
}

// serviceValue keeps the last name's value: rows are sorted by service.
func (e *encoder) serviceValue(name string) parquet.Value {
	if name != e.service.name || e.service.value.IsNull() {
		e.service.name = name
		e.service.value = required(colService, []byte(name))
	}
	return e.service.value
}

func (e *encoder) sequence(record int32) parquet.Value {
	v, ok := e.sequences[record]
	if !ok {
		v = required(colSequence, []byte(e.records[record].sequence))
		e.sequences[record] = v
	}
	return v
}

func required(column int, b []byte) parquet.Value {
	return parquet.ByteArrayValue(b).Level(0, 0, column)
}

func optional(column int, b []byte, present bool) parquet.Value {
	if !present {
		return null(column)
	}
	return parquet.ByteArrayValue(b).Level(0, 1, column)
}

func null(column int) parquet.Value { return parquet.Value{}.Level(0, 0, column) }
