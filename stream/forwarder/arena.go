package forwarder

import "sync"

const (
	// blockBytes is what a lane takes at a time for the lines it holds. Taken line by
	// line, all that arrives would pass through the collector, some hundred MB a second.
	blockBytes = 128 << 10
	// sharedLine is the longest line in a block: so at most half of one stays empty.
	sharedLine = 64 << 10
)

// block is memory for lines of one lane.
type block struct {
	bytes []byte
	lines int // that are in use
}

// freeBlocks are in no lane.
var freeBlocks = sync.Pool{New: func() any { return &block{bytes: make([]byte, 0, blockBytes)} }}

// arena holds copies of a lane's lines. Those of a block live about equally long: a lane
// publishes them in order.
type arena struct {
	current *block // nil when no line is in use
}

// keep copies a line. The copy is valid until it is released with its block, which is
// nil for a long line: that one is the collector's.
func (a *arena) keep(line []byte) ([]byte, *block) {
	if len(line) > sharedLine {
		return append([]byte(nil), line...), nil
	}
	b := a.current
	if b == nil || cap(b.bytes)-len(b.bytes) < len(line) {
		b = freeBlocks.Get().(*block)
		a.current = b
	}
	start := len(b.bytes)
	b.bytes = append(b.bytes, line...)
	b.lines++
	return b.bytes[start:len(b.bytes):len(b.bytes)], b
}

// release ends the use of one line of b.
func (a *arena) release(b *block) {
	if b == nil {
		return
	}
	if b.lines--; b.lines > 0 {
		return
	}
	if a.current == b {
		a.current = nil
	}
	b.bytes = b.bytes[:0]
	freeBlocks.Put(b)
}
