package spool

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// recover reads what earlier lives left and starts this one's segment.
//
// Only the newest segment is read through: its snapshot and the frames behind it
// say all that is needed of the older ones, whose frames the reader verifies when
// it comes to them. A spool full of backlog therefore opens at once.
func (s *Spool) recover() error {
	if err := s.refuseLater(); err != nil {
		return err
	}
	last, known, damaged, err := s.loadCursor()
	if err != nil {
		return err
	}
	if err := s.measureQuarantine(); err != nil {
		return err
	}
	end, err := s.findSegments()
	if err != nil {
		return err
	}
	if err := s.secureNewest(); err != nil {
		return err
	}
	s.replay()
	pos := s.startAt(last, known, damaged, end)
	s.cursor.start, s.cursor.startState = pos, last.state
	s.cursor.pos.Store(pos)
	s.reader.pos = pos
	s.mu.Lock()
	s.forgetEpochs()
	s.mu.Unlock()
	// Positions are never given twice, not even those of bytes that were lost.
	if err := s.startSegment(max(end, pos)); err != nil {
		return err
	}
	if err := s.trim(pos); err != nil {
		return err
	}
	s.mu.Lock()
	s.showFill()
	s.mu.Unlock()
	return nil
}

// startSegment starts this life's segment. On a full disk it is put off until
// there is room: what fills the disk may be this very log, which only a spool that
// has opened can empty.
func (s *Spool) startSegment(base uint64) error {
	err := s.rotate(base)
	if err == nil || diskError(err) != ErrDiskFull {
		return err
	}
	s.segments = append(s.segments, &segment{base: base, epoch: s.epoch, absent: true})
	s.report(err)
	return nil
}

