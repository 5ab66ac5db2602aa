package consumers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"tributary/schema"
)

// A stored map, version 1: "TRMK", the version byte, the count of epochs and each
// (16 bytes), the count of entries and each (index of its epoch, lane, offset),
// least recently seen first, then the CRC-32C of all before, little-endian. All
// counts and numbers are unsigned varints.
const (
	marksMagic   = "TRMK"
	marksVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m *marks) encode() []byte {
	entries := m.list()
	index := make(map[schema.Epoch]uint64)
	var epochs []byte
	for _, k := range entries {
		if _, ok := index[k.epoch]; !ok {
			index[k.epoch] = uint64(len(index))
			epochs = append(epochs, k.epoch[:]...)
		}
	}
	data := append([]byte(marksMagic), marksVersion)
	data = binary.AppendUvarint(data, uint64(len(index)))
	data = append(data, epochs...)
	data = binary.AppendUvarint(data, uint64(len(entries)))
	for _, k := range entries {
		data = binary.AppendUvarint(data, index[k.epoch])
		data = binary.AppendUvarint(data, uint64(k.lane))
		data = binary.AppendUvarint(data, k.offset)
	}
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

var errMarks = errors.New("de-duplication map is damaged")

func decodeMarks(data []byte, limit int) (*marks, error) {
	if len(data) < len(marksMagic)+1+4 || string(data[:len(marksMagic)]) != marksMagic {
		return nil, errMarks
	}
	if v := data[len(marksMagic)]; v != marksVersion {
		return nil, fmt.Errorf("de-duplication map of version %d: this program knows %d", v, marksVersion)
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errMarks
	}
	r := varints{body[len(marksMagic)+1:], true}
	count := r.next()
	if count > uint64(len(r.rest)/len(schema.Epoch{})) {
		return nil, errMarks
	}
	epochs := make([]schema.Epoch, count)
	for i := range epochs {
		r.rest = r.rest[copy(epochs[i][:], r.rest):]
	}
	m := newMarks(limit)
	for n := r.next(); n > 0 && r.ok; n-- {
		epoch, lane, offset := r.next(), r.next(), r.next()
		if epoch >= count || lane > 1<<32-1 {
			return nil, errMarks
		}
		m.raise(laneKey{epochs[epoch], uint32(lane)}, offset)
	}
	if !r.ok || len(r.rest) > 0 {
		return nil, errMarks
	}
	return m, nil
}

type varints struct {
	rest []byte
	ok   bool
}

func (v *varints) next() uint64 {
	n, size := binary.Uvarint(v.rest)
	if size <= 0 {
		v.ok = false
		return 0
	}
	v.rest = v.rest[size:]
	return n
}
