package forwarder

import (
	"bytes"
	"container/list"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/schema"
	"tributary/stream/multiline"
)

// piece is what the rejoiner is given: one entry of a cut line, or of a container
// whose lines are joined.
type piece struct {
	index    uint64 // the tracker's
	position uint64 // the spool's
	key      string // of the cut line; empty: the entry is a whole one
	block    string // key of the block that the line may belong to, if there is a grammar
	grammar  *multiline.Grammar
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
	capped   string // the cap that ended it, if one did
}

// step is where one piece of a line lies and how much it weighs.
type step struct {
	position uint64
	size     int64
}

// stepBytes is what an entry of an open line takes beside its bytes, so that empty
// ones are bounded too.
const stepBytes = 32

// openLine is a line that waits for pieces, or a block that waits for lines.
type openLine struct {
	joined
	key     string
	steps   []step
	next    int // the ordinal that comes next
	size    int64
	ghost   *ghost
	born    time.Duration // the rejoiner's clock at the first piece
	touched time.Duration // and at the last
	entry   uint64        // position of its last entry
	at      *list.Element // in rejoiner.order
	recent  bool
	marked  bool // its close marker is on the way

	// Of a block alone.
	state multiline.State // never Closed
	lines int
	cut   string // the cut line in progress, by which the block is known as well
}

// rejoiner joins pieces by key. It is pure: no I/O, no clock of its own. The pump
// owns it.
type rejoiner struct {
	cfg     Config
	tracker *tracker
	open    map[string]*openLine // a block with a cut line in progress has two keys
	cuts    int                  // how many those are
	bytes   int64
	held    int        // entries of open lines, ghosts not counted
	order   *list.List // of *openLine, ghosts not among them; the longest silent first
	nextEnd uint64     // of the ghosts

	// Of the last call of take.
	out     []ended
	evicted bool

	// Memory of lines: of those given back by the last call, and free.
	given, spare [][]byte

	// clock advances only while the pump keeps up with what arrives. A pause of the
	// whole pipeline (Kinesis away, spool full) must not close lines whose next
	// piece is waiting behind the pause.
	clock time.Duration
}

func newRejoiner(cfg Config, t *tracker, ghosts []*ghost) *rejoiner {
	r := &rejoiner{cfg: cfg, tracker: t, open: make(map[string]*openLine), order: list.New(), nextEnd: math.MaxUint64}
	for _, g := range ghosts {
		r.open[g.key] = &openLine{key: g.key, ghost: g, size: g.size()}
		r.bytes += g.size()
		r.nextEnd = min(r.nextEnd, g.end)
	}
	return r
}

// place says where in the room between two entries' offsets an event lies.
type place uint64

const (
	own     place = iota // the entry completed the line
	ahead                // the line was over when the entry came
	evicted              // the line made room for the entry
	places
)

// ended is a line that take gives back.
type ended struct {
	joined
	place place
}

// take takes an entry: a piece, or a whole line of a container with a grammar. It
// returns the lines that end here, at most one of each place, in the order of their
// offsets; they are valid until the next call.
//
// A cap on all open lines ends the one that has been silent for longest: most likely
// its end is lost, while the others' are on their way. Only when that one gives too
// little room is it the entry's own, so that one entry ends no more lines than it has
// offsets for. Everything follows from the order of entries: a second reading ends the
// same lines at the same places.
func (r *rejoiner) take(p piece) []ended {
	r.out, r.evicted = r.out[:0], false
	r.reuse()
	key := p.key
	if (key == "" || r.open[key] == nil) && p.grammar != nil {
		key = p.block
	}
	r.expire(p.position, key)
	l := r.open[key]
	switch {
	case l != nil && l.ghost != nil:
		r.haunt(l, p)
	case l != nil && l.cut != "" && l.cut == p.key:
		r.extend(l, p)
	case key == p.block && p.grammar != nil:
		r.join(l, p)
	default:
		r.add(l, p)
	}
	return r.out
}

