package kinesis

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// A segment file is a header and frames, all little endian.
//
//	header  magic "kinseg" 00 | version 01 | number of the first record it may hold, u64 | time it was made in ms, i64 | CRC-32C of these 24 bytes, u32 | 0, u32
//	frame   length of the body, u32 | CRC-32C of the body, u32 | body
//	body    number, u64 | arrival time in ms, i64 | length of the key, u16 | key | data
const (
	headerBytes  = 32
	frameBytes   = 8
	bodyBytes    = 18
	maxBodyBytes = bodyBytes + maxKeyBytes + maxRecordBytes
	markEvery    = 64 << 10
)

var (
	segmentMagic = []byte("kinseg\x00\x01")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)

	// errTorn: from here on there is no whole frame.
	errTorn = errors.New("torn or corrupt frame")
)

// A frame is one stored record. key and data are valid until the next frame is read.
type frame struct {
	number    uint64
	ms        int64
	key, data []byte
}

func appendFrame(dst []byte, number uint64, ms int64, key string, data []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(bodyBytes+len(key)+len(data)))
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(ms))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key)))
	dst = append(append(dst, key...), data...)
	sum := crc32.Checksum(dst[start+frameBytes:], castagnoli)
	binary.LittleEndian.PutUint32(dst[start+4:], sum)
	return dst
}

// A frameReader reads frames one after the other and keeps the offset behind the last whole one.
type frameReader struct {
	r    *bufio.Reader
	left int64 // bytes not yet read
	off  int64
	body []byte
}

func newFrameReader(r io.ReaderAt, from, to int64) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(io.NewSectionReader(r, from, to-from), 128<<10), left: to - from, off: from}
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
	keyLen := int(binary.LittleEndian.Uint16(body[16:]))
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) || bodyBytes+keyLen > len(body) {
		return frame{}, errTorn
	}
	fr.left -= frameBytes + n
	fr.off += frameBytes + n
	return frame{
		number: binary.LittleEndian.Uint64(body),
		ms:     int64(binary.LittleEndian.Uint64(body[8:])),
		key:    body[bodyBytes : bodyBytes+keyLen],
		data:   body[bodyBytes+keyLen:],
	}, nil
}

// A mark says where a frame starts. Marks grow in all three fields.
type mark struct {
	number uint64
	ms     int64
	off    int64
}

// A segment is one file of a shard. It is copied by value: a copy stays right, because files and marks only grow.
type segment struct {
	path  string
	base  uint64 // no record in it has a lower number
	ms    int64  // no record in it arrived earlier
	size  int64  // whole frames end here
	marks []mark // one per markEvery bytes
	known bool   // marks are complete; a segment found at open is read when first needed
}

func (s *segment) note(number uint64, ms, off int64) {
	if len(s.marks) == 0 || off-s.marks[len(s.marks)-1].off >= markEvery {
		s.marks = append(s.marks, mark{number, ms, off})
	}
}

// start is an offset at or before the first record that has at least this number and arrived no earlier than ms.
func (s *segment) start(number uint64, ms int64) int64 {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].number >= number && s.marks[i].ms >= ms })
	if i == 0 {
		return headerBytes
	}
	return s.marks[i-1].off
}

// createSegment makes the file and its header. The file is open for writing at its end.
func createSegment(dir string, base uint64, ms int64) (segment, *os.File, error) {
	path := filepath.Join(dir, fmt.Sprintf("%020d.seg", base))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return segment{}, nil, fmt.Errorf("create segment: %w", err)
	}
	if _, err := f.Write(appendHeader(nil, base, ms)); err != nil {
		return segment{}, nil, errors.Join(fmt.Errorf("write segment header: %w", err), f.Close())
	}
	return segment{path: path, base: base, ms: ms, size: headerBytes, known: true}, f, nil
}

func appendHeader(dst []byte, base uint64, ms int64) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, base)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(ms))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, 0, 0, 0, 0)
}

// findSegment reads a file's header. errTorn: the file was not finished when the process died; it holds nothing that was answered.
func findSegment(path string) (segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return segment{}, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return segment{}, fmt.Errorf("open segment: %w", err)
	}
	var head [headerBytes]byte
	if _, err := io.ReadFull(f, head[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return segment{}, errTorn
	} else if err != nil {
		return segment{}, fmt.Errorf("read segment header: %w", err)
	}
	if !bytes.Equal(head[:8], segmentMagic) {
		return segment{}, fmt.Errorf("%s is not a segment of a version this program reads", path)
	}
	if crc32.Checksum(head[:24], castagnoli) != binary.LittleEndian.Uint32(head[24:]) {
		return segment{}, fmt.Errorf("%s: segment header is corrupt", path)
	}
	return segment{
		path: path,
		base: binary.LittleEndian.Uint64(head[8:]),
		ms:   int64(binary.LittleEndian.Uint64(head[16:])),
		size: info.Size(),
	}, nil
}

// index reads the whole file and makes the marks. It sets size to the end of the last whole frame and returns the last record's
// number and time (zero without records) and whether anything lies behind that end.
func (s *segment) index() (number uint64, ms int64, torn bool, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, 0, false, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	fr := newFrameReader(f, headerBytes, s.size)
	for s.marks = nil; ; {
		off := fr.off
		rec, err := fr.next()
		if err == io.EOF || err == errTorn {
			s.size, s.known = fr.off, true
			return number, ms, err == errTorn, nil
		}
		if err != nil {
			return 0, 0, false, err
		}
		number, ms = rec.number, rec.ms
		s.note(number, ms, off)
	}
}

// scan calls emit with each record from start on until emit returns false.
func (s *segment) scan(start int64, emit func(frame) bool) (stopped bool, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return false, fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	fr := newFrameReader(f, start, s.size)
	for {
		rec, err := fr.next()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s at byte %d: %w", s.path, fr.off, err)
		}
		if !emit(rec) {
			return true, nil
		}
	}
}
