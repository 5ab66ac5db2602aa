package spool

import "math"

// A sync of a file that has grown is a commit of the file system's journal as well. So
// zeros are written before small commits need the room, which then lie in the middle of
// the file. Large ones have little to gain, and the zeros would be as many bytes again.
//
// Nobody reads zeros as entries. A process that dies leaves them behind its last entry,
// where they are no damage; see replaySegment.
const (
	zerosAhead  = 256 << 10
	smallCommit = 64 << 10
)

var zeros [zerosAhead]byte

// writeAhead writes zeros behind a commit of n bytes that will end at end, if there are
// none. A disk that takes none is not asked again before the next segment.
func (s *Spool) writeAhead(end int64, n int) {
	if s.cfg.Ack != AckSynced || n > smallCommit || end <= s.zeroed {
		return
	}
	if _, err := s.active.WriteAt(zeros[:], end); err != nil {
		s.zeroed = math.MaxInt64
		return
	}
	s.zeroed = end + zerosAhead
}

// dropAhead takes the zeros off a file that is not written any more. That fails to no
// harm.
func (s *Spool) dropAhead(f File, g *segment) {
	if s.zeroed > g.size && s.zeroed != math.MaxInt64 && !g.dead {
		_ = f.Truncate(g.size)
	}
	s.zeroed = 0
}

// blank says that bad bytes are zeros, as they lie ahead of the last entry.
func (sc *scanner) blank(bad span) (bool, error) {
	for at := bad.from; at < bad.to; at += readAhead {
		block := make([]byte, min(readAhead, bad.to-at))
		if err := readFull(sc.src, block, at); err != nil {
			return false, err
		}
		for _, b := range block {
			if b != 0 {
				return false, nil
			}
		}
	}
	return true, nil
}
