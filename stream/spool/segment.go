package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"tributary/schema"
)

const (
	segmentSuffix = ".seg"
	tempSuffix    = ".tmp"
)

// segment is what is known of one file of the log.
type segment struct {
	base  uint64 // log position of the file's first byte
	epoch schema.Epoch
	// created is when it was started, nanoseconds since the Unix epoch.
	created int64
	size    int64 // committed bytes; what the file holds beyond them is dead
	// overhead is the size of header and snapshot, kept for the newest segment.
	overhead int64
	// absent says that there is no file yet: the disk had no room for it when the
	// spool opened.
	absent bool
	// dead says that the file may hold bytes beyond size that must never be read. The
	// base of the next segment says where they begin.
	dead bool
	// requestEnd is the position behind the last request, as far as is known; 0
	// when there is none.
	requestEnd uint64
}

func (g *segment) end() uint64 { return g.base + uint64(g.size) }

// finished says that the segment holds nothing to be read from pos on. Lane keys
// behind the last request are in the snapshots of later segments.
func (g *segment) finished(pos uint64) bool { return g.requestEnd <= pos }

func (g *segment) name() string { return segmentName(g.base) }

func segmentName(base uint64) string { return fmt.Sprintf("%016x%s", base, segmentSuffix) }

func segmentBase(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 16, 63)
	return base, err == nil && segmentName(base) == name
}

// rotate leaves the active segment for a new one that begins at base.
//
// The new file gets its header and snapshot under a temporary name and its own
// name after it is synced, so a crash leaves either no segment or one that stands
// on its own. Once rotate has been tried, the old segment is never written again,
// even if rotate failed: the file of the new name may already exist, and two
// segments must not hold the same positions.
//
// A segment of this life without a request is replaced: base and length, padded,
// stay what they were. On a disk that fails again and again such segments would pile
// up, and deleted they would not say any more where the one before ends.
func (s *Spool) rotate(base uint64) error {
	s.leaving = true
	now := s.outside.now().UnixNano()
	s.mu.Lock()
	replaced, least := 0, int64(0)
	if n := len(s.segments); n > 0 && s.segments[n-1].epoch == s.epoch && s.segments[n-1].requestEnd == 0 {
		base, least, replaced = s.segments[n-1].base, s.segments[n-1].size, 1
	}
	next := &segment{base: base, epoch: s.epoch, created: now}
	content := s.firstBytes(next, now, least)
	s.mu.Unlock()
	next.size = int64(len(content))
	next.overhead = next.size

	f, err := s.writeNew(next.name(), content)
	if err != nil {
		return fmt.Errorf("start segment: %w", err)
	}
	old := s.active
	if old != nil {
		s.dropAhead(old, s.newest())
	}
	s.active, s.leaving = f, false
	s.mu.Lock()
	s.segments = append(s.segments[:len(s.segments)-replaced], next)
	s.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil {
			s.log.Warn("close of a finished spool segment went wrong", "err", err)
		}
	}
	return nil
}

// firstBytes is the header and the snapshot frame of a segment, at least so many
// bytes. s.mu is held.
func (s *Spool) firstBytes(g *segment, now, least int64) []byte {
	b := segmentHeader{epoch: g.epoch, base: g.base, created: now}.append(nil)
	b = appendFrameHeader(b, frame{kind: frameSnapshot, received: now})
	b = appendSnapshot(b, s.keys, s.chunks.living(now))
	b = append(b, make([]byte, max(0, least-int64(len(b))))...) // skipped, as a later version's would be
	snapshot := b[segmentHeaderSize:]
	closeFrame(snapshot, 0)
	sealFrame(snapshot, g.epoch, g.base+segmentHeaderSize)
	return b
}

// writeNew makes a file that exists either whole and durable or not at all.
func (s *Spool) writeNew(name string, content []byte) (File, error) {
	d := s.outside.disk
	temp := s.path(name + tempSuffix)
	f, err := d.Create(temp)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = d.Rename(temp, s.path(name))
	}
	if err == nil {
		err = d.SyncDir(s.cfg.Dir)
	}
	if err != nil {
		f.Close()
		_ = d.Remove(temp) // on a full disk it would take room for nothing
		return nil, err
	}
	return f, nil
}

// trim deletes the segments that hold nothing still to be read: those wholly
// before pos and those without a request. The newest one stays.
func (s *Spool) trim(pos uint64) error {
	s.trimMu.Lock()
	defer s.trimMu.Unlock()
	type victim struct {
		*segment
		behind *segment // the one before, if it has a dead end
	}
	s.mu.Lock()
	var done []victim
	for i, g := range s.segments[:len(s.segments)-1] {
		if !g.finished(pos) {
			continue
		}
		v := victim{segment: g}
		if i > 0 && s.segments[i-1].dead {
			v.behind = s.segments[i-1]
		}
		done = append(done, v)
	}
	s.mu.Unlock()
	if len(done) == 0 {
		return nil
	}
	var errs []error
	gone := make(map[*segment]bool)
	for _, v := range done {
		g := v.segment
		if v.behind != nil {
			if !gone[v.behind] {
				continue // it says where that one ends
			}
			if err := s.outside.disk.SyncDir(s.cfg.Dir); err != nil {
				errs = append(errs, fmt.Errorf("delete segment: %w", err))
				continue
			}
		}
		err := s.outside.disk.Remove(s.path(g.name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("delete segment: %w", err))
			continue
		}
		gone[g] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = slices.DeleteFunc(s.segments, func(g *segment) bool { return gone[g] })
	s.forgetEpochs()
	s.showFill()
	s.admitWaiting()
	return errors.Join(errs...)
}

// forgetEpochs drops the lane keys of earlier epochs of which nothing is left to
// be read. s.mu is held.
func (s *Spool) forgetEpochs() {
	alive := map[schema.Epoch]bool{s.epoch: true}
	for _, g := range s.segments {
		if !g.finished(s.cursor.pos.Load()) {
			alive[g.epoch] = true
		}
	}
	for e := range s.keys {
		if !alive[e] {
			delete(s.keys, e)
		}
	}
}

// used is what counts toward MaxBytes. The newest segment's snapshot does not:
// that segment cannot be deleted, and counted it could fill a small spool alone.
func (s *Spool) used() int64 {
	var n int64
	for _, g := range s.segments {
		n += g.size
	}
	return n - s.segments[len(s.segments)-1].overhead
}