// expire drops the ghosts that are over at position, the one of key only behind its
// end. A ghost that ends at this entry without being its line made room for it.
func (r *rejoiner) expire(position uint64, key string) {
	if position < r.nextEnd {
		return
	}
	r.nextEnd = math.MaxUint64
	for k, l := range r.open {
		switch {
		case l.ghost == nil:
		case l.ghost.end < position || l.ghost.end == position && k != key:
			r.evicted = r.evicted || l.ghost.end == position
			r.drop(l)
		case k != key:
			r.nextEnd = min(r.nextEnd, l.ghost.end)
		default:
			r.nextEnd = min(r.nextEnd, max(l.ghost.end, position+1))
		}
	}
}

// add takes a piece of l, or the first of a line if l is nil.
func (r *rejoiner) add(l *openLine, p piece) {
	if l == nil {
		l = r.begun(p.key, p)
		l.next = 1
	}
	r.append(l, p)
	if !p.last {
		r.makeRoom(l)
	}
	if p.last || r.full(l) {
		r.out = append(r.out, ended{joined: r.finish(l, p.position)})
	}
}

// begun is a new open line, or block, of which p is the first entry.
func (r *rejoiner) begun(key string, p piece) *openLine {
	l := &openLine{key: key, born: r.clock}
	l.origin, l.time, l.received = p.origin, p.time, p.received
	if n := len(r.spare); n > 0 {
		l.line = r.spare[n-1]
		r.spare = r.spare[:n-1]
	}
	r.open[key] = l
	return l
}

// append puts a piece behind what l has.
func (r *rejoiner) append(l *openLine, p piece) {
	// A client without acks sends a piece again after a broken write, whose first copy
	// had arrived all the same.
	if !l.repeated(p) {
		if p.ordinal != 0 && p.ordinal != l.next {
			l.flags |= schema.FlagIncomplete // the driver dropped a piece
		}
		l.next = p.ordinal + 1
		l.line = append(l.line, p.data...)
	}
	l.touched, l.recent, l.entry = r.clock, p.recent, p.position
	l.indexes = append(l.indexes, p.index)
	r.held++
	s := step{p.position, p.weight()}
	l.steps = append(l.steps, s)
	l.size += s.size
	r.bytes += s.size
	if l.at == nil {
		l.at = r.order.PushBack(l)
	} else {
		r.order.MoveToBack(l.at)
	}
}

// makeRoom ends the line that has been silent for longest if there is too much, but
// never l, to which the entry belongs.
func (r *rejoiner) makeRoom(l *openLine) {
	why := r.over()
	if why == "" || r.evicted {
		return
	}
	first := r.order.Front()
	if first != nil && first.Value == l {
		first = first.Next()
	}
	if first == nil {
		return
	}
	oldest := first.Value.(*openLine)
	oldest.capped = why
	oldest.flags |= schema.FlagIncomplete
	r.out = slices.Insert(r.out, 0, ended{joined: r.finish(oldest, l.entry), place: evicted})
}

// over names the cap on all open lines that is exceeded, if one is.
func (r *rejoiner) over() string {
	switch {
	case r.bytes > r.cfg.MaxOpenBytes:
		return capOpenBytes
	case r.count() > r.cfg.MaxOpenLines:
		return capOpenLines
	}
	return ""
}

func (p piece) weight() int64 { return int64(len(p.data)) + stepBytes }

// full reports whether a cap ends l here, and marks it then.
func (r *rejoiner) full(l *openLine) bool {
	switch over := r.over(); {
	case int64(len(l.line)) >= r.cfg.MaxLineBytes:
		l.capped = capLineBytes
	case over != "":
		l.capped = over
	case l.lines > 0 && l.lines >= r.cfg.MultilineMaxLines:
		l.capped = capLines
	default:
		return false
	}
	l.flags |= schema.FlagIncomplete
	return true
}

// The caps, as metrics name them.
const (
	capLineBytes = "max_line_bytes"
	capOpenBytes = "max_open_bytes"
	capOpenLines = "max_open_lines"
	capLines     = "multiline_max_lines"
)

