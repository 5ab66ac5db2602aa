package docker

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"tributary/cmd/internal/rows"
)

// lake holds the rows found so far by container name. Objects never change, so each
// is read once, by an engine that did not write them.
type lake struct {
	dir string

	mu   sync.Mutex
	read map[string]bool
	rows map[string][]rows.Row
}

func newLake(dir string) *lake {
	return &lake{dir: dir, read: make(map[string]bool), rows: make(map[string][]rows.Row)}
}

// of returns the rows of a container, named as it was started.
func (l *lake) of(container string) []rows.Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rows.Row(nil), l.rows[container]...)
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
		return rows.Read(path, func(r rows.Row) { l.rows[r.Container] = append(l.rows[r.Container], r) })
	})
}
