package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tributary/schema"
)

// Report is what Inspect finds in a spool's directory. "Left" is what lies behind
// the cursor: the stream may not have it.
type Report struct {
	Dir    string `json:"dir"`
	Locked bool   `json:"locked"` // a process works on it: the figures are of several moments

	Cursor      uint64 `json:"cursor"`
	CursorKnown bool   `json:"cursor_known"` // false: missing or damaged, everything counts as left
	StateBytes  int    `json:"state_bytes"`

	Segments []SegmentReport `json:"segments"` // oldest first
	Epochs   []EpochReport   `json:"epochs"`   // in the order of the log

	Count
	Left   Count      `json:"left"`
	Oldest *time.Time `json:"oldest_left,omitempty"` // when the oldest of what is left came

	Quarantined QuarantineReport `json:"quarantine"`
}

// Count counts entries.
type Count struct {
	Entries int64 `json:"entries"` // marks included
	Bytes   int64 `json:"bytes"`   // of their payloads
}

func (c *Count) add(bytes int) { c.Entries, c.Bytes = c.Entries+1, c.Bytes+int64(bytes) }

// SegmentReport is one file of the log.
type SegmentReport struct {
	Name      string    `json:"name"`
	Base      uint64    `json:"base"`
	FileBytes int64     `json:"file_bytes"`
	Created   time.Time `json:"created"`
	Epoch     string    `json:"epoch"`
	Requests  int64     `json:"requests"`
	Count
	Left         Count  `json:"left"`
	DamagedBytes int64  `json:"damaged_bytes"` // an unfinished end included
	Fault        string `json:"fault,omitempty"`
}

// EpochReport is one life of the spool.
type EpochReport struct {
	Epoch string       `json:"epoch"`
	Lanes []LaneReport `json:"lanes"`
}

// LaneReport is one lane of an epoch.
type LaneReport struct {
	Lane uint32 `json:"lane"`
	Key  string `json:"key"` // empty: lost with a damaged segment
	Count
	Left  Count  `json:"left"`
	First uint64 `json:"first_offset"`
	Last  uint64 `json:"last_offset"`
}

// QuarantineReport is what was put aside.
type QuarantineReport struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Inspect looks at the spool in dir, or at a copy of one, and changes nothing. On a
// directory that a process works on it does what it can: see Report.Locked.
func Inspect(dir string) (*Report, error) {
	v := inspection{Report: &Report{Dir: dir}, keys: make(laneKeys)}
	if err := v.look(); err != nil {
		return nil, fmt.Errorf("inspect spool %s: %w", dir, err)
	}
	return v.Report, nil
}

type inspection struct {
	*Report
	segments []*segment
	keys     laneKeys
	epochs   []schema.Epoch
	lanes    map[schema.Epoch]map[uint32]*LaneReport
}

func (v *inspection) look() (err error) {
	if v.Locked, err = locked(v.Dir); err != nil {
		return err
	}
	if err := v.lookAtCursor(); err != nil {
		return err
	}
	names, err := LocalDisk.List(v.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		base, ok := segmentBase(name)
		if !ok {
			continue
		}
		if err := v.addSegment(name, base); err != nil {
			return fmt.Errorf("segment %s: %w", name, err)
		}
	}
	if len(v.segments) == 0 && !v.CursorKnown {
		return errors.New("there is no spool here: neither segments nor a cursor")
	}
	v.lanes = make(map[schema.Epoch]map[uint32]*LaneReport)
	for i, g := range v.segments {
		if g.epoch != (schema.Epoch{}) {
			v.scan(g, &v.Segments[i])
		}
	}
	v.listEpochs()
	return v.lookAtQuarantine()
}

