package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"tributary/schema"
)

// Segment format v1. All numbers are little-endian, all checksums CRC-32C.
//
//	segment header, 52 bytes
//	  0  magic "TRBSPOOL"
//	  8  version u32
//	 12  zero u32
//	 16  epoch, 16 bytes
//	 32  base u64        log position of the file's first byte
//	 40  created i64     ns since the Unix epoch
//	 48  crc u32         of the bytes before
//	frame header, 48 bytes
//	  0  magic "TSF1"
//	  4  kind u8         1 request, 2 snapshot, 3 lane key
//	  5  flags u8        bit 0: the chunk field is set
//	  6  zero u16
//	  8  length u32      of the payload that follows the header
//	 12  payload crc u32
//	 16  received i64    ns since the Unix epoch
//	 24  chunk, 16 bytes
//	 40  entries u32     in a request
//	 44  crc u32         of epoch, log position u64 of the frame, and the bytes before
//	entry in a request, 17 bytes and the payload
//	  0  type u8         1 data, 2 mark
//	  1  lane u32
//	  5  offset u64
//	 13  length u32
//
// Every later version begins its segments with these 52 bytes, and its cursor
// slots with their 36: that is how this one tells a later version from damage,
// and refuses to start. A new frame kind, flag or entry type takes a new version,
// because here it would pass for damage and be put aside.
//
// A frame's checksum covers its place in the log. Bytes of a container's line
// that look like a frame, or blocks of an older file, can therefore not pass for
// one when the reader searches its way out of a damaged stretch.
const (
	segmentVersion    = 1
	segmentHeaderSize = 52
	frameHeaderSize   = 48
	entryHeaderSize   = 17

	segmentMagic = "TRBSPOOL"
	frameMagic   = "TSF1"
)

type frameKind byte

const (
	frameRequest  frameKind = 1
	frameSnapshot frameKind = 2
	frameLane     frameKind = 3
)

const flagChunk = 1

const (
	entryData = 1
	entryMark = 2
)

var (
	little     = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

type segmentHeader struct {
	epoch   schema.Epoch
	base    uint64
	created int64
}

func (h segmentHeader) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = little.AppendUint32(dst, segmentVersion)
	dst = little.AppendUint32(dst, 0)
	dst = append(dst, h.epoch[:]...)
	dst = little.AppendUint64(dst, h.base)
	dst = little.AppendUint64(dst, uint64(h.created))
	return little.AppendUint32(dst, checksum(dst[start:]))
}

// parseSegmentHeader returns false for bytes that are no header, and an error
// for a header of a version that this program does not know: those bytes are
// somebody's, not damage.
func parseSegmentHeader(b []byte) (segmentHeader, bool, error) {
	if len(b) < segmentHeaderSize || string(b[:8]) != segmentMagic {
		return segmentHeader{}, false, nil
	}
	if little.Uint32(b[48:]) != checksum(b[:48]) {
		return segmentHeader{}, false, nil
	}
	if v := little.Uint32(b[8:]); v != segmentVersion {
		return segmentHeader{}, false, fmt.Errorf("it has format version %d, this program reads version %d: a later one wrote it, start that one to empty the spool", v, segmentVersion)
	}
	return segmentHeader{
		epoch:   schema.Epoch(b[16:32]),
		base:    little.Uint64(b[32:]),
		created: int64(little.Uint64(b[40:])),
	}, true, nil
}

// frame is one decoded frame; payload belongs to whoever decoded it.
type frame struct {
	kind     frameKind
	hasChunk bool
	chunk    chunkID
	received int64
	entries  uint32
	length   uint32
	crc      uint32
	payload  []byte
}

