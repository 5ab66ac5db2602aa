package fluent

import (
	"context"
	"time"
)

// Event is one event of a request.
type Event struct {
	Tag    []byte
	Time   int64  // nanoseconds since the Unix epoch
	Record []byte // one msgpack map, well-formed and no deeper than MaxDepth + 1
}

// Request is one message of the protocol. It is stored wholly or not at all.
type Request struct {
	Chunk  string  // "" means that a resent copy cannot be recognised
	Events []Event // may be empty in a request with a chunk
}

// tally is what a batch adds to the metrics of one mode, once it is stored.
type tally struct{ requests, events, bytes int }

// batch is the complete requests of a connection's buffer, on their way to one
// Store call. Its slices point into the buffer.
type batch struct {
	requests  []Request
	events    []Event // backing of requests that borrowed nothing; never grows beyond batchEvents
	acks      []byte  // to be written when the batch is stored
	ackCount  int
	firstAck  int // bytes of the first in acks
	tallies   [modes]tally
	malformed int
	borrowed  bool // the last request borrowed memory: nothing more may join it
}

func (b *batch) reset() {
	// Cleared, so that a buffer which was given back is not kept alive from here.
	clear(b.requests)
	clear(b.events)
	*b = batch{requests: b.requests[:0], events: b.events[:0], acks: b.acks[:0]}
}

func (b *batch) full() bool {
	return b.borrowed || len(b.requests) == batchRequests || len(b.events) == batchEvents || len(b.acks) >= batchAckBytes
}

// ofWaitingWriters reports whether the batch is what one or two goroutines send that
// share a connection and each wait for an ack, as in Docker.
func (b *batch) ofWaitingWriters() bool {
	return b.ackCount <= 2 && len(b.requests) == b.ackCount && b.tallies[modeMessage].requests == b.ackCount
}

// decoder turns complete requests into events. One connection owns it.
type decoder struct {
	cfg   Config
	loan  *loan
	inner scanner // of packed payloads, which the request's own scan sees as one value
	batch batch
	// Of the request being decoded:
	used      int64 // of MaxDecompressedBytes
	malformed int   // entries that are not [time, map]
}

func newDecoder(cfg Config, l *loan) *decoder {
	return &decoder{cfg: cfg, loan: l, inner: newScanner(cfg.MaxDecompressedBytes, cfg.MaxDepth)}
}

// checkStart looks at the beginning of a request, of which b holds one byte at
// least, and refuses what cannot become one before anything is buffered for it.
func checkStart(b []byte) error {
	switch {
	case b[0] == '{' || b[0] == '[':
		return refuse(reasonJSON, "JSON is not supported, only msgpack")
	case b[0] == 0x16:
		return refuse(reasonTLS, "a TLS hello, but this socket speaks plain Forward")
	}
	h, ok := readHead(b)
	if forms[b[0]].kind != kindArray || ok && h.items > 4 {
		return refuse(reasonNotForward, "no Forward request begins with byte 0x%02x", b[0])
	}
	if ok && h.items < 2 {
		return refuse(reasonMalformed, "a request of %d elements", h.items)
	}
	return nil
}

// add decodes the complete request b, whose items s has found, into the batch.
// An error is a refusal, or ctx's while waiting for memory.
func (d *decoder) add(ctx context.Context, b []byte, s *scanner) error {
	tag, ok := text(s.item(b, 0))
	if !ok {
		return refuse(reasonMalformed, "the tag is not a string")
	}
	m := modeOf(s, b)
	last := 2 // index of the options
	if m == modeMessage {
		last = 3
	}
	if s.items > last+1 || s.items < last {
		return refuse(reasonMalformed, "a %s request of %d elements", modeNames[m], s.items)
	}
	var opts options
	if s.items > last {
		var err error
		if opts, err = parseOptions(s.item(b, last)); err != nil {
			return err
		}
	}
	if m == modePacked && opts.gzip {
		m = modeCompressed
	}
	d.used, d.malformed = 0, 0
	events, err := d.entries(ctx, m, tag, b, s)
	if err != nil {
		return err
	}
	d.append(m, len(b), events, opts)
	return nil
}

func (d *decoder) append(m mode, size int, events []Event, opts options) {
	t := &d.batch.tallies[m]
	t.requests++
	t.events += len(events)
	t.bytes += size
	d.batch.malformed += d.malformed
	if len(opts.chunk) > 0 {
		d.batch.acks = append(append(d.batch.acks, ackHead...), opts.chunk...)
		if d.batch.ackCount++; d.batch.ackCount == 1 {
			d.batch.firstAck = len(d.batch.acks)
		}
	} else if len(events) == 0 {
		return // nothing to store and nobody to answer
	}
	d.batch.requests = append(d.batch.requests, Request{Chunk: opts.chunkText(), Events: events})
}