// count is how many lines and blocks are open, ghosts among them.
func (r *rejoiner) count() int { return len(r.open) - r.cuts }

// repeated reports whether p is the piece that came last, once more.
func (l *openLine) repeated(p piece) bool {
	return p.ordinal != 0 && p.ordinal == l.next-1 && len(l.steps) > 0 && bytes.HasSuffix(l.line, p.data) &&
		l.steps[len(l.steps)-1].size == p.weight()
}

// haunt takes a piece of a line that was delivered before the restart. It weighs
// on the caps as it did then, so that the caps decide for its neighbours as they
// did then.
func (r *rejoiner) haunt(l *openLine, p piece) {
	size := p.weight()
	l.size += size
	l.entry = p.position
	r.bytes += size
	r.tracker.haunt(l.ghost, step{p.position, size})
	r.tracker.done(p.index)
	if !p.last || p.key != l.key {
		r.makeRoom(l)
	}
	if p.position >= l.ghost.end {
		r.drop(l)
	}
}

// closed takes the close marker that mark names, at position. It returns the line the
// marker completes, if one is still open, valid like those of take.
func (r *rejoiner) closed(mark string, index, position uint64) (joined, bool) {
	r.reuse()
	key, last, exact := parseMark(mark)
	l := r.open[key]
	switch {
	case l == nil:
	case l.key != key:
		l = nil // the key of a cut line in a block: the marker is that of an earlier one
	case exact && l.ghost == nil && l.entry != last:
		l.marked = false
		l = nil
	}
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
	if l.state == multiline.Closed || l.cut != "" {
		l.flags |= schema.FlagIncomplete
	}
	l.indexes = append(l.indexes, index)
	r.held++
	l.steps = append(l.steps, step{position, 0})
	return r.finish(l, position), true
}

// finish takes l out of the open lines.
func (r *rejoiner) finish(l *openLine, end uint64) joined {
	r.drop(l)
	if end > l.steps[0].position {
		r.tracker.span(l.key, end, l.indexes[len(l.indexes)-1], l.steps)
	}
	r.given = append(r.given, l.line)
	return l.joined
}

// A few buffers serve all lines that are whole within moments.
const (
	maxSpare      = 4
	maxSpareBytes = 256 << 10
)

// reuse takes back the lines of the last call.
func (r *rejoiner) reuse() {
	for _, line := range r.given {
		if len(r.spare) < maxSpare && cap(line) <= maxSpareBytes {
			r.spare = append(r.spare, line[:0])
		}
	}
	clear(r.given)
	r.given = r.given[:0]
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
	r.endCut(l)
	if l.at != nil {
		r.order.Remove(l.at)
	}
	delete(r.open, l.key)
}

// tick advances the clock by elapsed, which the pump passes only while it keeps
// up, and returns the lines to close.
func (r *rejoiner) tick(elapsed time.Duration) (expired []*openLine) {
	r.clock += elapsed
	for key, l := range r.open {
		if l.ghost != nil || l.marked || key != l.key {
			continue
		}
		patience := r.cfg.PartialTimeout
		if l.state != multiline.Closed && l.cut == "" {
			patience = r.cfg.MultilineTimeout
		}
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

// mark is what l's close marker names: its key, and of a block its last entry as well.
// When the marker is read the block may have gone on, or be the next one of that key.
func (l *openLine) mark() string {
	if l.state == multiline.Closed {
		return l.key
	}
	return l.key + "\x00" + strconv.FormatUint(l.entry, 10)
}

// parseMark tells by exact whether the marker names an entry.
func parseMark(mark string) (key string, last uint64, exact bool) {
	if i := strings.LastIndexByte(mark, 0); i >= 0 {
		if last, err := strconv.ParseUint(mark[i+1:], 10, 64); err == nil {
			return mark[:i], last, true
		}
	}
	return mark, 0, false
}

// waiting is how many lines are open, ghosts not counted.
func (r *rejoiner) waiting() (n int) {
	for key, l := range r.open {
		if l.ghost == nil && key == l.key {
			n++
		}
	}
	return n
}
