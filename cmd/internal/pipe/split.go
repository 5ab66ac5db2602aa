package pipe

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
)

// pieceBytes is where Docker cuts lines (moby, daemon/logger/copier.go,
// defaultBufSize). Lines of up to so many bytes are whole.
const pieceBytes = 16 << 10

// piece is a line, or a part of one.
type piece struct {
	data    []byte // the splitter's or the reader's: valid only during the call
	at      int64  // nanoseconds since the Unix epoch; of all pieces of a line that of the first
	id      []byte // 64 hex digits, the line's; nil: this is a whole line
	ordinal int    // from 1
	last    bool   // the line ends here
}

// splitter cuts a stream of bytes into lines, and long lines into pieces.
type splitter struct {
	rest    []byte // the beginning of a line, or of its next piece; at most pieceBytes
	id      []byte // of the line of which pieces are out
	ordinal int
	at      int64 // of its first piece
}

// take cuts b, which was read at the time at, and gives what is complete to emit.
// It ends at emit's first error.
//
// A piece is only cut off when the byte behind it is there, so that no line ends
// in an empty piece.
func (s *splitter) take(b []byte, at int64, emit func(piece) error) error {
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		b = rest
		for len(s.rest)+len(line) > pieceBytes {
			n := pieceBytes - len(s.rest)
			s.rest = append(s.rest, line[:n]...)
			line = line[n:]
			if err := s.cut(at, emit); err != nil {
				return err
			}
		}
		if ended && len(s.rest) == 0 && s.ordinal == 0 {
			if err := emit(piece{data: line, at: at, last: true}); err != nil {
				return err
			}
			continue
		}
		s.rest = append(s.rest, line...)
		if ended {
			if err := s.end(at, emit); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish gives what follows the last newline to emit.
func (s *splitter) finish(at int64, emit func(piece) error) error {
	if len(s.rest) == 0 {
		return nil
	}
	return s.end(at, emit)
}

// cut emits rest as a piece behind which the line goes on.
func (s *splitter) cut(at int64, emit func(piece) error) error {
	if s.ordinal == 0 {
		var raw [32]byte
		rand.Read(raw[:]) // never fails
		s.id, s.at = hex.AppendEncode(s.id[:0], raw[:]), at
	}
	s.ordinal++
	p := piece{data: s.rest, at: s.at, id: s.id, ordinal: s.ordinal}
	s.rest = s.rest[:0]
	return emit(p)
}

// end emits rest as a line's end, or as a line.
func (s *splitter) end(at int64, emit func(piece) error) error {
	p := piece{data: s.rest, at: at, last: true}
	if s.ordinal > 0 {
		p.at, p.id, p.ordinal = s.at, s.id, s.ordinal+1
	}
	s.rest, s.ordinal = s.rest[:0], 0
	return emit(p)
}
