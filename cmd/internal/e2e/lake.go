package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"tributary/cmd/internal/rows"
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
		return rows.Read(path, l.count)
	})
}

// Where says of each row of the given lines in which object it lies and which record
// it came from. It reads everything.
func (l *Lake) Where(numbers []int) (places []string, err error) {
	err = l.walk(func(path string) error {
		return rows.Read(path, func(r rows.Row) {
			if n := Number(r.Line); slices.Contains(numbers, n) {
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

// count compares a row with the line that was sent, byte by byte.
func (l *Lake) count(r rows.Row) {
	n := Number(r.Line)
	want, kind := "", schema.KindUnset
	if n >= 0 {
		want, kind = Line(n)
	}
	switch {
	case n < 0 || r.Line != want || r.Incomplete:
		l.faults = append(l.faults, fmt.Sprintf("%v is not line %d as it was sent (%d bytes, want %d, incomplete %v): %.80q", r, n, len(r.Line), len(want), r.Incomplete, r.Line))
	case !strings.Contains(r.Path, "kind="+kind.String()+"/"):
		l.faults = append(l.faults, fmt.Sprintf("%v, line %d, is %v", r, n, kind))
	default:
		l.counts[n]++
		l.places = append(l.places, place{n, r.Shard, stream.SequenceNumber(r.Sequence), r.Index})
	}
}
