package filter

import (
	"encoding/binary"
	"math"
)

// odds say which events go on: those with a hash below a bound, or all.
type odds struct {
	all   bool
	below uint64
}

func oddsOf(rate float64) odds {
	if rate >= 1 {
		return odds{all: true}
	}
	return odds{below: uint64(math.Ldexp(rate, 64))}
}

// lets says whether an event goes on, by the key at the paths.
func (o odds) lets(l *look, key []int) bool {
	return o.all || o.below > 0 && l.hash(key) < o.below
}

// hash is the number that sampling goes by, see the package's documentation. It is
// frozen: a worker of another version must choose the same.
func (l *look) hash(key []int) uint64 {
	for _, path := range key {
		if raw := l.value(path); raw != nil {
			if text, ok := l.text(raw); ok && len(text) > 0 {
				return finish(fnv(offset64, text))
			}
		}
	}
	e, s := l.of.Event, l.of
	var buf [28]byte
	switch {
	case e.Part.Number != 0:
		return finish(fnv(offset64, e.Part.Line[:]))
	case !s.Epoch.IsZero():
		id := append(buf[:0], s.Epoch[:]...)
		id = binary.BigEndian.AppendUint32(id, s.Lane)
		id = binary.BigEndian.AppendUint64(id, e.Offset)
		return finish(fnv(offset64, id))
	case s.Record != "":
		h := fnv(offset64, s.Record)
		return finish(fnv(h, binary.BigEndian.AppendUint32(buf[:0], e.Index)))
	}
	return finish(fnv(offset64, e.Line))
}

const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

// fnv goes on with the FNV-1a hash h.
func fnv[T string | []byte](h uint64, text T) uint64 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime64
	}
	return h
}

// finish is fmix64: FNV-1a alone leaves the high bits of short keys much alike.
func finish(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
