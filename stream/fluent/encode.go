package fluent

import (
	"encoding/binary"
	"time"
)

// Field is one member of a record to be sent.
type Field struct {
	Name  string
	Value []byte // any bytes; they go out as a msgpack string, as Docker sends them
}

// AppendEntry appends one entry, [time, record], to dst, as Client.Send takes
// them. ns is in nanoseconds since the Unix epoch and goes out as an EventTime,
// which ends in the year 2106.
func AppendEntry(dst []byte, ns int64, fields ...Field) []byte {
	dst = append(dst, 0x92, 0xd7, 0x00) // an array of two; an ext of 8 bytes, type 0
	dst = binary.BigEndian.AppendUint32(dst, uint32(ns/int64(time.Second)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(ns%int64(time.Second)))
	if len(fields) < 16 {
		dst = append(dst, 0x80|byte(len(fields)))
	} else {
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdf), uint32(len(fields)))
	}
	for i := range fields {
		dst = append(appendStringHead(dst, len(fields[i].Name)), fields[i].Name...)
		dst = append(appendStringHead(dst, len(fields[i].Value)), fields[i].Value...)
	}
	return dst
}

func appendStringHead(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, 0xa0|byte(n))
	case n < 1<<8:
		return append(dst, 0xd9, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
}

// packedOverhead is more than appendPacked adds to tag and entries.
const packedOverhead = 64

// appendPacked appends a PackedForward request: [tag, entries, {"chunk": id, "size": events}].
func appendPacked(dst []byte, tag string, entries []byte, events int, id string) []byte {
	dst = append(appendStringHead(append(dst, 0x93), len(tag)), tag...)
	dst = binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(len(entries)))
	dst = append(dst, entries...)
	dst = append(dst, "\x82\xa5chunk"...)
	dst = append(appendStringHead(dst, len(id)), id...)
	dst = append(dst, "\xa4size\xce"...)
	return binary.BigEndian.AppendUint32(dst, uint32(events))
}
