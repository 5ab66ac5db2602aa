package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// row is what the lake has of one line.
type row struct {
	line       string
	incomplete bool
	source     string
	time       time.Time
}

// lake holds the rows found so far by container name. Objects never change, so each
// is read once, by an engine that did not write them.
type lake struct {
	dir string

	mu   sync.Mutex
	read map[string]bool
	rows map[string][]row
}

func newLake(dir string) *lake {
	return &lake{dir: dir, read: make(map[string]bool), rows: make(map[string][]row)}
}

// of returns the rows of a container, named as it was started.
func (l *lake) of(container string) []row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]row(nil), l.rows[container]...)
}

// refresh reads the objects that have come since the last call.
func (l *lake) refresh() error {
	l.mu.Lock()
	defer l.mu.Unlock()
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

func (l *lake) object(path string) error {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		l.take(batches.RecordBatch())
	}
	return batches.Err()
}

func (l *lake) take(rec arrow.RecordBatch) {
	column := func(name string) arrow.Array { return rec.Column(rec.Schema().FieldIndices(name)[0]) }
	text, bytes := column("line").(*array.String), column("line_bytes").(*array.Binary)
	container, source := column("container_name").(*array.String), column("source").(*array.String)
	incomplete, at := column("incomplete").(*array.Boolean), column("time").(*array.Timestamp)
	for i := range int(rec.NumRows()) {
		r := row{incomplete: incomplete.Value(i), source: source.Value(i), time: at.Value(i).ToTime(arrow.Microsecond)}
		if text.IsValid(i) {
			r.line = text.Value(i)
		} else {
			r.line = string(bytes.Value(i))
		}
		name := container.Value(i)
		l.rows[name] = append(l.rows[name], r)
	}
}
