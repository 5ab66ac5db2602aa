package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// warnDropsEvery is how often dropping is logged at most.
const warnDropsEvery = 10 * time.Second

// drops is what was given up and not yet logged. Of the goroutine of DropOldest.
type drops struct {
	segments       int
	entries, bytes int64
	warned         time.Time
}

// Full has a token when appends wait for room on the disk and OnFull is
// OnFullDropOldest: then DropOldest should be called.
func (s *Spool) Full() <-chan struct{} { return s.full }

// askForRoom puts the token into Full, if the configuration allows dropping.
func (s *Spool) askForRoom() {
	if s.cfg.OnFull == OnFullDropOldest {
		signal(s.full)
	}
}

// DropOldest gives up the oldest segments, the newest excepted, until appends need
// not wait for room: their entries that Next has not returned are counted and never
// will be returned. It does so by moving the cursor, so what is given up is given
// up in the next life too; state returns what to store with a cursor at pos.
// DropOldest returns the cursor; the next Item has Gap set if anything unread lay
// before. One goroutine calls it, and nobody else SetCursor meanwhile.
func (s *Spool) DropOldest(state func(pos uint64) []byte) (cursor uint64, err error) {
	once := errors.Is(s.Usable(), ErrDiskFull)
	for dropped := true; dropped && (s.wantsRoom() || once); once = false {
		if dropped, err = s.dropOne(state); err != nil {
			return s.cursor.pos.Load(), fmt.Errorf("drop oldest: %w", err)
		}
	}
	return s.cursor.pos.Load(), nil
}

func (s *Spool) wantsRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starved()
}

// dropOne holds the reader still, so that each entry is either read or counted.
func (s *Spool) dropOne(state func(uint64) []byte) (bool, error) {
	r := &s.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	victims, until := s.oldest()
	if len(victims) == 0 {
		return false, nil
	}
	var entries, bytes int64
	for _, g := range victims {
		n, size, err := s.countUnread(g)
		if err != nil {
			s.log.Warn("a spool segment to be dropped cannot be read to its end, entries counted may be too few", "segment", g.name(), "err", err)
		}
		entries, bytes = entries+n, bytes+size
	}
	err := s.SetCursor(until, state(until))
	if s.cursor.pos.Load() < until {
		return false, err
	}
	if r.pos < until {
		r.pos, r.gap = until, true
		r.leave()
	}
	s.drops.segments += len(victims)
	s.countDropped(entries, bytes, until)
	return true, err
}

// oldest returns the segments up to the first that is not done, and where that
// ends.
func (s *Spool) oldest() (victims []*segment, until uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pos := s.cursor.pos.Load()
	for _, g := range s.segments[:len(s.segments)-1] {
		victims = append(victims, g)
		if !g.finished(pos) {
			return victims, g.end()
		}
	}
	return nil, 0
}

// countUnread counts the entries of g that the reader has not returned, and the
// bytes of their payloads. The reader's mutex is held.
func (s *Spool) countUnread(g *segment) (entries, bytes int64, err error) {
	pos := s.reader.pos
	if g.finished(pos) {
		return 0, 0, nil
	}
	f, err := s.outside.disk.Open(s.path(g.name()))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for sc := newScanner(f, segmentHeader{epoch: g.epoch, base: g.base}); sc.off < g.size; {
		fr, bad, err := sc.next(g.size)
		if err != nil {
			return entries, bytes, err
		}
		if !bad.empty() && g.base+uint64(bad.to) > pos {
			s.quarantine(g, f, bad)
		}
		if fr.kind != frameRequest {
			continue
		}
		end := g.base + uint64(sc.off)
		for rest := fr.payload; len(rest) > 0; {
			var e entry
			e, rest, _ = cutEntry(rest)
			if end-uint64(len(rest)) > pos {
				entries, bytes = entries+1, bytes+int64(len(e.payload))
			}
		}
	}
	return entries, bytes, nil
}

func (s *Spool) countDropped(entries, bytes int64, until uint64) {
	s.metrics.droppedEntries.Add(float64(entries))
	s.metrics.droppedBytes.Add(float64(bytes))
	d := &s.drops
	d.entries, d.bytes = d.entries+entries, d.bytes+bytes
	if time.Since(d.warned) < warnDropsEvery {
		return
	}
	s.log.Warn("spool is full, its oldest entries are dropped", "segments", d.segments, "entries", d.entries, "bytes", d.bytes, "until", until)
	s.drops = drops{warned: time.Now()}
}
