package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"tributary/cmd/internal/cluster"
	"tributary/stream"
)

// An entry is one thing that happened in a worker, by the clock that all processes
// of the machine share.
type entry struct {
	At      time.Time       `json:"at"`
	What    string          `json:"what"`
	Shard   stream.ShardID  `json:"shard,omitempty"`
	Number  int             `json:"number,omitempty"`
	Figures cluster.Metrics `json:"figures,omitempty"`
}

// What happens in a worker.
const (
	wasBorn    = "born"    // Number is the process
	wasOpened  = "opened"  // the sink of Shard: the lease was taken just before
	wasGiven   = "given"   // its first record
	wasReading = "reading" // Number of shards from now on
	wasCounted = "counted" // Figures of the worker's metrics
)

// A diary is a file of entries, one per line. Each is written at once, so that
// kill -9 leaves all that happened before.
type diary struct {
	mu sync.Mutex
	f  *os.File
}

func newDiary(path string) (*diary, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("begin diary: %w", err)
	}
	return &diary{f: f}, nil
}

// note writes an entry. A diary that cannot be written ends the measurement: the
// parent waits for the entry in vain and says so.
func (d *diary) note(e entry) {
	e.At = time.Now()
	text, err := json.Marshal(e)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = d.f.Write(append(text, '\n'))
}

func (d *diary) close() { _ = d.f.Close() }

// readDiary returns what is written so far; nothing of a worker that has not begun.
// A last line that is still being written is left for the next time.
func readDiary(path string) (entries []entry, err error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read diary: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("read diary %s: %w", path, err)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read diary %s: %w", path, err)
	}
	return entries, nil
}

// firsts returns, by shard, the first entry of a kind after a moment.
func firsts(entries []entry, what string, after time.Time) map[stream.ShardID]time.Time {
	found := make(map[stream.ShardID]time.Time)
	for _, e := range entries {
		if _, known := found[e.Shard]; !known && e.What == what && e.At.After(after) {
			found[e.Shard] = e.At
		}
	}
	return found
}

// lastOf is when the last of the shards has its first entry of a kind after a
// moment; false when one has none yet.
func lastOf(entries []entry, what string, after time.Time, shards []stream.ShardID) (last time.Time, all bool) {
	found := firsts(entries, what, after)
	for _, id := range shards {
		at, ok := found[id]
		if !ok {
			return time.Time{}, false
		}
		if at.After(last) {
			last = at
		}
	}
	return last, true
}

// countedIn returns the first figures written after a moment, and the last.
func countedIn(entries []entry, after time.Time) (first, last entry) {
	for _, e := range entries {
		if e.What != wasCounted || !e.At.After(after) {
			continue
		}
		if first.Figures == nil {
			first = e
		}
		last = e
	}
	return first, last
}

// evenSince returns the moment from which on the workers together read all shards
// and differ by one at most, until the end of their diaries; false when they do not
// at that end.
func evenSince(workers [][]entry, shards int) (since time.Time, even bool) {
	type change struct {
		at     time.Time
		worker int
		number int
	}
	var changes []change
	for w, entries := range workers {
		for _, e := range entries {
			if e.What == wasReading {
				changes = append(changes, change{e.At, w, e.Number})
			}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	now := make([]int, len(workers))
	for _, c := range changes {
		now[c.worker] = c.number
		sum := 0
		for _, n := range now {
			sum += n
		}
		was := even
		even = sum == shards && slices.Max(now)-slices.Min(now) <= 1
		if even && !was {
			since = c.at
		}
	}
	return since, even
}
