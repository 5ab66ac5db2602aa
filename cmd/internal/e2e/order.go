package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/stream"
)

// place is where a line came from: the row says so.
type place struct {
	line     int
	shard    string
	sequence stream.SequenceNumber
	index    int64
}

func (p place) compare(o place) int {
	return cmp.Or(p.sequence.Compare(o.sequence), cmp.Compare(p.index, o.index))
}

// Overtaken lists rows that stand before an earlier line of their lane. A lane is in
// one shard at a time and a child's sequence numbers are above its parents', so the
// order within each shard and across a reshard is one and the same.
func (l *Lake) Overtaken(lane func(line int) int) (faults []string) {
	slices.SortFunc(l.places, place.compare)
	latest := make(map[int]place)
	for _, p := range l.places {
		before, ok := latest[lane(p.line)]
		if ok && before.line >= p.line {
			faults = append(faults, fmt.Sprintf("lane %d: line %d (%s of %s) stands behind line %d (%s of %s)",
				lane(p.line), p.line, p.sequence, p.shard, before.line, before.sequence, before.shard))
		}
		latest[lane(p.line)] = p
	}
	return faults
}

// span is one range as its manifest tells it.
type span struct {
	Shard              string
	Generation         uint64
	After, First, Last stream.SequenceNumber
	Truncated          bool
	Plan               string
	Rows, Duplicates   int
	Objects            []struct {
		Key  string
		Rows int
	}
	ended  time.Time // when the manifest, the last object of a flush, was written
	prefix string    // of the lake, below the directory looked at; "" for that itself
}

// Ranges are the lake's manifests: by shard, in the order of their sequence numbers.
type Ranges map[string][]span

// Ranges reads the manifests of all lakes below the directory.
func (l *Lake) Ranges() (Ranges, error) {
	ranges := make(Ranges)
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		below, err := filepath.Rel(l.dir, path)
		if err != nil {
			return err
		}
		prefix, _, ok := strings.Cut("/"+filepath.ToSlash(below), "/_ranges/")
		if !ok {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s := span{ended: info.ModTime(), prefix: strings.TrimPrefix(prefix, "/")}
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		ranges[s.Shard] = append(ranges[s.Shard], s)
		return nil
	})
	for _, spans := range ranges {
		slices.SortFunc(spans, func(a, b span) int { return a.First.Compare(b.First) })
	}
	return ranges, err
}

// Duplicates is how many events were dropped as delivered before.
func (r Ranges) Duplicates() (n int) {
	for _, spans := range r {
		for _, s := range spans {
			n += s.Duplicates
		}
	}
	return n
}

// Unchained lists where the ranges of a shard leave a gap, overlap, or came into
// being in another order than they stand; and children that were begun before their
// parents were finished.
func (r Ranges) Unchained(shards []types.Shard) (faults []string) {
	for shard, spans := range r {
		var before span
		for _, s := range spans {
			switch {
			case s.Truncated || s.Generation != 0 || s.First.Compare(s.Last) > 0:
				faults = append(faults, fmt.Sprintf("%s: %+v is no whole range", shard, s))
			case s.After != before.Last:
				faults = append(faults, fmt.Sprintf("%s: %+v does not go on where %+v ended", shard, s, before))
			case s.ended.Before(before.ended):
				faults = append(faults, fmt.Sprintf("%s: %+v was finished before %+v", shard, s, before))
			}
			before = s
		}
	}
	for _, shard := range shards {
		for _, p := range parentsOf(shard) {
			child, parent := r[*shard.ShardId], r[p]
			if len(child) > 0 && len(parent) > 0 && child[0].ended.Before(parent[len(parent)-1].ended) {
				faults = append(faults, fmt.Sprintf("%+v of a child was finished before %+v of its parent", child[0], parent[len(parent)-1]))
			}
		}
	}
	slices.Sort(faults)
	return faults
}
