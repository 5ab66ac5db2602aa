package forwarder

import (
	"encoding/binary"
	"errors"
)

// A spool entry of the forwarder, version 1:
//
//	arrived: 0x01, time (8 bytes, big endian, ns), len(tag) uvarint, tag, record (msgpack map)
//	close:   0x02, line key
//
// The first byte is version and type in one; a later version takes new values.
const (
	payloadArrived = 0x01
	payloadClose   = 0x02
)

var errPayload = errors.New("malformed spool payload")

// arrival is what one Forward event leaves in the spool. Its slices alias the
// payload.
type arrival struct {
	time   int64
	tag    []byte
	record []byte
}

func appendArrival(dst []byte, a arrival) []byte {
	return append(appendHead(dst, a), a.record...)
}

// appendHead appends all of an arrival but the record, which is by far the most.
func appendHead(dst []byte, a arrival) []byte {
	dst = append(dst, payloadArrived)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.time))
	dst = binary.AppendUvarint(dst, uint64(len(a.tag)))
	return append(dst, a.tag...)
}

func parseArrival(p []byte) (arrival, error) {
	if len(p) < 9 || p[0] != payloadArrived {
		return arrival{}, errPayload
	}
	a := arrival{time: int64(binary.BigEndian.Uint64(p[1:]))}
	p = p[9:]
	n, used := binary.Uvarint(p)
	if used <= 0 || n > uint64(len(p)-used) {
		return arrival{}, errPayload
	}
	p = p[used:]
	a.tag, a.record = p[:n:n], p[n:]
	return a, nil
}

func closeMark(key string) []byte { return append([]byte{payloadClose}, key...) }

func parseCloseMark(p []byte) (key string, err error) {
	if len(p) < 1 || p[0] != payloadClose {
		return "", errPayload
	}
	return string(p[1:]), nil
}
