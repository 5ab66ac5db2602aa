package lake

import (
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"tributary/schema"
	"tributary/schema/columns"
	"tributary/sinks/held"
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
// dictionaries and compressors of all columns, and the record being decoded.
const encodeCharge = 8 << 20

// usualCompression is how much smaller an object is than its lines, rather too
// little: a buffer that grows is there twice for a while.
const usualCompression = 4

// tally is what an object must hold; the footer is checked against it.
type tally struct {
	rows    int64
	entries int64 // of the map, counting 1 for an empty one
}

// encoder turns sorted rows into a Parquet file. It lives for one object.
type encoder struct {
	layout  *layout
	splits  *columns.Splitter
	file    *parquet.GenericWriter[any]
	out     *objectBuffer
	columns []*parquet.ColumnWriter
	values  [][]parquet.Value // by leaf
	rows    int
	entries int   // of the map of the row at hand
	lines   int64 // bytes in values
	page    int   // rows since all columns ended a page
	group   int64 // bytes in the open row group
	cut     sizes
	wrote   tally

	nulls      []parquet.Value // by leaf
	shard      []byte
	shardValue parquet.Value
	records    []held.Record
	sequences  []parquet.Value // of records; null: not made yet
	origins    map[*schema.Origin]*originValues
	service    string
	named      parquet.Value // service
}

// sizes cut an object into row groups and pages.
type sizes struct{ rowGroup, page int64 }

// cells are a row on its way into the columns.
type cells struct {
	row     *held.Row
	line    *held.Line
	service string
	record  *held.Record
	origin  *originValues
	split   *columns.Row
}

// newEncoder begins an object of some bytes of lines.
func newEncoder(l *layout, splits *columns.Splitter, shard stream.ShardID, records []held.Record, codec *zstd.Codec, cut sizes, bytes int64) *encoder {
	out := &objectBuffer{bytes: make([]byte, 0, bytes/usualCompression)}
	e := &encoder{
		layout:    l,
		splits:    splits,
		file:      l.newFile(out, codec, cut.page, bytes),
		out:       out,
		values:    make([][]parquet.Value, l.leaves),
		cut:       cut,
		nulls:     make([]parquet.Value, l.leaves),
		shard:     []byte(shard),
		records:   records,
		sequences: make([]parquet.Value, len(records)),
		origins:   map[*schema.Origin]*originValues{},
	}
	for leaf := range e.nulls {
		e.nulls[leaf] = parquet.Value{}.Level(0, 0, leaf)
	}
	e.columns = e.file.ColumnWriters()
	return e
}

// add appends one row. The line has to stay until writeChunk.
func (e *encoder) add(r *held.Row, l *held.Line, service string) error {
	c := cells{row: r, line: l, service: service, record: &e.records[r.Record], origin: e.origin(l.Origin)}
	if l.Part.Number != 0 { // its bytes count, to be put behind those of the others
		c.split = e.splits.SplitText(l.Text)
	} else {
		c.split = e.splits.Split(l.Text, micros(r.Time), service)
	}
	for i := range e.layout.table {
		e.layout.table[i].put(e, e.layout.leaf[i], &c)
	}
	e.rows++
	e.lines += int64(r.Bytes)
	e.group += int64(r.Bytes)
	e.wrote.rows++
	if e.rows < chunkRows && e.lines < e.cut.page {
		return nil
	}
	if err := e.writeChunk(); err != nil {
		return err
	}
	if e.group >= e.cut.rowGroup {
		if err := e.file.Flush(); err != nil {
			return fmt.Errorf("close row group: %w", err)
		}
		e.group, e.page = 0, 0
	}
	return nil
}

// close ends the file, behind the last chunk.
func (e *encoder) close() ([]byte, tally, error) {
	if err := e.file.Close(); err != nil {
		return nil, tally{}, fmt.Errorf("close file: %w", err)
	}
	return e.out.bytes, e.wrote, nil
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
	e.splits.Forget()
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