// secureNewest writes the newest segment once more and syncs it. What a killed
// process wrote and did not sync is there for everybody to read, and a client that
// sends it again is told that it is stored; a power cut would take it all the same.
// A sync alone does not do: where an earlier one failed, the kernel holds for clean
// what it never wrote.
func (s *Spool) secureNewest() error {
	if len(s.segments) == 0 {
		return nil
	}
	g := s.segments[len(s.segments)-1]
	f, err := s.outside.disk.Edit(s.path(g.name()))
	if err != nil {
		return fmt.Errorf("secure segment: %w", err)
	}
	defer f.Close()
	for at := int64(0); at < g.size; at += readAhead {
		block := make([]byte, min(readAhead, g.size-at))
		if readFull(f, block, at) != nil {
			continue // it cannot be told a client that it is stored either, see replay
		}
		if _, err := f.WriteAt(block, at); err != nil {
			return fmt.Errorf("secure segment: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("secure segment: %w", err)
	}
	return nil
}

// refuseLater fails when a later version of this program wrote any segment here.
// It comes before everything that changes the directory (as does the look at the
// cursor's version), so that the later version finds it as it was.
func (s *Spool) refuseLater() error {
	names, err := s.outside.disk.List(s.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if base, ok := segmentBase(name); ok {
			if _, _, err := inspect(s.outside.disk, s.path(name), base); err != nil {
				return fmt.Errorf("segment %s: %w", name, err)
			}
		}
	}
	return nil
}

// findSegments fills s.segments and returns the position behind every file of
// the log, readable or not. It removes temporary files.
func (s *Spool) findSegments() (end uint64, err error) {
	names, err := s.outside.disk.List(s.cfg.Dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			if err := s.outside.disk.Remove(s.path(name)); err != nil {
				return 0, fmt.Errorf("remove temporary file: %w", err)
			}
			continue
		}
		base, ok := segmentBase(name)
		if !ok {
			continue
		}
		g, size, err := inspect(s.outside.disk, s.path(name), base)
		if err != nil {
			return 0, fmt.Errorf("segment %s: %w", name, err)
		}
		end = max(end, base+uint64(size))
		if g == nil {
			if err := s.quarantineFile(name, size); err != nil {
				return 0, err
			}
			continue
		}
		if n := len(s.segments); n > 0 && s.segments[n-1].end() > base {
			s.cutDead(s.segments[n-1], base)
		}
		s.segments = append(s.segments, g)
		s.ages.add(g.base, g.created)
	}
	return end, nil
}

// cutDead ends a segment that was left after a failure, see store, where its
// successor begins. If its file cannot be cut, the successor must stay as well.
func (s *Spool) cutDead(g *segment, end uint64) {
	g.size, g.requestEnd, g.dead = int64(end-g.base), end, true
	f, err := s.outside.disk.Edit(s.path(g.name()))
	if err == nil {
		defer f.Close()
		err = f.Truncate(g.size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		s.log.Warn("dead end of a spool segment stays", "segment", g.name(), "err", err)
		return
	}
	g.dead = false
}

// inspect reads a segment's header; nil when it has none.
func inspect(d Disk, path string, base uint64) (*segment, int64, error) {
	f, err := d.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, 0, err
	}
	b := make([]byte, min(size, segmentHeaderSize))
	if err := readFull(f, b, 0); err != nil {
		return nil, 0, err
	}
	head, ok, err := parseSegmentHeader(b)
	if err != nil || !ok || head.base != base {
		return nil, size, err
	}
	g := &segment{base: base, epoch: head.epoch, created: head.created, size: size}
	g.requestEnd = g.end() // until it is read
	return g, size, nil
}

// replay restores chunk memory and lane keys from the newest segment with a
// snapshot and all segments after it.
func (s *Spool) replay() {
	first := len(s.segments) - 1
	for first > 0 && !s.hasSnapshot(s.segments[first]) {
		first--
	}
	for i := max(first, 0); i < len(s.segments); i++ {
		g := s.segments[i]
		if err := s.replaySegment(g, i == len(s.segments)-1); err != nil {
			// The reader will meet the same error and keep trying; new entries can
			// be taken meanwhile.
			s.log.Error("spool segment cannot be read, its chunk ids and lanes are not known", "segment", g.name(), "err", err)
		}
	}
}

func (s *Spool) hasSnapshot(g *segment) bool {
	f, err := s.outside.disk.Open(s.path(g.name()))
	if err != nil {
		return false
	}
	defer f.Close()
	first, _, err := newScanner(f, segmentHeader{epoch: g.epoch, base: g.base}).next(g.size)
	return err == nil && first.payload != nil && first.kind == frameSnapshot
}

// replaySegment applies a segment's frames. In the newest one it cuts off what
// the last life did not finish writing.
func (s *Spool) replaySegment(g *segment, newest bool) error {
	open := s.outside.disk.Open
	if newest {
		open = s.outside.disk.Edit
	}
	f, err := open(s.path(g.name()))
	if err != nil {
		return err
	}
	defer f.Close()
	sc := newScanner(f, segmentHeader{epoch: g.epoch, base: g.base})
	var tail span   // the bad bytes met last
	var damaged int // stretches that stay for the reader
	var requestEnd uint64
	for sc.off < g.size {
		fr, bad, err := sc.next(g.size)
		if err != nil {
			return err
		}
		if fr.payload == nil {
			tail = bad
			damaged++
			continue
		}
		s.apply(g, fr)
		if fr.kind == frameRequest {
			requestEnd = g.base + uint64(sc.off)
		}
	}
	if newest && !tail.empty() && tail.to == g.size {
		blank, err := sc.blank(tail)
		if err != nil {
			return err
		}
		if s.cutTail(g, f, tail, blank) {
			damaged--
		}
	}
	if damaged > 0 {
		requestEnd = g.end() // the reader will put aside what may have been requests
	}
	g.requestEnd = requestEnd
	return nil
}

func (s *Spool) apply(g *segment, f frame) {
	now := s.outside.now().UnixNano()
	if f.hasChunk {
		s.chunks.add(storedChunk{f.chunk, f.received}, now)
	}
	ok := true
	switch f.kind {
	case frameSnapshot:
		ok = parseSnapshot(f.payload, s.keys, func(c storedChunk) { s.chunks.add(c, now) })
	case frameLane:
		var lane uint32
		var key string
		if lane, key, ok = parseLane(f.payload); ok {
			s.keys.put(g.epoch, lane, key)
		}
	}
	if !ok {
		s.log.Error("spool frame with a sound checksum cannot be understood", "segment", g.name(), "kind", f.kind)
	}
}

// cutTail takes the unfinished end off the newest segment, or the blank that lay ahead.
// If that fails, the reader meets the same bytes later and skips them.
func (s *Spool) cutTail(g *segment, f File, tail span, blank bool) bool {
	if !blank && !s.quarantine(g, f, tail) {
		return false
	}
	if err := f.Truncate(tail.from); err != nil {
		s.log.Warn("unfinished end of a spool segment stays", "segment", g.name(), "err", err)
		return false
	}
	g.size = tail.from
	if err := f.Sync(); err != nil {
		// It may come back, as unfinished as it was.
		s.log.Warn("cut of a spool segment's unfinished end not synced", "segment", g.name(), "err", err)
	}
	return true
}

// startAt decides where reading begins.
func (s *Spool) startAt(last slot, known, damaged bool, end uint64) uint64 {
	oldest := end
	if len(s.segments) > 0 {
		oldest = s.segments[0].base
	}
	switch {
	case !known:
		if damaged && len(s.segments) > 0 {
			s.log.Warn("spool cursor is missing or damaged, everything in the log is read again", "position", oldest)
		}
		return oldest
	case last.pos > end:
		s.log.Error("spool ends before its cursor: committed bytes are gone", "cursor", last.pos, "end", end)
		return last.pos
	}
	// Between the cursor and the oldest segment lie only deleted ones.
	return max(last.pos, oldest)
}

const quarantineName = "quarantine"

func (s *Spool) quarantineDir() string { return filepath.Join(s.cfg.Dir, quarantineName) }

// measureQuarantine counts what lies in quarantine already.
func (s *Spool) measureQuarantine() error {
	names, err := s.outside.disk.List(s.quarantineDir())
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := s.outside.disk.Open(filepath.Join(s.quarantineDir(), name))
		if err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
		size, err := f.Size()
		f.Close()
		if err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
		s.quarantined += size
	}
	return nil
}

