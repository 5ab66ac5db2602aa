package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tributary/schema"
	"tributary/stream"
)

// Lake counts the lines found so far. Objects never change, so each is read once.
type Lake struct {
	dir    string // of the bucket and prefix
	read   map[string]bool
	counts map[int]int // number → rows
	places []place     // of the counted rows
	faults []string
}

// NewLake looks below dir.
func NewLake(dir string) *Lake {
	return &Lake{dir: dir, read: make(map[string]bool), counts: make(map[int]int)}
}

// Counts is how many rows each line has, as of the last Refresh.
func (l *Lake) Counts() map[int]int { return l.counts }

// Faults are the rows that are no line as it was sent, or lie in the wrong place.
func (l *Lake) Faults() []string { return l.faults }

// Objects is how many were read.
func (l *Lake) Objects() int { return len(l.read) }

// Refresh reads the objects that have come since the last call.
func (l *Lake) Refresh() error {
	return l.walk(func(path string) error {
		if l.read[path] {
			return nil
		}
		l.read[path] = true
		return rows(path, l.count)
	})
}

// Where says of each row of the given lines in which object it lies and which record
// it came from. It reads everything.
func (l *Lake) Where(numbers []int) (places []string, err error) {
	err = l.walk(func(path string) error {
		return rows(path, func(r row) {
			if n := Number(r.line); slices.Contains(numbers, n) {
				places = append(places, fmt.Sprintf("line %d: %v", n, r))
			}
		})
	})
	slices.Sort(places)
	return places, err
}

func (l *Lake) walk(object func(path string) error) error {
	return filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		return object(path)
	})
}

// row is what is looked at of one.
type row struct {
	path       string
	line       string
	incomplete bool
	shard      string
	sequence   string
	index      int64
}

// columns are those of a row.
var columns = []string{"line", "line_bytes", "incomplete", "shard", "sequence", "index"}

// rows calls visit with each row of one object.
func rows(path string, visit func(row)) error {
	table, err := readTable(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		batch := batches.RecordBatch()
		column := func(name string) arrow.Array { return batch.Column(batch.Schema().FieldIndices(name)[0]) }
		text, bytes := column("line").(*array.String), column("line_bytes").(*array.Binary)
		incomplete := column("incomplete").(*array.Boolean)
		shard, sequence, index := column("shard").(*array.String), column("sequence").(*array.String), column("index").(*array.Int64)
		for i := range int(batch.NumRows()) {
			r := row{
				path: path, line: text.Value(i), incomplete: incomplete.Value(i),
				shard: shard.Value(i), sequence: sequence.Value(i), index: index.Value(i),
			}
			if text.IsNull(i) {
				r.line = string(bytes.Value(i))
			}
			visit(r)
		}
	}
	return batches.Err()
}

func readTable(path string) (arrow.Table, error) {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	var wanted, groups []int
	for _, name := range columns {
		wanted = append(wanted, r.MetaData().Schema.ColumnIndexByName(name))
	}
	for i := range r.NumRowGroups() {
		groups = append(groups, i)
	}
	return fr.ReadRowGroups(context.Background(), wanted, groups)
}

// count compares a row with the line that was sent, byte by byte.
func (l *Lake) count(r row) {
	n := Number(r.line)
	want, kind := "", schema.KindUnset
	if n >= 0 {
		want, kind = Line(n)
	}
	switch {
	case n < 0 || r.line != want || r.incomplete:
		l.faults = append(l.faults, fmt.Sprintf("%v is not line %d as it was sent (%d bytes, want %d, incomplete %v): %.80q", r, n, len(r.line), len(want), r.incomplete, r.line))
	case !strings.Contains(r.path, "kind="+kind.String()+"/"):
		l.faults = append(l.faults, fmt.Sprintf("%v, line %d, is %v", r, n, kind))
	default:
		l.counts[n]++
		l.places = append(l.places, place{n, r.shard, stream.SequenceNumber(r.sequence), r.index})
	}
}

// String says where the row lies and which event it was.
func (r row) String() string {
	return fmt.Sprintf("event %d of record %s of %s, in %s", r.index, r.sequence, r.shard, r.path)
}
