package spool

import (
	"context"
	"fmt"
	"time"
)

const (
	// reuseBuffer is the largest buffer kept between commits.
	reuseBuffer = 8 << 20
	// retryAfter is the pause before a failed commit is tried again.
	retryAfter = time.Second
)

// commitUntil commits whenever something is pending. After a failure it looks
// again when room was made, or after retryAfter: not with each request that comes.
func (s *Spool) commitUntil(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		wake := s.wake
		if s.trouble.failing {
			wake = nil
		}
		select {
		case <-wake:
		case <-s.freed:
		case <-retry.C:
		case <-ctx.Done():
			return
		}
		if s.commit() != nil {
			retry.Reset(retryAfter)
		} else if s.unwritten() {
			signal(s.wake)
		}
	}
}

// commit writes the batch that failed before, or else the pending one, and tells
// its waiters. A batch that fails is kept: its waiters wait on, and nothing is
// written before it, so that a lane's offsets grow along the log.
func (s *Spool) commit() error {
	b := s.failed
	if b == nil {
		s.mu.Lock()
		b = s.batch
		if len(b.frames) == 0 {
			spent := !s.stopping && len(s.queue) > 0 && s.newestIsSpent()
			s.mu.Unlock()
			if spent || s.trouble.failing {
				return s.renew()
			}
			return nil
		}
		s.batch, s.buffer = newBatch(s.buffer), nil
		s.metrics.pending.Set(float64(s.held + s.extra))
		s.mu.Unlock()
	} else {
		b.stamp(s.outside.now().UnixNano())
	}
	start := time.Now()
	s.storing.Store(start.UnixNano())
	err := s.store(b)
	s.storing.Store(0)
	s.metrics.commitSeconds.Observe(time.Since(start).Seconds())
	s.report(err)
	if err != nil {
		s.failed = b
		return err
	}
	s.failed = nil
	s.settle(b)
	return nil
}

// stamp makes the batch as if it had come at the time at: after a restart a chunk
// id's window begins there.
func (b *batch) stamp(at int64) {
	for _, start := range b.frames {
		stampFrame(b.buf[start:], at)
	}
}

// unwritten says that something waits for its commit.
func (s *Spool) unwritten() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil || len(s.batch.frames) > 0
}

// abandon tells everybody who still waits that the process ends.
func (s *Spool) abandon(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		s.failed.finish(err)
	}
	s.batch.finish(err)
}

// newestIsSpent says that the newest segment holds requests and all of them are
// done. s.mu is held.
func (s *Spool) newestIsSpent() bool {
	g := s.segments[len(s.segments)-1]
	return g.requestEnd > 0 && g.finished(s.cursor.pos.Load())
}

// renew lets the newest segment go when it is all that takes up the room which
// appends wait for, marks go beyond the bounds and can make it so large; or when it
// could not be started.
func (s *Spool) renew() error {
	if err := s.rotate(s.newest().end()); err != nil {
		s.report(err)
		return err
	}
	s.recovered()
	s.trimNow()
	return nil
}

// trimNow deletes segments between two calls of SetCursor.
func (s *Spool) trimNow() {
	if err := s.trim(s.cursor.pos.Load()); err != nil {
		s.log.Warn("a spool segment stays until the next cursor", "err", err)
	}
}

// store makes b durable at the end of the log, or leaves no trace of it that a
// reader could meet.
//
// What must not happen: b fails, it is written once more elsewhere, the process
// restarts, and both copies are read. So, after a failure, before anything else
// is stored:
//
//  1. a failed write: the segment is cut back to the committed length, and the
//     cut is synced. If both succeed the segment goes on (a full disk).
//  2. a failed sync, or a failed cut: what the disk holds of b is unknown, and so
//     is what the kernel still believes to be clean: a second sync may succeed
//     without having written. The segment is left, cut or not: the next commit
//     must first start a segment whose base is the committed length, into which b
//     is written anew, and whatever the old file holds from that position on is
//     dead.
//
// If the process dies before step 2 has its new segment, the bytes of b may come
// back to life. Nothing was stored after them then, and the chunk ids come back
// with them, so what its clients send again is known.
func (s *Spool) store(b *batch) error {
	g := s.newest()
	frames := g.size - g.overhead
	if s.leaving || frames > 0 && frames+int64(len(b.buf)) > s.cfg.SegmentBytes {
		if err := s.rotate(g.end()); err != nil {
			return err
		}
		g = s.newest()
	}
	for i, start := range b.frames {
		end := len(b.buf)
		if i+1 < len(b.frames) {
			end = b.frames[i+1]
		}
		sealFrame(b.buf[start:end], g.epoch, g.end()+uint64(start))
	}
	s.writeAhead(g.size+int64(len(b.buf)), len(b.buf))
	if _, err := s.active.WriteAt(b.buf, g.size); err != nil {
		if s.cutBack(g.size) != nil {
			s.leave(g)
		}
		return fmt.Errorf("write segment: %w", err)
	}
	if s.cfg.Ack == AckWritten && len(b.lanes) == 0 {
		return nil
	}
	if err := s.sync(); err != nil {
		s.leave(g)
		if cut := s.cutBack(g.size); cut != nil {
			s.log.Warn("uncommitted spool bytes could not be cut off", "segment", g.name(), "err", cut)
		}
		return fmt.Errorf("sync segment: %w", err)
	}
	return nil
}

// leave says that g is not written to any more and that what lies behind its
// committed bytes is unknown.
func (s *Spool) leave(g *segment) {
	s.leaving = true
	s.mu.Lock()
	g.dead = true
	s.mu.Unlock()
}

func (s *Spool) sync() error {
	start := time.Now()
	err := s.active.Sync()
	s.metrics.syncSeconds.Observe(time.Since(start).Seconds())
	return err
}

func (s *Spool) cutBack(size int64) error {
	s.zeroed = 0
	if err := s.active.Truncate(size); err != nil {
		return err
	}
	return s.active.Sync()
}

// settle makes a stored batch known and lets the next requests in.
func (s *Spool) settle(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range b.chunks {
		delete(s.inflight, id)
	}
	s.held -= b.held
	s.extra -= b.extra
	s.settleStored(b)
	if cap(b.buf) <= reuseBuffer {
		s.buffer = b.buf
	}
	s.showFill()
	s.admitWaiting()
	b.finish(nil)
}

func (s *Spool) settleStored(b *batch) {
	g := s.segments[len(s.segments)-1]
	if b.requestEnd > 0 {
		g.requestEnd = g.end() + uint64(b.requestEnd)
	}
	g.size += int64(len(b.buf))
	now := s.outside.now().UnixNano()
	for _, id := range b.chunks {
		s.chunks.add(storedChunk{id, now}, now)
	}
	for _, l := range b.lanes {
		s.keys.put(s.epoch, l.lane, l.key)
		s.offsets[l.lane] = 0
	}
	s.ages.add(g.end()-uint64(len(b.buf)), now)
	s.metrics.appendedBytes.Add(float64(len(b.buf)))
	s.metrics.appendedEntries.Add(float64(b.entries))
	signal(s.committed)
}
