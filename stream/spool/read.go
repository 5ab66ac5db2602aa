package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"tributary/schema"
)

// Item is one committed entry.
type Item struct {
	Position uint64 // of this entry; a cursor set to it reads the entry again
	After    uint64 // the position behind it; a cursor set to it does not
	Epoch    schema.Epoch
	Lane     uint32
	Offset   uint64
	Mark     bool
	Gap      bool   // entries between the item before and this one were dropped
	Received int64  // when it was appended, nanoseconds since the Unix epoch
	Payload  []byte // valid until the next call of Next
}

// reader is the place of Next in the log.
type reader struct {
	mu     sync.Mutex // against close; Next itself belongs to one goroutine
	closed bool

	pos  uint64 // everything before is delivered or skipped
	seg  *segment
	file File
	scan *scanner
	end  int64 // how far seg was committed when last looked

	frame   frame
	frameAt uint64
	rest    []byte // entries of frame that are still to be delivered
	gap     bool   // entries before pos were dropped, and nobody was told yet
}

// Next returns the entry behind the one before, from the cursor that Open found
// on. It waits until one is committed, ctx ends or the spool closes (ErrClosed).
// After any other error it may be called again and goes on at the same place.
// Damaged bytes are put into quarantine and skipped. One goroutine calls it.
func (s *Spool) Next(ctx context.Context) (Item, error) {
	for {
		it, ok, err := s.read()
		if err != nil {
			return Item{}, fmt.Errorf("read spool: %w", err)
		}
		if ok {
			return it, nil
		}
		select {
		case <-s.committed:
		case <-s.closed:
			return Item{}, fmt.Errorf("read spool: %w", ErrClosed)
		case <-ctx.Done():
			return Item{}, ctx.Err()
		}
	}
}

// Pending reports whether a committed entry lies before Next, so that Next will
// not wait. The goroutine of Next calls it; payloads stay valid.
func (s *Spool) Pending() bool {
	s.reader.mu.Lock()
	defer s.reader.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.reader.rest) > 0 || slices.ContainsFunc(s.segments, func(g *segment) bool {
		return !g.finished(s.reader.pos)
	})
}

func (s *Spool) read() (Item, bool, error) {
	r := &s.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.closed {
			return Item{}, false, ErrClosed
		}
		for len(r.rest) > 0 {
			if it := r.cut(); it.After > r.pos {
				r.pos = it.After
				it.Gap, r.gap = r.gap, false
				return it, true, nil
			}
		}
		if more, err := s.load(); !more || err != nil {
			return Item{}, false, err
		}
	}
}

// cut takes the next entry off the frame.
func (r *reader) cut() Item {
	at := r.frameAt + frameHeaderSize + uint64(len(r.frame.payload)-len(r.rest))
	e, rest, _ := cutEntry(r.rest) // a whole frame was taken apart once before
	it := Item{
		Position: at, After: at + uint64(len(r.rest)-len(rest)),
		Epoch: r.scan.head.epoch, Lane: e.lane, Offset: e.offset, Mark: e.mark,
		Received: r.frame.received, Payload: e.payload,
	}
	r.rest = rest
	return it
}

// load reads the next frame. It reports false when everything committed is read.
func (s *Spool) load() (bool, error) {
	r := &s.reader
	if r.scan == nil || r.scan.off >= r.end {
		if found, err := s.seek(); !found || err != nil {
			return false, err
		}
	}
	f, bad, err := r.scan.next(r.end)
	if err != nil {
		return false, err
	}
	if !bad.empty() {
		s.quarantine(r.seg, r.file, bad)
	}
	after := r.seg.base + uint64(r.scan.off)
	if len(f.payload) == 0 || f.kind != frameRequest || after <= r.pos {
		r.pos = max(r.pos, after)
		return true, nil
	}
	r.frame, r.rest = f, f.payload
	r.frameAt = after - frameHeaderSize - uint64(f.length)
	return true, nil
}

// seek makes seg the segment in which the log goes on behind pos, and end its
// committed length. It reports false when there is none.
func (s *Spool) seek() (bool, error) {
	r := &s.reader
	for {
		s.mu.Lock()
		var next *segment
		var end int64
		if i := slices.IndexFunc(s.segments, func(g *segment) bool { return g.end() > r.pos }); i >= 0 {
			next, end = s.segments[i], s.segments[i].size
		}
		s.mu.Unlock()
		if next == nil {
			return false, nil
		}
		if next == r.seg {
			r.end = end
			return true, nil
		}
		f, err := s.outside.disk.Open(s.path(next.name()))
		if errors.Is(err, fs.ErrNotExist) {
			// Trimmed between the look and here: it held nothing still to be read.
			r.pos = next.base + uint64(end)
			continue
		}
		if err != nil {
			return false, err
		}
		if r.file != nil {
			r.file.Close()
		}
		r.seg, r.file, r.end = next, f, end
		r.scan = newScanner(f, segmentHeader{epoch: next.epoch, base: next.base})
		return true, nil
	}
}

// leave lets go of the segment that is being read.
func (r *reader) leave() {
	if r.file != nil {
		r.file.Close()
	}
	r.seg, r.file, r.scan, r.rest = nil, nil, nil, nil
}

func (r *reader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
