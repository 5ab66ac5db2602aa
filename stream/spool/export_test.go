package spool

import (
	"bytes"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// OpenWith is Open with another disk, clock and randomness.
func OpenWith(cfg Config, reg prometheus.Registerer, log *slog.Logger, d Disk, now func() time.Time, random io.Reader) (*Spool, error) {
	return open(cfg, reg, log, outside{disk: d, now: now, random: random})
}

// WithSegmentVersion is a segment's bytes under another format version.
func WithSegmentVersion(segment []byte, version uint32) []byte {
	b := append([]byte(nil), segment...)
	little.PutUint32(b[8:], version)
	little.PutUint32(b[48:], checksum(b[:48]))
	return b
}

// Frames reads a segment's content and returns how many frames and bad stretches
// it has and how many bytes they cover.
func Frames(content []byte) (frames, bad int, covered int64, err error) {
	b := content[:min(len(content), segmentHeaderSize)]
	head, ok, err := parseSegmentHeader(b)
	if !ok || err != nil {
		return 0, 0, 0, err
	}
	sc := newScanner(bytes.NewReader(content), head)
	size := int64(len(content))
	for sc.off < size {
		f, stretch, err := sc.next(size)
		if err != nil {
			return 0, 0, 0, err
		}
		if stretch.empty() {
			frames++
			covered += frameHeaderSize + int64(len(f.payload))
		} else {
			bad++
			covered += stretch.to - stretch.from
		}
	}
	return frames, bad, covered, nil
}

// ReframedAs is content as the payload of a sound request or snapshot frame, in a
// sound segment at base 0.
func ReframedAs(content []byte, snapshot bool, entries uint32) []byte {
	h := segmentHeader{}
	b := h.append(nil)
	f := frame{kind: frameRequest}
	if snapshot {
		f.kind = frameSnapshot
	}
	b = append(appendFrameHeader(b, f), content...)
	closeFrame(b[segmentHeaderSize:], entries)
	sealFrame(b[segmentHeaderSize:], h.epoch, segmentHeaderSize)
	return b
}

// ParseSnapshot counts what a snapshot's payload holds.
func ParseSnapshot(payload []byte) (lanes, chunks int, ok bool) {
	keys := make(laneKeys)
	ok = parseSnapshot(payload, keys, func(storedChunk) { chunks++ })
	for _, k := range keys {
		lanes += len(k)
	}
	return lanes, chunks, ok
}

// ParseCursor returns the position and state of a cursor slot.
func ParseCursor(b []byte) (pos uint64, state []byte, ok bool, err error) {
	s, ok, err := parseSlot(b)
	return s.pos, s.state, ok, err
}
