package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// checkRows reads every object below dir and is an error unless each line that was
// sent is one row.
func checkRows(dir string, seed uint64, lines int64) error {
	t := newTally(seed, lines)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		return countRows(path, t)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the lake: %w", err)
	}
	if err := t.verdict(); err != nil {
		return fmt.Errorf("the lake's rows are wrong: %w", err)
	}
	return nil
}

func countRows(path string, t *tally) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	column := file.Root().Column("line")
	if column == nil {
		return fmt.Errorf("%s has no column line", path)
	}
	pages := column.Pages()
	defer pages.Close()
	values := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := countPage(page, values, t); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		parquet.Release(page)
	}
}

func countPage(page parquet.Page, values []parquet.Value, t *tally) error {
	for reader := page.Values(); ; {
		n, err := reader.ReadValues(values)
		for _, v := range values[:n] {
			t.line(v.ByteArray())
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
