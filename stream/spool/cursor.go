package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
)

// The cursor file holds two slots that are written in turn, in place. A torn
// write leaves the other slot; and on a full disk the cursor can still move, which
// is what makes room. A slot, little-endian:
//
//	 0  magic "TRBCURSR"
//	 8  version u32
//	12  state length u32
//	16  sequence u64     the slot with the higher one counts
//	24  position u64
//	32  crc u32          of the bytes before and the state
//	36  state
const (
	cursorName       = "cursor"
	cursorMagic      = "TRBCURSR"
	cursorVersion    = 1
	cursorHeaderSize = 36
	maxState         = 1 << 20
	slotSize         = maxState + 4096
)

// cursor is the place before which everything is done.
type cursor struct {
	mu       sync.Mutex
	closed   bool
	file     File
	sequence uint64
	pos      atomic.Uint64

	start      uint64
	startState []byte
}

// Start returns the cursor that Open found, and the state that was set with it;
// nil when there was none. The caller owns state.
func (s *Spool) Start() (pos uint64, state []byte) {
	return s.cursor.start, slices.Clone(s.cursor.startState)
}

// SetCursor says that everything before pos is done, and stores the caller's
// state (at most 1 MiB) with it, both or neither. pos is an Item's Position or
// After, or Head, and never lies before the cursor. When SetCursor returns nil
// the cursor is durable and the segments wholly before pos are deleted. After an
// error either cursor may be found by the next Open.
func (s *Spool) SetCursor(pos uint64, state []byte) error {
	c := &s.cursor
	c.mu.Lock()
	defer c.mu.Unlock()
	switch head := s.Head(); {
	case c.closed:
		return fmt.Errorf("set cursor: %w", ErrClosed)
	case len(state) > maxState:
		return fmt.Errorf("set cursor: state has %d bytes, may have %d", len(state), maxState)
	case pos < c.pos.Load() || pos > head:
		return fmt.Errorf("set cursor: %d is not between the cursor %d and the head %d", pos, c.pos.Load(), head)
	}
	// The slot to write is the one that does not count, also after a failure: the
	// last good slot is never touched.
	next := c.sequence + 1
	slot := appendSlot(nil, next, pos, state)
	if _, err := c.file.WriteAt(slot, int64(next%2)*slotSize); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("sync cursor: %w", err)
	}
	c.sequence = next
	c.pos.Store(pos)
	// If the process dies here, the next Open deletes the segments.
	if err := s.trim(pos); err != nil {
		return fmt.Errorf("set cursor: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showFill()
	if len(s.queue) > 0 {
		signal(s.wake) // see renew
	}
	signal(s.freed)
	return nil
}

func (c *cursor) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

func appendSlot(dst []byte, sequence, pos uint64, state []byte) []byte {
	start := len(dst)
	dst = append(dst, cursorMagic...)
	dst = little.AppendUint32(dst, cursorVersion)
	dst = little.AppendUint32(dst, uint32(len(state)))
	dst = little.AppendUint64(dst, sequence)
	dst = little.AppendUint64(dst, pos)
	sum := checksum(append(slices.Clone(dst[start:]), state...))
	dst = little.AppendUint32(dst, sum)
	return append(dst, state...)
}

type slot struct {
	sequence, pos uint64
	state         []byte
}

// parseSlot reports false for anything but a whole slot.
func parseSlot(b []byte) (slot, bool, error) {
	if len(b) < cursorHeaderSize || string(b[:8]) != cursorMagic {
		return slot{}, false, nil
	}
	n := int64(little.Uint32(b[12:]))
	if n > maxState || n > int64(len(b)-cursorHeaderSize) {
		return slot{}, false, nil
	}
	state := b[cursorHeaderSize : cursorHeaderSize+n]
	if little.Uint32(b[32:]) != checksum(append(slices.Clone(b[:32]), state...)) {
		return slot{}, false, nil
	}
	if v := little.Uint32(b[8:]); v != cursorVersion {
		return slot{}, false, fmt.Errorf("cursor has format version %d, this program reads version %d: a later one wrote it, start that one to empty the spool", v, cursorVersion)
	}
	return slot{sequence: little.Uint64(b[16:]), pos: little.Uint64(b[24:]), state: slices.Clone(state)}, true, nil
}

// loadCursor finds the last cursor, or makes an empty file for it. known is false
// when there was none to be found; damaged says that there should have been.
func (s *Spool) loadCursor() (last slot, known, damaged bool, err error) {
	f, err := s.outside.disk.Edit(s.path(cursorName))
	if errors.Is(err, fs.ErrNotExist) {
		s.cursor.file, err = s.writeNew(cursorName, make([]byte, 2*slotSize))
		return slot{}, false, true, err
	}
	if err != nil {
		return slot{}, false, false, err
	}
	if last, known, damaged, err = lastSlot(f); err != nil {
		f.Close()
		return slot{}, false, false, err
	}
	if size, err := f.Size(); err == nil && size >= 2*slotSize {
		s.cursor.file, s.cursor.sequence = f, last.sequence
		return last, known, damaged, nil
	}
	// A short file: keep what it says, in a file of the right size.
	f.Close()
	fresh := make([]byte, 2*slotSize)
	if known {
		copy(fresh[last.sequence%2*slotSize:], appendSlot(nil, last.sequence, last.pos, last.state))
	}
	s.cursor.file, err = s.writeNew(cursorName, fresh)
	s.cursor.sequence = last.sequence
	return last, known, true, err
}

// lastSlot returns the slot that counts.
func lastSlot(f File) (last slot, known, damaged bool, err error) {
	for at := int64(0); at < 2*slotSize; at += slotSize {
		b, err := readSlot(f, at)
		if err != nil {
			return slot{}, false, false, err
		}
		sl, ok, err := parseSlot(b)
		if err != nil {
			return slot{}, false, false, err
		}
		if ok && (!known || sl.sequence > last.sequence) {
			last, known = sl, true
		}
		damaged = damaged || !ok && !bytes.Equal(b, make([]byte, len(b)))
	}
	return last, known, damaged, nil
}

// readSlot reads as much of a slot as its header says, or the file has.
func readSlot(f File, at int64) ([]byte, error) {
	b := make([]byte, cursorHeaderSize)
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		b = append(b, make([]byte, min(int64(little.Uint32(b[12:])), maxState))...)
		n, err = f.ReadAt(b, at)
	}
	if n < len(b) && err != io.EOF {
		return nil, fmt.Errorf("read cursor: %w", err)
	}
	return b[:n], nil
}
