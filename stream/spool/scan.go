package spool

import (
	"bytes"
	"fmt"
	"io"
)

const (
	readAhead  = 256 << 10
	keepBuffer = 4 << 20
)

// scanner reads the frames of one segment in order. What is no frame comes out
// as a span of bad bytes; frames and spans together cover the file without gap.
// Not safe for concurrent use.
type scanner struct {
	src  io.ReaderAt
	head segmentHeader
	off  int64 // where the next frame starts

	buf   []byte // file bytes from bufAt
	bufAt int64
}

func newScanner(src io.ReaderAt, head segmentHeader) *scanner {
	return &scanner{src: src, head: head, off: segmentHeaderSize}
}

// span is a stretch of a file, to not included.
type span struct{ from, to int64 }

func (s span) empty() bool { return s.to <= s.from }

// next returns the frame at off, or the stretch of bad bytes there, and moves
// behind it. Neither means that off is at end. The frame's payload is valid until
// the following call.
func (sc *scanner) next(end int64) (f frame, bad span, err error) {
	if sc.off >= end {
		return frame{}, span{}, nil
	}
	start := sc.off
	f, headed, err := sc.frameAt(start, end)
	if err != nil {
		return frame{}, span{}, err
	}
	switch {
	case f.payload != nil:
		sc.off = start + frameHeaderSize + int64(f.length)
		return f, span{}, nil
	case headed && start+frameHeaderSize+int64(f.length) <= end:
		// The header is sound, so the length is: only this frame is lost.
		sc.off = start + frameHeaderSize + int64(f.length)
	default:
		if sc.off, err = sc.resync(start+1, end); err != nil {
			sc.off = start
			return frame{}, span{}, err
		}
	}
	return frame{}, span{start, sc.off}, nil
}

// frameAt reads the frame at off. headed says that the header is sound; the
// payload is nil, even for a sound header, when it is not what was written.
func (sc *scanner) frameAt(off, end int64) (f frame, headed bool, err error) {
	if off+frameHeaderSize > end {
		return frame{}, false, nil
	}
	b, err := sc.window(off, frameHeaderSize, end)
	if err != nil {
		return frame{}, false, err
	}
	f, ok := parseFrameHeader(b, sc.head.epoch, sc.head.base+uint64(off))
	if !ok || off+frameHeaderSize+int64(f.length) > end {
		return f, ok, nil
	}
	b, err = sc.window(off, frameHeaderSize+int64(f.length), end)
	if err != nil {
		return frame{}, false, err
	}
	if f.payload = b[frameHeaderSize:]; !f.whole() {
		f.payload = nil
	}
	return f, true, nil
}

// resync finds the next whole frame at or after off, or end. It searches blocks
// that overlap by less than a magic, so that every candidate is looked at once.
func (sc *scanner) resync(off, end int64) (int64, error) {
	block := make([]byte, max(0, min(readAhead, end-off)))
	for end-off >= frameHeaderSize {
		block = block[:min(int64(len(block)), end-off)]
		if err := readFull(sc.src, block, off); err != nil {
			return 0, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(block[at:], []byte(frameMagic))
			if i < 0 {
				break
			}
			at += i
			f, _, err := sc.frameAt(off+int64(at), end)
			if err != nil {
				return 0, err
			}
			if f.payload != nil {
				return off + int64(at), nil
			}
		}
		off += int64(len(block) - len(frameMagic) + 1)
	}
	return end, nil
}

// window returns n bytes from off, reading ahead up to end.
func (sc *scanner) window(off, n, end int64) ([]byte, error) {
	if off < sc.bufAt || off+n > sc.bufAt+int64(len(sc.buf)) {
		want := min(max(n, readAhead), end-off)
		if int64(cap(sc.buf)) < want || (cap(sc.buf) > keepBuffer && want <= readAhead) {
			sc.buf = make([]byte, want)
		}
		sc.buf, sc.bufAt = sc.buf[:want], off
		if err := readFull(sc.src, sc.buf, off); err != nil {
			sc.buf = sc.buf[:0]
			return nil, err
		}
	}
	from := off - sc.bufAt
	return sc.buf[from : from+n : from+n], nil
}

// readFull reads b from off. Its callers never ask beyond the file's end, so
// fewer bytes are an error too.
func readFull(src io.ReaderAt, b []byte, off int64) error {
	n, err := src.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read segment: %w", err)
}
