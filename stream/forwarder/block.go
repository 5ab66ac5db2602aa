package forwarder

import (
	"tributary/schema"
	"tributary/stream/multiline"
)

// A block is an open line to which whole lines are added. It is known by container
// and source; while the last of its lines is a cut one, by that line's key as well.
//
// Which lines belong together is judged by their first bytes, so that a cut line is
// judged when its first piece comes. From a block's first entry to the one that ends
// it, every entry of its container and source is the block's. So a ghost needs no
// grammar: whatever comes up to its end is its own.

// join takes a whole line, or the first piece of a cut one, for b: the open block of
// its container and source, nil if there is none.
func (r *rejoiner) join(b *openLine, p piece) {
	state := multiline.Closed
	if b != nil {
		state = b.state
		if b.cut != "" { // its last piece is lost
			b.flags |= schema.FlagIncomplete
			r.endCut(b)
		}
	}
	verdict := multiline.Alone // a line whose beginning is lost
	if p.ordinal == 0 || p.ordinal == 1 {
		verdict, state = p.grammar.Next(state, p.data)
	}
	if verdict != multiline.Joins && b != nil {
		r.out = append(r.out, ended{joined: r.finish(b, p.position-1), place: ahead})
		b = nil
	}
	switch {
	case verdict != multiline.Alone:
		if b == nil {
			b = r.begun(p.block, p)
		}
		b.state = state
		r.begin(b, p)
	case p.key != "":
		r.add(nil, p)
	default:
		r.out = append(r.out, ended{joined: joined{
			line: p.data, origin: p.origin, time: p.time, received: p.received, indexes: []uint64{p.index},
		}})
	}
}

// begin adds a line to b, or its first piece.
func (r *rejoiner) begin(b *openLine, p piece) {
	if b.lines > 0 {
		b.line = append(b.line, '\n')
	}
	b.lines++
	b.next = 1
	if p.key != "" {
		b.cut = p.key
		r.open[p.key] = b
		r.cuts++
	}
	r.extend(b, p)
}

// extend adds a piece to b's last line, or the whole of it.
func (r *rejoiner) extend(b *openLine, p piece) {
	r.append(b, p)
	if p.last || p.key == "" {
		r.endCut(b)
	}
	r.makeRoom(b)
	if r.full(b) {
		r.out = append(r.out, ended{joined: r.finish(b, p.position)})
	}
}

// endCut forgets the cut line in progress, if there is one.
func (r *rejoiner) endCut(b *openLine) {
	if b.cut != "" {
		delete(r.open, b.cut)
		b.cut = ""
		r.cuts--
	}
}

// blockKey is no key of a cut line: those have a slash behind the container.
func blockKey(containerID, source []byte) string {
	return string(containerID) + "\x00" + string(source)
}
