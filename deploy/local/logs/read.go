package logs

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
)

// A scan reads the events of some streams whose keys lie from one boundary to another, in either direction.
type scan struct {
	streams  []*stream
	from, to key // boundaries, from the lower one
	backward bool
	limit    int
	match    func(message []byte) bool // nil: all
	seen     int64                     // events that arrived later are not seen yet
	budget   int64                     // of bytes to read before it answers what it has
}

// start is the boundary where the scan begins.
func (s *scan) start() key {
	if s.backward {
		return s.to
	}
	return s.from
}

// run gives the nearest events, nearest first, and the boundary from which to go on; more is false when there was nothing left then.
func (s *scan) run() (events []event, next key, more bool, err error) {
	if s.from.compare(s.to) >= 0 {
		return nil, s.start(), false, nil
	}
	blocks, err := s.blocks()
	if err != nil {
		return nil, key{}, false, err
	}
	p := &page{backward: s.backward, limit: s.limit}
	var read int64
	for _, b := range blocks {
		// What this block and those behind it may hold begins here.
		begins := at(b.lo)
		if s.backward {
			begins = at(b.hi + 1)
		}
		if p.cut != nil && !p.nearer(begins, *p.cut) {
			break
		}
		if read >= s.budget && p.nearer(s.start(), begins) {
			p.end(begins)
			return p.ordered(), begins, true, nil
		}
		if err := s.read(b, p); err != nil {
			return nil, key{}, false, err
		}
		read += b.end - b.off
	}
	events = p.ordered()
	switch {
	case p.cut == nil:
		return events, s.behind(events), false, nil
	case s.backward:
		return events, p.cut.after(), true, nil
	}
	return events, p.cut.before(), true, nil
}

// behind is the boundary behind all events that were read.
func (s *scan) behind(events []event) key {
	switch n := len(events); {
	case n == 0:
		return s.start()
	case s.backward:
		return events[n-1].before()
	default:
		return events[n-1].after()
	}
}

// blocks gives what has to be read, nearest first.
func (s *scan) blocks() (blocks []block, err error) {
	for _, st := range s.streams {
		if blocks, err = st.blocks(blocks, s.from.TS, s.to.TS); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(blocks, func(a, b block) int {
		if s.backward {
			return cmp.Compare(b.hi, a.hi)
		}
		return cmp.Compare(a.lo, b.lo)
	})
	return blocks, nil
}

// read adds to the page what it wants of the block.
func (s *scan) read(b block, p *page) error {
	content := make([]byte, b.end-b.off)
	if err := readAt(b.path, content, b.off); err != nil {
		return fmt.Errorf("read log events: %w", err)
	}
	fr := newFrameReader(bytes.NewReader(content), 0, int64(len(content)))
	for {
		f, err := fr.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log events: %s at byte %d: %w", b.path, b.off+fr.off, err)
		}
		if f.ms > s.seen {
			continue
		}
		k := key{MS: f.ms, Stream: b.stream.meta.CreatedMS, Number: f.number}
		for ts, message := range f.all {
			k.TS = ts
			inside := s.from.compare(k) <= 0 && k.compare(s.to) < 0
			if inside && p.wants(k) && (s.match == nil || s.match(message)) {
				p.add(event{k, b.stream.meta.Name, string(message)})
			}
			k.Number++
		}
	}
}

func readAt(path string, dst []byte, off int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(dst, off)
	return err
}
