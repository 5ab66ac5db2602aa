package logs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
)

// A segment file is a header and frames, all little endian. A frame holds events that came in one call, some 64 KiB of them at most,
// in the order of their timestamps.
//
//	header  magic "logseg" 00 | version 01 | number of the first event it may hold, u64 | CRC-32C of these 16 bytes, u32 | 0, u32
//	frame   length of the body, u32 | CRC-32C of the body, u32 | body
//	body    number of the first event, u64 | arrival time in ms, i64 | events, u32 | events
//	event   timestamp in ms, i64 | length of the message, u32 | message
const (
	headerBytes  = 24
	frameBytes   = 8
	bodyBytes    = 20
	eventBytes   = 12
	blockBytes   = 64 << 10
	maxBodyBytes = bodyBytes + blockBytes + eventBytes + maxBatchBytes
)

var (
	segmentMagic = []byte("logseg\x00\x01")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)

	// errTorn: from here on there is no whole frame.
	errTorn = errors.New("torn or corrupt frame")
)

// appendFrame adds a frame with as many of the events, which arrived at ms, as it takes, and gives how many; the first has this number.
func appendFrame(dst []byte, number uint64, ms int64, events []inputLogEvent) ([]byte, int) {
	start, n := len(dst), 0
	dst = append(dst, make([]byte, frameBytes)...)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(ms))
	count := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for n < len(events) && (n == 0 || len(dst)-start+eventBytes+len(events[n].Message) <= blockBytes) {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(*events[n].Timestamp))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(events[n].Message)))
		dst = append(dst, events[n].Message...)
		n++
	}
	binary.LittleEndian.PutUint32(dst[count:], uint32(n))
	body := dst[start+frameBytes:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(body, castagnoli))
	return dst, n
}

// A frame is a frame's body, valid until the next one is read.
type frame struct {
	number uint64
	ms     int64
	count  int
	events []byte
}

// parseBody checks that the body is one that appendFrames makes.
func parseBody(body []byte) (frame, error) {
	f := frame{
		number: binary.LittleEndian.Uint64(body),
		ms:     int64(binary.LittleEndian.Uint64(body[8:])),
		count:  int(binary.LittleEndian.Uint32(body[16:])),
		events: body[bodyBytes:],
	}
	rest := f.events
	for range f.count {
		if len(rest) < eventBytes {
			return frame{}, errTorn
		}
		n := int(binary.LittleEndian.Uint32(rest[8:]))
		if n > len(rest)-eventBytes {
			return frame{}, errTorn
		}
		rest = rest[eventBytes+n:]
	}
	if f.count == 0 || len(rest) > 0 {
		return frame{}, errTorn
	}
	return f, nil
}

// all gives each event's timestamp and message.
func (f frame) all(yield func(int64, []byte) bool) {
	rest := f.events
	for range f.count {
		n := int(binary.LittleEndian.Uint32(rest[8:]))
		if !yield(int64(binary.LittleEndian.Uint64(rest)), rest[eventBytes:eventBytes+n]) {
			return
		}
		rest = rest[eventBytes+n:]
	}
}

// A frameReader reads frames one after the other and keeps the offset behind the last whole one.
type frameReader struct {
	r    *bufio.Reader
	left int64 // bytes not yet read
	off  int64
	body []byte
}

func newFrameReader(r io.ReaderAt, from, to int64) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(io.NewSectionReader(r, from, to-from), 64<<10), left: to - from, off: from}
}

// next returns io.EOF at the end and errTorn where no whole frame follows. Other errors are the disk's.
func (fr *frameReader) next() (frame, error) {
	if fr.left == 0 {
		return frame{}, io.EOF
	}
	var head [frameBytes]byte
	if fr.left < frameBytes+bodyBytes {
		return frame{}, errTorn
	}
	if _, err := io.ReadFull(fr.r, head[:]); err != nil {
		return frame{}, fmt.Errorf("read frame: %w", err)
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n < bodyBytes || n > maxBodyBytes || n > fr.left-frameBytes {
		return frame{}, errTorn
	}
	if int64(cap(fr.body)) < n {
		fr.body = make([]byte, n)
	}
	body := fr.body[:n]
	if _, err := io.ReadFull(fr.r, body); err != nil {
		return frame{}, fmt.Errorf("read frame: %w", err)
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return frame{}, errTorn
	}
	f, err := parseBody(body)
	if err != nil {
		return frame{}, err
	}
	fr.left -= frameBytes + n
	fr.off += frameBytes + n
	return f, nil
}

// A mark says where some frames are and which timestamps are in them.
type mark struct {
	off, end int64
	lo, hi   int64
}

// A segment is one file of a stream.
type segment struct {
	path  string
	base  uint64 // no event in it has a lower number
	size  int64  // whole frames end here
	marks []mark
}

// createSegment makes the file. One that a crash left unfinished under the same name is replaced.
func createSegment(dir string, base uint64) (segment, error) {
	path := filepath.Join(dir, fmt.Sprintf("%020d.seg", base))
	if err := os.WriteFile(path, appendHeader(nil, base), 0o644); err != nil {
		return segment{}, fmt.Errorf("create segment: %w", err)
	}
	return segment{path: path, base: base, size: headerBytes}, nil
}

func appendHeader(dst []byte, base uint64) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, base)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, 0, 0, 0, 0)
}

// A tail is where a segment ends: its last event's number and arrival, zero without events, and whether anything lies behind.
type tail struct {
	number uint64
	ms     int64
	torn   bool
}

// openSegment reads the whole file and makes the marks. errTorn: not even the header is whole, so nothing in it was answered.
func openSegment(path string) (s segment, end tail, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, end, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, end, fmt.Errorf("open segment: %w", err)
	}
	var head [headerBytes]byte
	if _, err := io.ReadFull(f, head[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return s, end, errTorn
	} else if err != nil {
		return s, end, fmt.Errorf("read segment header: %w", err)
	}
	if !bytes.Equal(head[:8], segmentMagic) {
		return s, end, fmt.Errorf("%s is not a segment of a version this program reads", path)
	}
	if crc32.Checksum(head[:16], castagnoli) != binary.LittleEndian.Uint32(head[16:]) {
		return s, end, fmt.Errorf("%s: segment header is corrupt", path)
	}
	s = segment{path: path, base: binary.LittleEndian.Uint64(head[8:])}
	fr := newFrameReader(f, headerBytes, info.Size())
	for {
		off := fr.off
		fm, err := fr.next()
		if err == io.EOF || err == errTorn {
			s.size, end.torn = fr.off, err == errTorn
			return s, end, nil
		}
		if err != nil {
			return s, end, err
		}
		lo, hi := fm.span()
		s.note(mark{off, fr.off, lo, hi})
		end.number, end.ms = fm.number+uint64(fm.count)-1, fm.ms
	}
}

func (f frame) span() (lo, hi int64) {
	lo, hi = math.MaxInt64, math.MinInt64
	for ts := range f.all {
		lo, hi = min(lo, ts), max(hi, ts)
	}
	return lo, hi
}

func (s *segment) note(m mark) {
	if n := len(s.marks); n > 0 && s.marks[n-1].end-s.marks[n-1].off < blockBytes {
		last := &s.marks[n-1]
		last.end, last.lo, last.hi = m.end, min(last.lo, m.lo), max(last.hi, m.hi)
		return
	}
	s.marks = append(s.marks, m)
}

// newest is the highest timestamp in the segment.
func (s *segment) newest() int64 {
	hi := int64(math.MinInt64)
	for _, m := range s.marks {
		hi = max(hi, m.hi)
	}
	return hi
}
