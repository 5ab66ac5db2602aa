// Package rows reads the objects of a lake back with a library that did not write
// them, and puts the lines of their rows together. It serves tests and benchmarks,
// which compare lines with what was sent.
package rows

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tributary/schema/columns"
)

// Row is a row of a lake.
type Row struct {
	Path      string // of its object
	Kind      string // as the path says
	Line      string // equal to the line that was sent, and the same bytes where it was written compactly
	Time      time.Time
	Arrival   time.Time // of its record in the stream
	Container string    // name
	Source    string
	Shard     string
	Sequence  string
	Index     int64
	// Incomplete rows lack pieces of their line.
	Incomplete bool
}

// String says where the row lies and which event it was.
func (r Row) String() string {
	return fmt.Sprintf("event %d of record %s of %s, in %s", r.Index, r.Sequence, r.Shard, r.Path)
}

// Read calls visit with each row of one object, of any format.
func Read(path string, visit func(Row)) error {
	if err := read(path, visit); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func read(path string, visit func(Row)) error {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		return err
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		b := newBatch(path, batches.RecordBatch())
		for i := range b.rows {
			row, err := b.row(i)
			if err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
			visit(row)
		}
	}
	return batches.Err()
}

// batch is some rows, column by column.
type batch struct {
	path, kind string
	rows       int
	columns    map[string]arrow.Array
}

func newBatch(path string, rec arrow.RecordBatch) *batch {
	b := &batch{path: path, rows: int(rec.NumRows()), columns: map[string]arrow.Array{}}
	for part := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if kind, is := strings.CutPrefix(part, "kind="); is {
			b.kind = kind
		}
	}
	for i, a := range rec.Columns() {
		b.columns[rec.ColumnName(i)] = a
	}
	return b
}

func (b *batch) row(i int) (Row, error) {
	r := Row{
		Path: b.path, Kind: b.kind,
		Container: b.text("container_name", i), Source: b.text("source", i), Shard: b.text("shard", i), Sequence: b.text("sequence", i),
	}
	if a, ok := b.columns["time"].(*array.Timestamp); ok {
		r.Time = a.Value(i).ToTime(arrow.Microsecond)
	}
	if a, ok := b.columns["ingest_time"].(*array.Timestamp); ok {
		r.Arrival = a.Value(i).ToTime(arrow.Microsecond)
	}
	if a, ok := b.columns["index"].(*array.Int64); ok {
		r.Index = a.Value(i)
	}
	if a, ok := b.columns["incomplete"].(*array.Boolean); ok {
		r.Incomplete = a.Value(i)
	}
	line, err := b.line(i, r.Time)
	r.Line = line
	return r, err
}

// line is the row's line: as it is kept, or put together of its cells.
func (b *batch) line(i int, at time.Time) (string, error) {
	if a, ok := b.columns["line_bytes"].(*array.Binary); ok && a.IsValid(i) {
		return string(a.Value(i)), nil
	}
	if a, ok := b.columns["line"]; ok { // format 1
		return a.ValueStr(i), nil
	}
	attributes := b.entries("attributes", i)
	cells := columns.Cells{
		Time:      at.UnixMicro(),
		Column:    func(name string) ([]byte, bool) { return b.cell(name, i) },
		Attribute: func(name string) ([]byte, bool) { v, ok := attributes[name]; return []byte(v), ok },
	}
	cells.Shape, _ = b.cell("shape", i)
	line, err := cells.Line()
	return string(line), err
}

func (b *batch) cell(name string, i int) ([]byte, bool) {
	a := b.columns[name]
	if a == nil || a.IsNull(i) {
		return nil, false
	}
	return []byte(a.ValueStr(i)), true
}

func (b *batch) text(name string, i int) string {
	text, _ := b.cell(name, i)
	return string(text)
}

// entries are those of a map.
func (b *batch) entries(name string, i int) map[string]string {
	a, ok := b.columns[name].(*array.Map)
	if !ok {
		return nil
	}
	keys, values := a.Keys().(*array.String), a.Items().(*array.String)
	from, to := a.ValueOffsets(i)
	out := make(map[string]string, to-from)
	for k := int(from); k < int(to); k++ {
		out[keys.Value(k)] = values.Value(k)
	}
	return out
}