// quarantineFile moves away a file that has no segment header.
func (s *Spool) quarantineFile(name string, size int64) error {
	s.metrics.quarantinedBytes.Add(float64(size))
	s.quarantined += size
	s.log.Error("spool file without a sound header is put into quarantine", "segment", name, "bytes", size)
	if err := s.outside.disk.Rename(s.path(name), filepath.Join(s.quarantineDir(), name)); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// quarantine copies bad bytes of f aside, under the name of their position, so
// that a second reading finds them there. It keeps at most SegmentBytes in all;
// beyond that the bytes are only counted. It reports whether the bytes are safe
// or given up, so that the original may go. A failure does not stop the reader:
// on a full disk only reading on makes room.
func (s *Spool) quarantine(g *segment, f File, bad span) bool {
	pos, n := g.base+uint64(bad.from), bad.to-bad.from
	s.metrics.quarantinedBytes.Add(float64(n))
	s.log.Error("damaged spool bytes are put into quarantine", "segment", g.name(), "position", pos, "bytes", n)
	if s.quarantined+n > s.cfg.SegmentBytes {
		s.log.Error("quarantine is full, the bytes are not kept", "position", pos, "bytes", n, "limit", s.cfg.SegmentBytes)
		return true
	}
	if err := s.copyAside(fmt.Sprintf("%016x.bad", pos), io.NewSectionReader(f, bad.from, n)); err != nil {
		s.log.Error("damaged spool bytes could not be copied", "position", pos, "bytes", n, "err", err)
		return false
	}
	s.quarantined += n
	return true
}

func (s *Spool) copyAside(name string, bytes io.Reader) (err error) {
	to, err := s.outside.disk.Create(filepath.Join(s.quarantineDir(), name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := io.Copy(io.NewOffsetWriter(to, 0), bytes); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	return s.outside.disk.SyncDir(s.quarantineDir())
}
