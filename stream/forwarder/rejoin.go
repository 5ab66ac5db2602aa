package forwarder

import (
	"bytes"
	"time"

	"tributary/schema"
)

// piece is what the rejoiner is given: one entry of a cut line.
type piece struct {
	index    uint64 // the tracker's
	position uint64 // the spool's
	key      string
	ordinal  int // from 1; 0 when the driver sends none
	last     bool
	data     []byte // aliases the spool's buffer
	origin   *schema.Origin
	time     int64
	received int64
	recent   bool // of this life's epoch
}

// joined is a line with what it was made of.
type joined struct {
	line     []byte
	flags    schema.Flags
	origin   *schema.Origin // service still unset
	time     int64
	received int64
	indexes  []uint64
}

// step is where one piece of a line lies and how much it weighs.
type step struct {
	position uint64
	size     int64
}

// openLine is a line that waits for pieces.
type openLine struct {
	joined
	key     string
	steps   []step
	next    int // the ordinal that comes next
	size    int64
	ghost   *ghost
	born    time.Duration // the rejoiner's clock at the first piece
	touched time.Duration // and at the last
	recent  bool
	marked  bool // its close marker is on the way
}

// rejoiner joins pieces by key. It is pure: no I/O, no clock of its own. The pump
// owns it.
type rejoiner struct {
	cfg     Config
	tracker *tracker
	open    map[string]*openLine
	bytes   int64
	held    int // entries of open lines, ghosts not counted

	// clock advances only while the pump keeps up with what arrives. A pause of the
	// whole pipeline (Kinesis away, spool full) must not close lines whose next
	// piece is waiting behind the pause.
	clock time.Duration
}

func newRejoiner(cfg Config, t *tracker, ghosts []*ghost) *rejoiner {
	r := &rejoiner{cfg: cfg, tracker: t, open: make(map[string]*openLine)}
	for _, g := range ghosts {
		r.open[g.key] = &openLine{key: g.key, ghost: g, size: g.size()}
		r.bytes += g.size()
	}
	return r
}

// add takes one piece. When the piece completes its line, or a cap ends the line
// here, it returns the line.
//
// A cap ends the line of the piece that exceeds it, not some older line: then the
// event has this entry's offset in this entry's lane, no entry ever completes two
// events, and a second reading cuts at the same place.
func (r *rejoiner) add(p piece) (joined, bool) {
	l := r.open[p.key]
	if l != nil && l.ghost != nil {
		r.haunt(l, p)
		return joined{}, false
	}
	if l == nil {
		l = &openLine{key: p.key, next: 1, born: r.clock}
		l.origin, l.time, l.received = p.origin, p.time, p.received
		r.open[p.key] = l
	}
	l.touched, l.recent = r.clock, p.recent
	l.indexes = append(l.indexes, p.index)
	r.held++
	size := int64(len(p.data))
	if l.repeated(p) {
		// A client without acks sends the piece again after a broken write, whose
		// first copy had arrived all the same.
		size = 0
	} else {
		if p.ordinal != 0 && p.ordinal != l.next {
			l.flags |= schema.FlagIncomplete // the driver dropped a piece
		}
		l.next = p.ordinal + 1
		l.line = append(l.line, p.data...)
	}
	l.steps = append(l.steps, step{p.position, size})
	l.size += size
	r.bytes += size
	switch {
	case p.last:
	case l.size >= r.cfg.MaxLineBytes, r.bytes > r.cfg.MaxOpenBytes, len(r.open) > r.cfg.MaxOpenLines:
		l.flags |= schema.FlagIncomplete
	default:
		return joined{}, false
	}
	return r.finish(l, p.position), true
}

// repeated reports whether p is the piece that came last, once more.
func (l *openLine) repeated(p piece) bool {
	return p.ordinal != 0 && p.ordinal == l.next-1 && len(l.steps) > 0 && bytes.HasSuffix(l.line, p.data) &&
		l.steps[len(l.steps)-1].size == int64(len(p.data))
}

// haunt takes a piece of a line that was delivered before the restart. It weighs
// on the caps as it did then, so that the caps decide for its neighbours as they
// did then.
func (r *rejoiner) haunt(l *openLine, p piece) {
	size := int64(len(p.data))
	l.size += size
	r.bytes += size
	r.tracker.haunt(l.ghost, step{p.position, size})
	r.tracker.done(p.index)
	if p.position >= l.ghost.end {
		r.drop(l)
	}
}

// closed takes the close marker of key, at position. It returns the line the
// marker completes, if one is still open.
func (r *rejoiner) closed(key string, index, position uint64) (joined, bool) {
	l := r.open[key]
	switch {
	case l == nil:
		r.tracker.done(index)
		return joined{}, false
	case l.ghost != nil:
		r.tracker.done(index)
		if position >= l.ghost.end {
			r.drop(l)
		}
		return joined{}, false
	}
	l.flags |= schema.FlagIncomplete
	l.indexes = append(l.indexes, index)
	r.held++
	l.steps = append(l.steps, step{position, 0})
	return r.finish(l, position), true
}

// finish takes l out of the open lines.
func (r *rejoiner) finish(l *openLine, end uint64) joined {
	r.drop(l)
	if len(l.steps) > 1 {
		r.tracker.span(l.key, end, l.indexes[len(l.indexes)-1], l.steps)
	}
	return l.joined
}

// lose gives up the open lines before a gap in the spool; position is that of the
// first entry behind it. A second reading begins there and does not see the lines'
// beginnings: did they stay, its caps would end other lines than these. It returns
// what was given up.
func (r *rejoiner) lose(position uint64) (pieces int, bytes int64) {
	for _, l := range r.open {
		switch {
		case l.ghost == nil:
			pieces, bytes = pieces+len(l.indexes), bytes+l.size
			r.tracker.done(l.indexes...)
			r.drop(l)
		case l.ghost.end < position:
			r.drop(l)
		}
	}
	return pieces, bytes
}

func (r *rejoiner) drop(l *openLine) {
	r.bytes -= l.size
	r.held -= len(l.indexes) // a ghost has none
	delete(r.open, l.key)
}

// tick advances the clock by elapsed, which the pump passes only while it keeps
// up, and returns the lines to close.
func (r *rejoiner) tick(elapsed time.Duration) (expired []*openLine) {
	r.clock += elapsed
	for _, l := range r.open {
		if l.ghost != nil || l.marked {
			continue
		}
		patience := r.cfg.PartialTimeout
		if !l.recent {
			patience += r.cfg.RestartGrace
		}
		if r.clock-l.touched >= patience || r.clock-l.born >= r.cfg.PartialMaxAge+patience {
			l.marked = true
			expired = append(expired, l)
		}
	}
	return expired
}

// waiting is how many lines are open, ghosts not counted.
func (r *rejoiner) waiting() (n int) {
	for _, l := range r.open {
		if l.ghost == nil {
			n++
		}
	}
	return n
}
