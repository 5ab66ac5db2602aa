package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"tributary/schema"
)

// Lake counts the lines found so far. Objects never change, so each is read once.
type Lake struct {
	dir    string // of the bucket and prefix
	read   map[string]bool
	Count  map[int]int // number → rows
	Rows   int
	Faults []string // rows that are not what was sent
}

// NewLake looks below dir.
func NewLake(dir string) *Lake {
	return &Lake{dir: dir, read: make(map[string]bool), Count: make(map[int]int)}
}

// Refresh reads the objects that have come since the last call.
func (l *Lake) Refresh() error {
	return filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".parquet") || l.read[path] {
			return nil
		}
		l.read[path] = true
		return l.object(path)
	})
}

// object counts the rows of one object and compares each with the line that was
// sent, byte by byte.
func (l *Lake) object(path string) error {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		rec := batches.RecordBatch()
		s := rec.Schema()
		text := rec.Column(s.FieldIndices("line")[0]).(*array.String)
		bytes := rec.Column(s.FieldIndices("line_bytes")[0]).(*array.Binary)
		incomplete := rec.Column(s.FieldIndices("incomplete")[0]).(*array.Boolean)
		for i := range int(rec.NumRows()) {
			line := ""
			if text.IsValid(i) {
				line = text.Value(i)
			} else {
				line = string(bytes.Value(i))
			}
			l.row(path, line, incomplete.IsValid(i) && incomplete.Value(i))
		}
	}
	return batches.Err()
}

func (l *Lake) row(path, line string, incomplete bool) {
	l.Rows++
	n := Number(line)
	want, kind := "", schema.KindUnset
	if n >= 0 {
		want, kind = Line(n)
	}
	switch {
	case n < 0 || line != want || incomplete:
		l.Faults = append(l.Faults, fmt.Sprintf("%s: row of line %d is not what was sent (%d bytes, want %d, incomplete %v): %.80q", path, n, len(line), len(want), incomplete, line))
	case !strings.Contains(path, "kind="+kind.String()):
		l.Faults = append(l.Faults, fmt.Sprintf("line %d is %v and lies in %s", n, kind, path))
	default:
		l.Count[n]++
	}
}

// Missing and Doubled judge what was found against the numbers that were acked.
func (l *Lake) Missing(acked map[int]bool) (missing []int) {
	for n := range acked {
		if l.Count[n] == 0 {
			missing = append(missing, n)
		}
	}
	return missing
}

// Doubled returns the numbers with more than one row.
func (l *Lake) Doubled() (doubled []int) {
	for n, c := range l.Count {
		if c > 1 {
			doubled = append(doubled, n)
		}
	}
	return doubled
}
