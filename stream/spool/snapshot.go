package spool

import (
	"encoding/binary"
	"maps"
	"slices"

	"tributary/schema"
)

// laneKeys are the partition keys of lanes, by epoch and lane.
type laneKeys map[schema.Epoch]map[uint32]string

func (k laneKeys) put(e schema.Epoch, lane uint32, key string) {
	if k[e] == nil {
		k[e] = make(map[uint32]string)
	}
	k[e][lane] = key
}

// A snapshot's payload, counts and lengths as unsigned varints:
//
//	epochs, then per epoch: 16 bytes, lanes, then per lane: lane, key length, key
//	chunks, then per chunk, oldest first: id 16 bytes, stored i64
//
// What follows is of a later version and skipped, as it is behind a lane's key.
func appendSnapshot(dst []byte, keys laneKeys, chunks []storedChunk) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	compare := func(a, b schema.Epoch) int { return slices.Compare(a[:], b[:]) }
	for _, e := range slices.SortedFunc(maps.Keys(keys), compare) {
		dst = append(dst, e[:]...)
		dst = binary.AppendUvarint(dst, uint64(len(keys[e])))
		for _, lane := range slices.Sorted(maps.Keys(keys[e])) {
			dst = appendLane(dst, lane, keys[e][lane])
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(chunks)))
	for _, c := range chunks {
		dst = append(dst, c.id[:]...)
		dst = little.AppendUint64(dst, uint64(c.at))
	}
	return dst
}

// appendLane is also the whole payload of a lane frame.
func appendLane(dst []byte, lane uint32, key string) []byte {
	dst = binary.AppendUvarint(dst, uint64(lane))
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	return append(dst, key...)
}

// cutter takes a payload apart. After the first thing that does not fit, broken
// is set and everything is zero. It allocates nothing by a count it only read.
type cutter struct {
	rest   []byte
	broken bool
}

func (c *cutter) bytes(n uint64) []byte {
	if c.broken || n > uint64(len(c.rest)) {
		c.broken = true
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cutter) number() uint64 {
	v, n := binary.Uvarint(c.rest)
	if c.broken || n <= 0 {
		c.broken = true
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cutter) lane() (uint32, string) {
	lane := c.number()
	key := string(c.bytes(c.number()))
	if lane > 1<<32-1 {
		c.broken = true
	}
	return uint32(lane), key
}

// parseSnapshot hands out what a snapshot holds. It reports false for a damaged
// one, after handing out what came before the damage.
func parseSnapshot(payload []byte, keys laneKeys, chunk func(storedChunk)) bool {
	c := cutter{rest: payload}
	for n := c.number(); n > 0 && !c.broken; n-- {
		var e schema.Epoch
		copy(e[:], c.bytes(uint64(len(e))))
		for m := c.number(); m > 0 && !c.broken; m-- {
			if lane, key := c.lane(); !c.broken {
				keys.put(e, lane, key)
			}
		}
	}
	for n := c.number(); n > 0 && !c.broken; n-- {
		if b := c.bytes(24); b != nil {
			chunk(storedChunk{id: chunkID(b[:16]), at: int64(little.Uint64(b[16:]))})
		}
	}
	return !c.broken
}

func parseLane(payload []byte) (lane uint32, key string, ok bool) {
	c := cutter{rest: payload}
	lane, key = c.lane()
	return lane, key, !c.broken
}
