package forwarder

import (
	"encoding/binary"
	"errors"
	"sync"
)

// tracker knows which spool entries are done and where the cursor may go.
//
// The cursor never passes an entry that is not done, and a line's pieces are done
// only when its event is stored, so the cursor never passes an open line's first
// piece. But it may come to stand inside a line that is done, because an entry of
// another container between its pieces is not:
//
//	position  5        7            10
//	          A part 1  B not done   A part 2 (last), done
//
// After a crash reading starts at 7 and meets A's second piece without its first.
// Taken at face value it would become a fragment that no consumer recognises as
// delivered. So the cursor is saved with the done lines that lie across it: its
// ghosts, whose remaining pieces are skipped.
//
// The pump adds, lanes report done, the saver asks for the cursor: all under one
// mutex.
type tracker struct {
	mu      sync.Mutex
	entries []entry // entries[i] has index base+i; the first is not done
	base    uint64
	waiting int    // entries that are not done
	end     uint64 // the position after the last entry added
	floor   uint64 // what lies before was dropped from the spool
	spans   []*ghost
}

type entry struct {
	position uint64
	done     bool
}

// ghost is a line of several entries: a done one that lies across the cursor, or
// may come to do so.
type ghost struct {
	key   string
	end   uint64 // position of the entry that completed it
	index uint64 // of that entry; unset when a life before delivered the line
	live  bool   // index is set
	steps []step
}

func (g *ghost) size() (n int64) {
	for _, s := range g.steps {
		n += s.size
	}
	return n
}

func newTracker(start uint64, ghosts []*ghost) *tracker {
	return &tracker{end: start, spans: append([]*ghost(nil), ghosts...)}
}

// add registers the entry that lies from position to after, and returns its
// index.
func (t *tracker) add(position, after uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = append(t.entries, entry{position: position})
	t.waiting++
	t.end = after
	return t.base + uint64(len(t.entries)) - 1
}

// done marks entries as stored, or as nothing to store; each once.
func (t *tracker) done(indexes ...uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range indexes {
		t.entries[i-t.base].done = true
		t.waiting--
	}
	n := 0
	for n < len(t.entries) && t.entries[n].done {
		n++
	}
	t.base += uint64(n)
	t.entries = t.entries[n:]
	if len(t.entries) == 0 {
		t.entries = nil // let go of the array that was sliced away
	}
}

// span registers a completed line of several entries, index that of the last.
func (t *tracker) span(key string, end, index uint64, steps []step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spans = append(t.spans, &ghost{key: key, end: end, index: index, live: true, steps: steps})
}

// haunt registers a further piece of a ghost.
func (t *tracker) haunt(g *ghost, s step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.steps = append(g.steps, s)
}

// undone is how many entries wait to be stored.
func (t *tracker) undone() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

// cursor returns the position before which everything is done, and the state to
// save with it.
func (t *tracker) cursor() (position uint64, state []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	position = t.end
	if len(t.entries) > 0 {
		position = t.entries[0].position
	}
	position = max(position, t.floor)
	kept := t.spans[:0]
	for _, g := range t.spans {
		if g.end >= position {
			kept = append(kept, g)
		}
	}
	clear(t.spans[len(kept):])
	t.spans = kept
	return position, t.stateAt(position)
}

// drop says that the spool dropped what lies before position: the cursor moves
// there, whether it was read and is done or not.
func (t *tracker) drop(position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.floor = max(t.floor, position)
}

// state returns what to save with a cursor at position.
func (t *tracker) state(position uint64) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stateAt(position)
}

// stateAt names the done lines that lie across position. t.mu is held.
func (t *tracker) stateAt(position uint64) []byte {
	var across []*ghost
	for _, g := range t.spans {
		// Behind a drop there are lines that lie across and are not done: nobody
		// delivered them, so their rest must not be skipped.
		if g.end < position || g.live && g.index >= t.base && !t.entries[g.index-t.base].done {
			continue
		}
		if before := g.before(position); before != nil {
			across = append(across, before)
		}
	}
	return appendState(nil, across)
}

// before is g as seen from position: one step that weighs what lies before it;
// nil when nothing does.
func (g *ghost) before(position uint64) *ghost {
	if len(g.steps) == 0 || g.steps[0].position >= position {
		return nil
	}
	size := int64(0)
	for _, s := range g.steps {
		if s.position < position {
			size += s.size
		}
	}
	return &ghost{key: g.key, end: g.end, steps: []step{{0, size}}}
}

// The cursor's state, version 1: 0x01, then per ghost len(key) uvarint, key, end
// uvarint, size uvarint.
const stateVersion = 0x01

var errState = errors.New("malformed cursor state")

func appendState(dst []byte, ghosts []*ghost) []byte {
	dst = append(dst, stateVersion)
	for _, g := range ghosts {
		dst = binary.AppendUvarint(dst, uint64(len(g.key)))
		dst = append(dst, g.key...)
		dst = binary.AppendUvarint(dst, g.end)
		dst = binary.AppendUvarint(dst, uint64(g.size()))
	}
	return dst
}

func parseState(p []byte) ([]*ghost, error) {
	if len(p) == 0 {
		return nil, nil // a new spool
	}
	if p[0] != stateVersion {
		return nil, errState
	}
	p = p[1:]
	var ghosts []*ghost
	number := func() (uint64, bool) {
		v, n := binary.Uvarint(p)
		if n <= 0 {
			return 0, false
		}
		p = p[n:]
		return v, true
	}
	for len(p) > 0 {
		n, ok := number()
		if !ok || n > uint64(len(p)) {
			return nil, errState
		}
		key := string(p[:n])
		p = p[n:]
		end, ok1 := number()
		size, ok2 := number()
		if !ok1 || !ok2 || size > 1<<62 {
			return nil, errState
		}
		ghosts = append(ghosts, &ghost{key: key, end: end, steps: []step{{0, int64(size)}}})
	}
	return ghosts, nil
}