// modeOf tells the mode by the second element. An array is Forward's, unless it
// is v1.5's time with metadata, [time, {…}], before a record.
func modeOf(s *scanner, b []byte) mode {
	second := s.item(b, 1)
	switch forms[second[0]].kind {
	case kindStr, kindBin:
		return modePacked
	case kindArray:
		if s.items > 2 && isTimeWithMetadata(second) && forms[s.item(b, 2)[0]].kind == kindMap {
			return modeMessage
		}
		return modeForward
	}
	return modeMessage
}

// entries decodes the events of a request, by mode.
func (d *decoder) entries(ctx context.Context, m mode, tag, b []byte, s *scanner) ([]Event, error) {
	second := s.item(b, 1)
	switch m {
	case modeMessage:
		return d.message(ctx, tag, second, s.item(b, 2))
	case modeForward:
		h, _ := readHead(second)
		return d.sequence(ctx, tag, second[h.size:], h.items)
	}
	payload, _ := text(second)
	if m == modeCompressed {
		var err error
		if payload, err = d.gunzip(ctx, payload); err != nil {
			return nil, err
		}
	}
	n, err := d.count(payload)
	if err != nil {
		return nil, err
	}
	return d.sequence(ctx, tag, payload, n)
}

// count returns the number of values in a packed payload, each of which is whole
// and not too deep.
func (d *decoder) count(payload []byte) (n int, err error) {
	for ; len(payload) > 0; n++ {
		d.inner.reset()
		whole, err := d.inner.scan(payload)
		if err != nil {
			return 0, err
		}
		if !whole {
			return 0, refuse(reasonMalformed, "the packed payload ends within an entry")
		}
		payload = payload[d.inner.off:]
	}
	return n, nil
}

// room returns a slice with capacity for n events: of the batch's own, or borrowed.
func (d *decoder) room(ctx context.Context, n int) ([]Event, error) {
	if used := len(d.batch.events); used+n <= batchEvents {
		if d.batch.events == nil {
			d.batch.events = make([]Event, 0, batchEvents)
		}
		d.batch.events = d.batch.events[:used+n]
		return d.batch.events[used : used : used+n], nil
	}
	if err := d.borrow(ctx, int64(n)*eventBytes); err != nil {
		return nil, err
	}
	return make([]Event, 0, n), nil
}

// borrow takes memory for the request being decoded.
func (d *decoder) borrow(ctx context.Context, n int64) error {
	d.used += n
	if d.used > d.cfg.MaxDecompressedBytes {
		return refuse(reasonTooLarge, "takes more than %d bytes in memory", d.cfg.MaxDecompressedBytes)
	}
	d.batch.borrowed = true
	return d.loan.take(ctx, n)
}

func (d *decoder) message(ctx context.Context, tag, when, record []byte) ([]Event, error) {
	events, err := d.room(ctx, 1)
	if err != nil {
		return nil, err
	}
	if ns, ok := parseTime(when); ok && forms[record[0]].kind == kindMap {
		return append(events, Event{Tag: tag, Time: orArrival(ns), Record: record}), nil
	}
	// The entry as the other modes would have it: [time, record].
	kept, err := d.keep(ctx, []byte{0x92}, when, record)
	return append(events, Event{Tag: tag, Time: time.Now().UnixNano(), Record: kept}), err
}

// sequence decodes n entries that follow each other in b.
func (d *decoder) sequence(ctx context.Context, tag, b []byte, n int) ([]Event, error) {
	events, err := d.room(ctx, n)
	if err != nil {
		return nil, err
	}
	for range n {
		end, _ := valueEnd(b)
		entry := b[:end]
		b = b[end:]
		e, ok := parseEntry(entry)
		if !ok {
			if e.Record, err = d.keep(ctx, entry); err != nil {
				return nil, err
			}
			e.Time = time.Now().UnixNano()
		}
		e.Tag = tag
		events = append(events, e)
	}
	return events, nil
}

// malformedHead begins the record that carries a malformed entry: a map of one,
// and its key.
const malformedHead = "\x81\xafmalformed_entry"

// keep wraps the parts of a malformed entry, one value together, unchanged.
func (d *decoder) keep(ctx context.Context, parts ...[]byte) ([]byte, error) {
	size := len(malformedHead)
	for _, p := range parts {
		size += len(p)
	}
	if err := d.borrow(ctx, int64(size)); err != nil {
		return nil, err
	}
	record := append(make([]byte, 0, size), malformedHead...)
	for _, p := range parts {
		record = append(record, p...)
	}
	d.malformed++
	return record, nil
}
