package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tributary/cmd/internal/workload"
)

// Imports counts the rows that lie in Treasure Data, by the numbers of their lines.
// What an import brought is a file that never changes, so each is read once.
type Imports struct {
	dir    string
	read   map[string]bool
	counts map[int]int
	files  map[int][]string // of the rows
	faults []string
}

// NewImports looks below dir, where the endpoints keep what was imported.
func NewImports(dir string) *Imports {
	return &Imports{dir: dir, read: map[string]bool{}, counts: map[int]int{}, files: map[int][]string{}}
}

// Counts is how many rows each line has, as of the last Refresh.
func (m *Imports) Counts() map[int]int { return m.counts }

// Faults are the rows that are of no line.
func (m *Imports) Faults() []string { return m.faults }

// Bodies is how many imports brought rows.
func (m *Imports) Bodies() int { return len(m.read) }

// Where names the files of the given lines' rows.
func (m *Imports) Where(numbers []int) (places []string, err error) {
	for _, n := range numbers {
		places = append(places, fmt.Sprintf("line %d: %q", n, m.files[n]))
	}
	return places, nil
}

// Refresh reads the files that have come since the last call.
func (m *Imports) Refresh() error {
	return filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".jsonl") || m.read[path] {
			return err
		}
		m.read[path] = true
		return m.file(path)
	})
}

func (m *Imports) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	rows := bufio.NewScanner(f)
	rows.Buffer(nil, 16<<20)
	for rows.Scan() {
		seed, n, ok := workload.Number(rows.Bytes())
		if !ok || seed != lineSeed {
			m.faults = append(m.faults, fmt.Sprintf("%s has a row of no line: %.80q", path, rows.Text()))
			continue
		}
		m.counts[int(n)]++
		m.files[int(n)] = append(m.files[int(n)], filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path))
	}
	return rows.Err()
}
