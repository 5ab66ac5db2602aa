package refused

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"tributary/schema"
)

// Segment format v1. All numbers are little-endian, all checksums CRC-32C.
//
//	segment header, 16 bytes
//	  0  magic "TRBREJCT"
//	  8  version u32
//	 12  crc u32         of the bytes before
//	reject header, 60 bytes
//	  0  magic "TRJ1"
//	  4  length u32      of what follows the header
//	  8  at i64          when it was refused, ns since the Unix epoch
//	 16  position u64    in the spool
//	 24  epoch, 16 bytes
//	 40  lane u32
//	 44  offset u64
//	 52  crc u32         of what follows the header
//	 56  crc u32         of the bytes before
//	 60  length of the reason uvarint, reason, the record
//
// A reject says all by itself, so a damaged segment header costs nothing else.
const (
	segmentMagic      = "TRBREJCT"
	segmentVersion    = 1
	segmentHeaderSize = 16
	rejectMagic       = "TRJ1"
	rejectHeaderSize  = 60

	segmentSuffix = ".rej"
)

var (
	little     = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ID names an event as consumers know it.
type ID struct {
	Epoch  schema.Epoch
	Lane   uint32
	Offset uint64
}

// Again is the epoch under which rejects of e are sent again.
func Again(e schema.Epoch) (again schema.Epoch) {
	sum := sha256.Sum256(append([]byte("tributary rejects of "), e[:]...))
	copy(again[:], sum[:])
	return again
}

func (id ID) again() ID { return ID{Again(id.Epoch), id.Lane, id.Offset} }

// Reject is one event that the stream refuses for good.
type Reject struct {
	ID
	At       time.Time
	Position uint64 // in the spool, of the entry that completed the event
	Reason   string // the service's words, up to MaxReason bytes of them
	Record   []byte // the event alone, in the record format
}

// MaxReason bounds the reason that is kept.
const MaxReason = 1 << 10

func appendSegmentHeader(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = little.AppendUint32(dst, segmentVersion)
	return little.AppendUint32(dst, checksum(dst[start:]))
}

// checkSegmentHeader returns an error for one of a version that this program does not
// know; ok is false for bytes that are no header.
func checkSegmentHeader(b []byte) (ok bool, err error) {
	if len(b) < segmentHeaderSize || string(b[:8]) != segmentMagic || little.Uint32(b[12:]) != checksum(b[:12]) {
		return false, nil
	}
	if v := little.Uint32(b[8:]); v != segmentVersion {
		return false, fmt.Errorf("it has format version %d, this program reads version %d: a later one wrote it, start that one to send the rejects", v, segmentVersion)
	}
	return true, nil
}

func appendReject(dst []byte, r Reject) []byte {
	reason := r.Reason
	if len(reason) > MaxReason {
		reason = strings.ToValidUTF8(reason[:MaxReason], "") // no half of a character
	}
	start := len(dst)
	dst = append(dst, rejectMagic...)
	dst = little.AppendUint32(dst, 0)
	dst = little.AppendUint64(dst, uint64(r.At.UnixNano()))
	dst = little.AppendUint64(dst, r.Position)
	dst = append(dst, r.Epoch[:]...)
	dst = little.AppendUint32(dst, r.Lane)
	dst = little.AppendUint64(dst, r.Offset)
	dst = little.AppendUint64(dst, 0)
	dst = binary.AppendUvarint(dst, uint64(len(reason)))
	dst = append(dst, reason...)
	dst = append(dst, r.Record...)
	head, body := dst[start:start+rejectHeaderSize], dst[start+rejectHeaderSize:]
	little.PutUint32(head[4:], uint32(len(body)))
	little.PutUint32(head[52:], checksum(body))
	little.PutUint32(head[56:], checksum(head[:56]))
	return dst
}

// cutReject takes the reject at the beginning of b, whose record aliases b. size is 0
// where there is no sound header: else the reject takes so much, sound or not.
func cutReject(b []byte) (r Reject, size int, ok bool) {
	if len(b) < rejectHeaderSize || string(b[:4]) != rejectMagic || little.Uint32(b[56:]) != checksum(b[:56]) {
		return Reject{}, 0, false
	}
	n := int64(little.Uint32(b[4:]))
	if n > int64(len(b)-rejectHeaderSize) {
		return Reject{}, 0, false
	}
	size = rejectHeaderSize + int(n)
	body := b[rejectHeaderSize:size]
	if little.Uint32(b[52:]) != checksum(body) {
		return Reject{}, size, false
	}
	words, used := binary.Uvarint(body)
	if used <= 0 || words > uint64(len(body)-used) {
		return Reject{}, size, false
	}
	record := body[used+int(words):]
	return Reject{
		ID:       ID{schema.Epoch(b[24:40]), little.Uint32(b[40:]), little.Uint64(b[44:])},
		At:       time.Unix(0, int64(little.Uint64(b[8:]))).UTC(),
		Position: little.Uint64(b[16:]),
		Reason:   string(body[used : used+int(words)]),
		Record:   record[:len(record):len(record)],
	}, size, true
}

// scan hands out the rejects of a segment with their place and size. damaged is how
// many bytes are none, end what lies behind the last sound one.
func scan(b []byte, found func(at, size int, r Reject)) (damaged, end int, err error) {
	ok, err := checkSegmentHeader(b)
	if err != nil {
		return 0, 0, err
	}
	at := 0
	if ok {
		at, end = segmentHeaderSize, segmentHeaderSize
	}
	for at < len(b) {
		r, size, ok := cutReject(b[at:])
		if ok {
			found(at, size, r)
			at += size
			end = at
			continue
		}
		if size == 0 {
			size = len(b) - at
			if next := bytes.Index(b[at+1:], []byte(rejectMagic)); next >= 0 {
				size = 1 + next
			}
		}
		damaged += size
		at += size
	}
	return damaged, end, nil
}

func segmentName(n uint64) string { return fmt.Sprintf("%016x%s", n, segmentSuffix) }

func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 63)
	return n, err == nil && segmentName(n) == name
}
