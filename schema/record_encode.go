package schema

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of record.proto.
const (
	fieldEpoch   = 1
	fieldLane    = 2
	fieldOrigins = 3
	fieldOrigin  = 4
	fieldOffset  = 5
	fieldTime    = 6
	fieldKind    = 7
	fieldFlags   = 8
	fieldParts   = 9
	fieldLines   = 10
	fieldTo      = 11
)

// maxTo bounds Batch.To, which every reader of a record holds.
const maxTo = 255

var errOffsetOrder = errors.New("offsets of a batch must not decrease")

// Encoder writes record format v1. It keeps its buffers between calls: some 3
// MiB, and what the largest batch took uncompressed (at most 9 MiB). Not safe for concurrent use.
type Encoder struct {
	zstd    *zstd.Encoder
	plain   []byte // the Batch message, uncompressed
	column  []byte // the column being written
	origins originTable
}

// NewEncoder returns an encoder at the fastest zstd level.
func NewEncoder() *Encoder { return newEncoder(zstd.SpeedFastest) }

// Append appends the record of b to dst and returns the longer slice; b is only
// read. It fails with ErrTooLarge, or when the offsets of b decrease or a part
// or a kind of it cannot be; then dst comes back as it was. Index is not
// written: the decoder numbers events by their place.
func (e *Encoder) Append(dst []byte, b *Batch) ([]byte, error) {
	if err := check(b); err != nil {
		return dst, err
	}
	defer e.origins.reset()
	if !e.origins.fill(b.Events) {
		return dst, fmt.Errorf("origins above 1 MiB: %w", ErrTooLarge)
	}
	p := protowire.AppendTag(e.plain[:0], fieldEpoch, protowire.BytesType)
	p = protowire.AppendBytes(p, b.Epoch[:])
	p = protowire.AppendTag(p, fieldLane, protowire.VarintType)
	p = protowire.AppendVarint(p, uint64(b.Lane))
	p = e.origins.appendTo(p)
	p = e.appendColumns(p, b.Events)
	p = appendParts(p, b.Events)
	for i := range b.Events {
		p = protowire.AppendTag(p, fieldLines, protowire.BytesType)
		p = protowire.AppendBytes(p, b.Events[i].Line)
	}
	if b.To != "" {
		p = protowire.AppendTag(p, fieldTo, protowire.BytesType)
		p = protowire.AppendString(p, b.To)
	}
	e.plain = p
	dst = append(dst, magic...)
	dst = append(dst, version1)
	return e.zstd.EncodeAll(p, dst), nil
}

// check refuses what the decoder would reject: better an error here than a
// record in the stream that nobody can read.
func check(b *Batch) error {
	if len(b.To) > maxTo {
		return fmt.Errorf("a group's name of %d bytes: at most %d", len(b.To), maxTo)
	}
	size, offset := 0, uint64(0)
	for i := range b.Events {
		ev := &b.Events[i]
		if size += EventSize(ev); size > MaxDecoded {
			return ErrTooLarge
		}
		if ev.Offset < offset {
			return fmt.Errorf("event %d: %w", i, errOffsetOrder)
		}
		offset = ev.Offset
		if ev.Kind > KindAudit {
			return fmt.Errorf("event %d: unknown %s", i, ev.Kind)
		}
		if p := &ev.Part; p.Number > p.Count || p.Number == 0 && *p != (Part{}) {
			return fmt.Errorf("event %d: part %d of %d", i, p.Number, p.Count)
		}
	}
	return nil
}

func (e *Encoder) appendColumns(p []byte, events []Event) []byte {
	if len(events) == 0 {
		return p
	}
	c := e.column[:0]
	for i := range events {
		c = protowire.AppendVarint(c, uint64(e.origins.index(events[i].Origin)))
	}
	p = appendColumn(p, fieldOrigin, c)

	c = c[:0]
	offset := uint64(0)
	for i := range events {
		c = protowire.AppendVarint(c, events[i].Offset-offset)
		offset = events[i].Offset
	}
	p = appendColumn(p, fieldOffset, c)

	c = c[:0]
	at := int64(0)
	for i := range events {
		c = protowire.AppendVarint(c, protowire.EncodeZigZag(events[i].Time-at))
		at = events[i].Time
	}
	p = appendColumn(p, fieldTime, c)

	c = c[:0]
	flags := Flags(0)
	for i := range events {
		c = protowire.AppendVarint(c, uint64(events[i].Kind))
		flags |= events[i].Flags
	}
	p = appendColumn(p, fieldKind, c)

	if flags != 0 {
		c = c[:0]
		for i := range events {
			c = protowire.AppendVarint(c, uint64(events[i].Flags))
		}
		p = appendColumn(p, fieldFlags, c)
	}
	e.column = c
	return p
}

func appendColumn(p []byte, field protowire.Number, column []byte) []byte {
	p = protowire.AppendTag(p, field, protowire.BytesType)
	return protowire.AppendBytes(p, column)
}

func appendParts(p []byte, events []Event) []byte {
	for i := range events {
		part := &events[i].Part
		if part.Number == 0 {
			continue
		}
		var buf [48]byte
		m := protowire.AppendTag(buf[:0], 1, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(i))
		m = protowire.AppendTag(m, 2, protowire.BytesType)
		m = protowire.AppendBytes(m, part.Line[:])
		m = protowire.AppendTag(m, 3, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(part.Number))
		m = protowire.AppendTag(m, 4, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(part.Count))
		p = protowire.AppendTag(p, fieldParts, protowire.BytesType)
		p = protowire.AppendBytes(p, m)
	}
	return p
}
