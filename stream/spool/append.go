package spool

import (
	"context"
	"fmt"
	"time"
)

// Entry is one payload for a lane of this epoch.
type Entry struct {
	Lane uint32
	// The entry is Head and Payload in one. Both are copied; the caller may reuse them
	// after Append returned.
	Head, Payload []byte
}

// Request is what is stored as a whole or not at all.
type Request struct {
	// Chunk is the id under which the client would send the request again; empty
	// when it asked for no ack.
	Chunk   string
	Entries []Entry
}

// batch is what one commit writes.
type batch struct {
	buf     []byte
	frames  []int // where each frame starts in buf
	chunks  []chunkID
	lanes   []openedLane
	entries int
	// requestEnd is where the last request ends in buf.
	requestEnd int
	held       int64
	extra      int64
	done       chan struct{} // closed after err is set
	err        error
}

type openedLane struct {
	lane uint32
	key  string
}

func newBatch(buf []byte) *batch { return &batch{buf: buf[:0], done: make(chan struct{})} }

// add appends a frame; fill appends its entries.
func (b *batch) add(f frame, fill func(dst []byte) []byte) {
	start := len(b.buf)
	b.frames = append(b.frames, start)
	b.buf = fill(appendFrameHeader(b.buf, f))
	closeFrame(b.buf[start:], f.entries)
	b.entries += int(f.entries)
	if f.kind == frameRequest {
		b.requestEnd = len(b.buf)
	}
}

func (b *batch) finish(err error) {
	b.err = err
	close(b.done)
}

// waiter is a request that waits for room.
type waiter struct {
	need  int64
	ready chan struct{} // closed after need was added to held
}

