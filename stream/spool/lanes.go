package spool

import (
	"context"
	"fmt"

	"tributary/schema"
)

// maxLaneKey is what Kinesis takes as a partition key: 256 characters, here
// counted as bytes.
const maxLaneKey = 256

// OpenLane gives key a lane of this epoch. The key is on disk, synced, when
// OpenLane returns: after a crash the outcome of everything sent under it is
// unknown and it must be sent under the same key again. Lanes are numbered from 1.
// It waits for the committer, that is, for Run. It does not count toward the
// bounds.
func (s *Spool) OpenLane(ctx context.Context, key string) (uint32, error) {
	if len(key) == 0 || len(key) > maxLaneKey {
		return 0, fmt.Errorf("open lane: the key has %d bytes, must have 1 to %d", len(key), maxLaneKey)
	}
	b, lane, err := s.enqueueLane(key)
	if err == nil {
		err = b.wait(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("open lane: %w", err)
	}
	return lane, nil
}

func (s *Spool) enqueueLane(key string) (*batch, uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, 0, ErrClosed
	}
	s.lastLane++
	lane, b := s.lastLane, s.batch
	before := len(b.buf)
	b.add(frame{kind: frameLane, received: s.outside.now().UnixNano()}, func(dst []byte) []byte {
		return appendLane(dst, lane, key)
	})
	b.lanes = append(b.lanes, openedLane{lane, key})
	s.countExtra(int64(len(b.buf) - before))
	signal(s.wake)
	return b, lane, nil
}

// LaneKey returns the partition key of a lane of this epoch, or of an epoch that
// still has entries in the log.
func (s *Spool) LaneKey(e schema.Epoch, lane uint32) (key string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok = s.keys[e][lane]
	return key, ok
}