// appendFrameHeader appends a header that lacks what only the committer knows:
// see sealFrame.
func appendFrameHeader(dst []byte, f frame) []byte {
	var flags byte
	if f.hasChunk {
		flags |= flagChunk
	}
	dst = append(dst, frameMagic...)
	dst = append(dst, byte(f.kind), flags, 0, 0)
	dst = little.AppendUint32(dst, f.length)
	dst = little.AppendUint32(dst, 0)
	dst = little.AppendUint64(dst, uint64(f.received))
	dst = append(dst, f.chunk[:]...)
	dst = little.AppendUint32(dst, f.entries)
	return little.AppendUint32(dst, 0)
}

// closeFrame fills in what is known once the payload is complete.
func closeFrame(b []byte, entries uint32) {
	little.PutUint32(b[8:], uint32(len(b)-frameHeaderSize))
	little.PutUint32(b[40:], entries)
}

func stampFrame(b []byte, received int64) { little.PutUint64(b[16:], uint64(received)) }

// sealFrame computes the checksums of the frame b, which will lie at pos.
func sealFrame(b []byte, epoch schema.Epoch, pos uint64) {
	little.PutUint32(b[12:], checksum(b[frameHeaderSize:]))
	little.PutUint32(b[44:], frameChecksum(b, epoch, pos))
}

// places are buffers of frameChecksum, one for each frame otherwise.
var places = sync.Pool{New: func() any { return new([24]byte) }}

func frameChecksum(header []byte, epoch schema.Epoch, pos uint64) uint32 {
	place := places.Get().(*[24]byte)
	defer places.Put(place)
	copy(place[:], epoch[:])
	little.PutUint64(place[16:], pos)
	return crc32.Update(checksum(place[:]), castagnoli, header[:44])
}

func parseFrameHeader(b []byte, epoch schema.Epoch, pos uint64) (frame, bool) {
	if len(b) < frameHeaderSize || string(b[:4]) != frameMagic {
		return frame{}, false
	}
	if little.Uint32(b[44:]) != frameChecksum(b, epoch, pos) {
		return frame{}, false
	}
	return frame{
		kind:     frameKind(b[4]),
		hasChunk: b[5]&flagChunk != 0,
		length:   little.Uint32(b[8:]),
		crc:      little.Uint32(b[12:]),
		received: int64(little.Uint64(b[16:])),
		chunk:    chunkID(b[24:40]),
		entries:  little.Uint32(b[40:]),
	}, true
}

// whole reports whether the frame's payload is what its header promised.
func (f *frame) whole() bool {
	if uint32(len(f.payload)) != f.length || checksum(f.payload) != f.crc {
		return false
	}
	switch f.kind {
	case frameRequest:
		rest, n := f.payload, uint32(0)
		for ok := true; len(rest) > 0; n++ {
			if _, rest, ok = cutEntry(rest); !ok {
				return false
			}
		}
		return n == f.entries
	case frameSnapshot, frameLane:
		return true
	}
	return false
}

type entry struct {
	mark    bool
	lane    uint32
	offset  uint64
	head    []byte // the payload's beginning; empty in an entry that was read
	payload []byte
}

func appendEntry(dst []byte, e entry) []byte {
	kind := byte(entryData)
	if e.mark {
		kind = entryMark
	}
	dst = append(dst, kind)
	dst = little.AppendUint32(dst, e.lane)
	dst = little.AppendUint64(dst, e.offset)
	dst = little.AppendUint32(dst, uint32(len(e.head)+len(e.payload)))
	return append(append(dst, e.head...), e.payload...)
}

// cutEntry takes the first entry off a request's payload.
func cutEntry(b []byte) (e entry, rest []byte, ok bool) {
	if len(b) < entryHeaderSize || b[0] != entryData && b[0] != entryMark {
		return entry{}, nil, false
	}
	n := int64(little.Uint32(b[13:]))
	if n > int64(len(b)-entryHeaderSize) {
		return entry{}, nil, false
	}
	e = entry{
		mark:    b[0] == entryMark,
		lane:    little.Uint32(b[1:]),
		offset:  little.Uint64(b[5:]),
		payload: b[entryHeaderSize : entryHeaderSize+n : entryHeaderSize+n],
	}
	return e, b[entryHeaderSize+n:], true
}