// Append stores the requests in order and returns once all are durable as the
// configuration's Ack says, or were stored before under the same chunk id. While
// the spool is full, or PendingBytes wait for their commit, it waits for room
// until ctx ends; so it does while the disk is full, read-only or failing, see
// Usable. After ctx's error or ErrClosed some of the requests may be stored all the
// same; sending all again is right. ErrTooLarge and a lane that is not open are
// found before anything is stored.
func (s *Spool) Append(ctx context.Context, reqs []Request) error {
	for i := range reqs {
		if n := frameSize(&reqs[i]); n > s.cfg.PendingBytes {
			return fmt.Errorf("append %d bytes: %w (%d)", n, ErrTooLarge, s.cfg.PendingBytes)
		}
	}
	if err := s.checkLanes(reqs); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	start := time.Now()
	var last *batch
	var waits []*batch
	for i := range reqs {
		if len(reqs[i].Entries) == 0 {
			continue
		}
		b, err := s.enqueue(ctx, &reqs[i])
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
		if b != nil && b != last {
			waits, last = append(waits, b), b
		}
	}
	for _, b := range waits {
		if err := b.wait(ctx); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	s.metrics.ackSeconds.Observe(time.Since(start).Seconds())
	return nil
}

func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func frameSize(r *Request) int64 {
	n := int64(frameHeaderSize)
	for _, e := range r.Entries {
		n += entryHeaderSize + int64(len(e.Head)+len(e.Payload))
	}
	return n
}

// enqueue puts r into the next batch and returns the batch whose outcome is that
// of r; nil when r was stored before.
func (s *Spool) enqueue(ctx context.Context, r *Request) (*batch, error) {
	var id chunkID
	if r.Chunk != "" {
		id = newChunkID(r.Chunk)
	}
	need := frameSize(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, known := s.storedAs(r, id); known {
		return b, nil
	}
	if err := s.takeRoom(ctx, need); err != nil {
		return nil, err
	}
	// While this one waited for room, the client may have sent the chunk again on
	// another connection, and that copy may have gone first.
	if b, known := s.storedAs(r, id); known {
		s.held -= need
		s.admitWaiting()
		return b, nil
	}
	b := s.batch
	b.held += need
	f := frame{kind: frameRequest, hasChunk: r.Chunk != "", chunk: id, received: s.outside.now().UnixNano(), entries: uint32(len(r.Entries))}
	b.add(f, func(dst []byte) []byte {
		for _, e := range r.Entries {
			dst = appendEntry(dst, entry{lane: e.Lane, offset: s.nextOffset(e.Lane), head: e.Head, payload: e.Payload})
		}
		return dst
	})
	if f.hasChunk {
		b.chunks = append(b.chunks, id)
		s.inflight[id] = b
	}
	signal(s.wake)
	return b, nil
}

// storedAs looks whether r is stored (nil batch) or just being stored. s.mu is
// held.
func (s *Spool) storedAs(r *Request, id chunkID) (b *batch, known bool) {
	if r.Chunk == "" {
		return nil, false
	}
	if b, known = s.inflight[id]; !known {
		known = s.chunks.knows(id, s.outside.now().UnixNano())
	}
	if known {
		s.metrics.chunkHits.Inc()
	}
	return b, known
}

func (s *Spool) checkLanes(reqs []Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range reqs {
		for _, e := range r.Entries {
			if _, ok := s.offsets[e.Lane]; !ok {
				return fmt.Errorf("lane %d is not open", e.Lane)
			}
		}
	}
	return nil
}

// nextOffset never gives an offset twice: after a failed write nobody knows
// whether the old one reached the disk. s.mu is held.
func (s *Spool) nextOffset(lane uint32) uint64 {
	s.offsets[lane] += OffsetStride
	return s.offsets[lane]
}

// takeRoom adds need to held, after waiting until it fits. First come, first
// served: otherwise a stream of small requests starves a large one. s.mu is held,
// but not while waiting.
func (s *Spool) takeRoom(ctx context.Context, need int64) error {
	if s.stopping {
		return ErrClosed
	}
	if len(s.queue) == 0 && s.fits(need) {
		s.held += need
		return nil
	}
	w := &waiter{need: need, ready: make(chan struct{})}
	s.queue = append(s.queue, w)
	signal(s.wake) // see renew
	if s.starved() {
		s.askForRoom()
	}
	start := time.Now()
	s.mu.Unlock()
	var err error
	select {
	case <-w.ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.closed:
		err = ErrClosed
	}
	s.mu.Lock()
	s.metrics.blockedSeconds.Add(time.Since(start).Seconds())
	if err == nil && s.stopping {
		err = ErrClosed // the last commit may be over
	}
	if err != nil {
		s.leaveQueue(w)
	}
	return err
}

func (s *Spool) fits(need int64) bool {
	return s.held+need <= s.cfg.PendingBytes && s.used()+s.held+s.extra+need <= s.cfg.MaxBytes
}

// leaveQueue undoes a wait, or the grant that came at the same moment.
func (s *Spool) leaveQueue(w *waiter) {
	for i, other := range s.queue {
		if other == w {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			s.admitWaiting()
			return
		}
	}
	s.held -= w.need
	s.admitWaiting()
}

// admitWaiting lets in who fits now. s.mu is held.
func (s *Spool) admitWaiting() {
	for len(s.queue) > 0 && s.fits(s.queue[0].need) {
		s.held += s.queue[0].need
		close(s.queue[0].ready)
		s.queue[0] = nil
		s.queue = s.queue[1:]
	}
	if s.starved() {
		s.askForRoom()
	}
}

// Mark queues a control entry for the lane and returns at once; it is written
// with the next commit, after everything appended before it. It does not count
// toward the bounds: a full spool empties only when its reader may write that a
// line is given up. A failed commit is tried again, so marks are lost only with the
// process.
func (s *Spool) Mark(lane uint32, payload []byte) error {
	size := int64(frameHeaderSize + entryHeaderSize + len(payload))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, open := s.offsets[lane]; {
	case s.stopping:
		return fmt.Errorf("mark: %w", ErrClosed)
	case !open:
		return fmt.Errorf("mark: lane %d is not open", lane)
	case size > s.cfg.PendingBytes:
		return fmt.Errorf("mark %d bytes: %w (%d)", size, ErrTooLarge, s.cfg.PendingBytes)
	}
	b := s.batch
	s.countExtra(size)
	f := frame{kind: frameRequest, received: s.outside.now().UnixNano(), entries: 1}
	b.add(f, func(dst []byte) []byte {
		return appendEntry(dst, entry{mark: true, lane: lane, offset: s.nextOffset(lane), payload: payload})
	})
	signal(s.wake)
	return nil
}

// countExtra counts bytes that go beyond the bounds into the next batch. s.mu is
// held.
func (s *Spool) countExtra(n int64) {
	s.batch.extra += n
	s.extra += n
	s.metrics.pending.Set(float64(s.held + s.extra))
}
