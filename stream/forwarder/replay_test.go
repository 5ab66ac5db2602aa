package forwarder

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"tributary/stream/multiline"
)

// logged is one entry of a simulated spool: a close marker, or what a container sent.
type logged struct {
	position uint64
	mark     string
	piece
	text string
}

// emitted is an event as a consumer sees it. Its offset is four times the entry's
// position, less its place.
type emitted struct {
	offset  uint64
	line    string
	indexes []uint64
}

// reading is one life of a pump over the simulated spool.
type reading struct {
	t      *tracker
	r      *rejoiner
	events []emitted
}

func newReading(c Config, start uint64, ghosts []*ghost) *reading {
	t := newTracker(start, ghosts)
	return &reading{t: t, r: newRejoiner(c, t, ghosts)}
}

// take does what the pump does with an entry.
func (rd *reading) take(e logged) {
	index := rd.t.add(e.position, e.position+1)
	emit := func(offset uint64, line joined) {
		rd.events = append(rd.events, emitted{offset, string(line.line), line.indexes})
	}
	if e.mark != "" {
		if line, ok := rd.r.closed(e.mark, index, e.position); ok {
			emit(4*e.position, line)
		}
		return
	}
	p := e.piece
	p.index, p.position, p.data = index, e.position, []byte(e.text)
	// As the pump's lineKey: older Docker's last piece is known by the line it ends.
	if older := p.block + "//"; p.key == "" && rd.r.open[older] != nil {
		p.key, p.last = older, true
	}
	if p.key == "" && p.grammar == nil {
		emit(4*e.position, joined{line: p.data, indexes: []uint64{index}})
		return
	}
	for _, l := range rd.r.take(p) {
		emit(4*e.position-uint64(l.place), l.joined)
	}
}

// replay reads entries from the cursor on and returns the events in order.
func replay(c Config, log []logged, start uint64, ghosts []*ghost) (*tracker, []emitted) {
	rd := newReading(c, start, ghosts)
	for _, e := range log {
		if e.position >= start {
			rd.take(e)
		}
	}
	return rd.t, rd.events
}

// container draws what one container sends on one of its streams.
type container struct {
	block     string
	grammar   *multiline.Grammar
	older     bool   // sends no ids
	cut       string // the cut line it is in the middle of
	ordinal   int
	cutsSoFar int
}

func (c *container) next(rnd *rand.Rand, position uint64) logged {
	text := fmt.Sprintf("%s<%d>%s", []string{"", "", "\t", "\t", "\t", "{"}[rnd.IntN(6)], position, bytes.Repeat([]byte("."), rnd.IntN(20)))
	e := logged{position: position, text: text, piece: piece{block: c.block, grammar: c.grammar}}
	switch {
	case c.cut == "" && rnd.IntN(3) > 0:
		return e // a whole line
	case c.cut != "" && rnd.IntN(20) == 0: // the last piece is lost, a whole line comes
		c.cut = ""
		return e
	case c.cut == "":
		c.cutsSoFar++
		c.ordinal = 0
		if c.cut = fmt.Sprint(c.block, "/", c.cutsSoFar); c.older {
			c.cut = c.block + "//"
		}
		if rnd.IntN(15) == 0 {
			c.ordinal++ // the first piece is lost
		}
	}
	if c.older {
		if rnd.IntN(3) == 0 { // the last piece looks like a whole line
			c.cut = ""
			return e
		}
		e.key = c.cut
		return e
	}
	switch rnd.IntN(12) {
	case 0:
		c.ordinal += 2 // a piece is lost
	case 1: // the piece before it comes again, or, without its text, a swapped one
	default:
		c.ordinal++
	}
	e.key, e.ordinal, e.last = c.cut, max(c.ordinal, 1), rnd.IntN(4) == 0
	if e.last {
		c.cut = ""
	}
	return e
}

// randomLog interleaves containers of all sorts, and close markers for whatever is
// open, some of which come late.
func randomLog(c Config, rnd *rand.Rand) (log []logged) {
	grammars, err := multiline.Rules{{Service: "a", Start: `^<`}, {Service: "b", Start: `^<\d*[05]>`}}.Compile()
	if err != nil {
		panic(err)
	}
	var all []*container
	for i := range 8 {
		one := &container{block: fmt.Sprintf("c%d\x00out", i), older: i%4 == 3}
		switch i % 3 {
		case 0:
			one.grammar = grammars.Of("a")
		case 1:
			one.grammar = grammars.Of("b")
		}
		all = append(all, one)
	}
	first := newReading(c, 0, nil)
	var marks []string
	for position := uint64(7); len(log) < 150; position += 2 + rnd.Uint64N(50) {
		var e logged
		switch n := rnd.IntN(12); {
		case n == 0 && len(marks) > 0:
			e = logged{position: position, mark: marks[0]}
			marks = marks[1:]
		default:
			e = all[rnd.IntN(len(all))].next(rnd, position)
		}
		log = append(log, e)
		first.take(e)
		if rnd.IntN(8) == 0 {
			for _, l := range first.r.tick(c.MultilineTimeout) {
				marks = append(marks, l.mark())
			}
		}
	}
	return log
}

// A consumer drops what is at or below the highest offset it has. Whatever was
// acked before a crash, and wherever the cursor was saved, reading again must give
// it the same events.
func TestReadingAgainDecidesAsTheFirstReadingDid(t *testing.T) {
	c := testConfig()
	c.MultilineMaxLines, c.RestartGrace = 5, 0
	for seed := range uint64(1500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		log := randomLog(c, rnd)
		_, want := replay(c, log, 0, nil)
		demandEveryEntryOnce(t, log, want)

		highest, start, read := uint64(0), uint64(0), 0
		var ghosts []*ghost
		var got []emitted
		for life := range 4 {
			if read = max(read, rnd.IntN(len(log)+1)); life == 3 {
				read = len(log)
			}
			tracker, events := replay(c, log[:read], start, ghosts)
			stored := events[:rnd.IntN(len(events)+1)]
			if life == 3 {
				stored = events
			}
			for _, e := range stored {
				tracker.done(e.indexes...)
				if e.offset > highest {
					highest = e.offset
					got = append(got, e)
				}
			}
			var state []byte
			start, state = tracker.cursor()
			var err error
			if ghosts, err = parseState(state); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d events, want %d", seed, len(got), len(want))
		}
		for i := range want {
			if got[i].offset != want[i].offset || got[i].line != want[i].line {
				t.Fatalf("seed %d: event %d is %d %q, want %d %q", seed, i, got[i].offset, got[i].line, want[i].offset, want[i].line)
			}
		}
	}
}

// demandEveryEntryOnce also demands that offsets grow. Entries of lines that are open
// at the end are in none.
func demandEveryEntryOnce(t *testing.T, log []logged, events []emitted) {
	t.Helper()
	highest := uint64(0)
	seen := map[uint64]bool{}
	for _, e := range events {
		if e.offset <= highest {
			t.Fatalf("offset %d after %d", e.offset, highest)
		}
		highest = e.offset
		for _, i := range e.indexes {
			if seen[i] {
				t.Fatalf("entry %d is in two events", i)
			}
			seen[i] = true
			if text := log[i].text; !bytes.Contains([]byte(e.line), []byte(text)) {
				t.Fatalf("%q is not in %q", text, e.line)
			}
		}
	}
}
