package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"tributary/cmd/internal/rows"
)

// checkRows reads every object below dir and is an error unless each line that was
// sent is one row.
func checkRows(dir string, seed uint64, lines int64) error {
	t := newTally(seed, lines)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		return rows.Read(path, func(r rows.Row) { t.line([]byte(r.Line)) })
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the lake: %w", err)
	}
	if err := t.verdict(); err != nil {
		return fmt.Errorf("the lake's rows are wrong: %w", err)
	}
	return nil
}
