package spool

import (
	"context"
	"fmt"
	"time"
)

const (
	// reuseBuffer is the largest buffer kept between commits.
	reuseBuffer = 8 << 20
	// retryMarks is the pause before a failed commit is tried again for its
	// marks, which nobody sends a second time.
	retryMarks = time.Second
)

// commitUntil commits whenever something is pending.
func (s *Spool) commitUntil(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-s.wake:
		case <-retry.C:
		case <-ctx.Done():
			return
		}
		// The error went to the waiters; marks stay in the batch.
		if s.commit() != nil {
			retry.Reset(retryMarks)
		}
	}
}

// commit writes the pending batch and tells its waiters.
func (s *Spool) commit() error {
	s.mu.Lock()
	b := s.batch
	if len(b.frames) == 0 {
		spent := !s.stopping && len(s.queue) > 0 && s.newestIsSpent()
		s.mu.Unlock()
		if spent {
			return s.renew()
		}
		return nil
	}
	s.batch, s.buffer = newBatch(s.buffer), nil
	s.mu.Unlock()

	start := time.Now()
	err := s.store(b)
	s.metrics.commitSeconds.Observe(time.Since(start).Seconds())
	s.settle(b, err)
	s.report(err)
	return err
}

// newestIsSpent says that the newest segment holds requests and all of them are
// done. s.mu is held.
func (s *Spool) newestIsSpent() bool {
	g := s.segments[len(s.segments)-1]
	return g.requestEnd > 0 && g.finished(s.cursor.pos.Load())
}

// renew lets the newest segment go when it is all that takes up the room which
// appends wait for. Marks go beyond the bounds and can make it so large.
func (s *Spool) renew() error {
	if err := s.rotate(s.newest().end()); err != nil {
		s.report(err)
		return err
	}
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
// What must not happen: b fails, its clients send the same chunks again, the
// copies are stored under new offsets, the process restarts, and the bytes of b
// are read as well. So, after a failure, before anything else is stored:
//
//  1. a failed write: the segment is cut back to the committed length, and the
//     cut is synced. If both succeed the segment goes on (a full disk).
//  2. a failed sync, or a failed cut: what the disk holds of b is unknown, and so
//     is what the kernel still believes to be clean. The segment is left, cut or
//     not: the next commit must first start a segment whose base is the committed
//     length, and whatever the old file holds from that position on is dead.
//
// If the process dies before step 2 has its new segment, the bytes of b may come
// back to life. Nothing was stored after them then, and the chunk ids come back
// with them, so the clients' copies are known.
func (s *Spool) store(b *batch) error {
	g := s.newest()
	frames := g.size - g.overhead
	if s.leaving || frames > 0 && frames+int64(len(b.buf)) > s.cfg.SegmentBytes {
		if err := s.rotate(g.end()); err != nil {
			return err
		}
		// A segment that was left before its first request holds nothing. On a
		// disk that fails again and again they would pile up.
		if g.requestEnd == 0 {
			s.trimNow()
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
	if _, err := s.active.WriteAt(b.buf, g.size); err != nil {
		s.leaving = s.cutBack(g.size) != nil
		return fmt.Errorf("write segment: %w", err)
	}
	if s.cfg.Ack == AckWritten && len(b.lanes) == 0 {
		return nil
	}
	if err := s.active.Sync(); err != nil {
		s.leaving = true
		if cut := s.cutBack(g.size); cut != nil {
			s.log.Error("uncommitted spool bytes could not be cut off", "segment", g.name(), "err", cut)
		}
		return fmt.Errorf("sync segment: %w", err)
	}
	return nil
}

func (s *Spool) cutBack(size int64) error {
	if err := s.active.Truncate(size); err != nil {
		return err
	}
	return s.active.Sync()
}

// settle makes a stored batch known, or takes a failed one back, and lets the
// next requests in.
func (s *Spool) settle(b *batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range b.chunks {
		delete(s.inflight, id)
	}
	s.held -= b.held
	s.extra -= b.extra
	if err == nil {
		s.settleStored(b)
	} else {
		s.keepMarks(b)
	}
	if cap(b.buf) <= reuseBuffer {
		s.buffer = b.buf
	}
	s.showFill()
	s.admitWaiting()
	b.finish(err)
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
	s.metrics.appendedBytes.Add(float64(len(b.buf)))
	s.metrics.appendedEntries.Add(float64(b.entries))
	signal(s.committed)
}

// keepMarks puts the marks of a failed batch before everything that came since,
// under the offsets they have: offsets of a lane grow along the log.
func (s *Spool) keepMarks(failed *batch) {
	if len(failed.marks) == 0 {
		return
	}
	next := s.batch
	kept := &batch{
		chunks: next.chunks, lanes: next.lanes, entries: next.entries + len(failed.marks),
		held: next.held, extra: next.extra, done: next.done,
	}
	for i, at := range failed.marks {
		start, end := failed.frames[at], len(failed.buf)
		if at+1 < len(failed.frames) {
			end = failed.frames[at+1]
		}
		kept.marks = append(kept.marks, i)
		kept.frames = append(kept.frames, len(kept.buf))
		kept.buf = append(kept.buf, failed.buf[start:end]...)
	}
	moved := int64(len(kept.buf))
	kept.requestEnd = len(kept.buf) + next.requestEnd
	for _, at := range next.marks {
		kept.marks = append(kept.marks, at+len(failed.marks))
	}
	for _, start := range next.frames {
		kept.frames = append(kept.frames, start+int(moved))
	}
	kept.buf = append(kept.buf, next.buf...)
	kept.extra += moved
	s.extra += moved
	// Appends already wait for next's outcome and chunk ids point at it: it stays
	// the same batch with new contents.
	*next = *kept
}

// report logs when commits begin to fail and when they succeed again, not every
// time: clients send again and again.
func (s *Spool) report(err error) {
	if err != nil {
		s.metrics.commitsFail.Inc()
		if !s.failing {
			s.log.Error("spool cannot store, clients are told to send again", "err", err)
		}
	} else {
		s.metrics.commitsOK.Inc()
		if s.failing {
			s.log.Info("spool stores again")
		}
	}
	s.failing = err != nil
}