// locked asks for the lock without making its file.
func locked(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // gives the lock back
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

func (v *inspection) lookAtCursor() error {
	f, err := LocalDisk.Open(filepath.Join(v.Dir, cursorName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	last, known, _, err := lastSlot(f)
	v.Cursor, v.CursorKnown, v.StateBytes = last.pos, known, len(last.state)
	return err
}

func (v *inspection) addSegment(name string, base uint64) error {
	g, size, err := inspect(LocalDisk, filepath.Join(v.Dir, name), base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted since it was listed
	}
	if err != nil {
		return err
	}
	r := SegmentReport{Name: name, Base: base, FileBytes: size}
	if g == nil {
		r.Fault, r.DamagedBytes = "no sound header", size
		g = &segment{base: base, size: size}
	} else {
		r.Epoch, r.Created = g.epoch.String(), time.Unix(0, g.created).UTC()
	}
	if n := len(v.segments); n > 0 && v.segments[n-1].end() > base {
		v.segments[n-1].size = int64(base - v.segments[n-1].base) // see store
	}
	v.segments, v.Segments = append(v.segments, g), append(v.Segments, r)
	return nil
}

// scan counts what g holds. What cannot be read is told in r.
func (v *inspection) scan(g *segment, r *SegmentReport) {
	if !slices.Contains(v.epochs, g.epoch) {
		v.epochs = append(v.epochs, g.epoch)
		v.lanes[g.epoch] = make(map[uint32]*LaneReport)
	}
	f, err := LocalDisk.Open(filepath.Join(v.Dir, g.name()))
	if err != nil {
		r.Fault = err.Error()
		return
	}
	defer f.Close()
	for sc := newScanner(f, segmentHeader{epoch: g.epoch, base: g.base}); sc.off < g.size; {
		fr, bad, err := sc.next(g.size)
		if err != nil {
			r.Fault = err.Error()
			return
		}
		if ahead, err := sc.blank(bad); bad.to < g.size || err != nil || !ahead {
			r.DamagedBytes += bad.to - bad.from
		}
		switch {
		case !bad.empty():
		case fr.kind == frameSnapshot:
			parseSnapshot(fr.payload, v.keys, func(storedChunk) {})
		case fr.kind == frameLane:
			if lane, key, ok := parseLane(fr.payload); ok {
				v.keys.put(g.epoch, lane, key)
			}
		case fr.kind == frameRequest:
			r.Requests++
			v.count(g, r, fr, g.base+uint64(sc.off))
		}
	}
}

// count counts the entries of a frame that ends at end.
func (v *inspection) count(g *segment, r *SegmentReport, fr frame, end uint64) {
	for rest := fr.payload; len(rest) > 0; {
		var e entry
		e, rest, _ = cutEntry(rest)
		lane := v.lanes[g.epoch][e.lane]
		if lane == nil {
			lane = &LaneReport{Lane: e.lane, First: e.offset}
			v.lanes[g.epoch][e.lane] = lane
		}
		lane.Last = e.offset
		for _, c := range []*Count{&v.Count, &r.Count, &lane.Count} {
			c.add(len(e.payload))
		}
		if end-uint64(len(rest)) <= v.Cursor {
			continue
		}
		for _, c := range []*Count{&v.Left, &r.Left, &lane.Left} {
			c.add(len(e.payload))
		}
		if v.Oldest == nil {
			at := time.Unix(0, fr.received).UTC()
			v.Oldest = &at
		}
	}
}

func (v *inspection) listEpochs() {
	for _, e := range v.epochs {
		r := EpochReport{Epoch: e.String()}
		for lane, key := range v.keys[e] {
			if v.lanes[e][lane] == nil {
				v.lanes[e][lane] = &LaneReport{Lane: lane}
			}
			v.lanes[e][lane].Key = key
		}
		for _, lane := range slices.Sorted(maps.Keys(v.lanes[e])) {
			r.Lanes = append(r.Lanes, *v.lanes[e][lane])
		}
		v.Epochs = append(v.Epochs, r)
	}
}

func (v *inspection) lookAtQuarantine() error {
	found, err := os.ReadDir(filepath.Join(v.Dir, quarantineName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range found {
		info, err := e.Info()
		if err != nil {
			return err
		}
		v.Quarantined.Files++
		v.Quarantined.Bytes += info.Size()
	}
	return nil
}
