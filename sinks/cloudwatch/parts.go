package cloudwatch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"tributary/schema"
	"tributary/stream"
)

// partHeader is the longest header of a part: "[part 1234567/1234567 0123456789abcdef] ".
const partHeader = 40

// parts is how many messages of at most limit bytes a text makes. A text that fits is
// one, without a header.
func parts(text []byte, limit int) int {
	if len(text) <= limit {
		return 1
	}
	n := 0
	for at := 0; at < len(text); n++ {
		at = cut(text, at, limit-partHeader)
	}
	return n
}

// cut is the end of the part that begins at from: a boundary between characters.
func cut(text []byte, from, room int) int {
	end := from + room
	if end >= len(text) {
		return len(text)
	}
	for end > from+1 && !utf8.RuneStart(text[end]) {
		end--
	}
	return end
}

// appendHeader appends what stands before part k of n.
func appendHeader(dst []byte, k, n int, id [8]byte) []byte {
	dst = append(dst, "[part "...)
	dst = strconv.AppendInt(dst, int64(k), 10)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(dst, ' ')
	dst = hex.AppendEncode(dst, id[:])
	return append(dst, "] "...)
}

// partID is shared by the parts of an event. It is the same in every read.
func partID(b *stream.Batch, e *schema.Event) (id [8]byte) {
	var name []byte
	if b.Epoch.IsZero() {
		name = append(name, b.Shard...)
		name = append(name, 0)
		name = append(name, b.Sequence...)
		name = append(name, 0)
		name = binary.BigEndian.AppendUint32(name, e.Index)
	} else {
		name = append(name, b.Epoch[:]...)
		name = binary.BigEndian.AppendUint32(name, b.Lane)
		name = binary.BigEndian.AppendUint64(name, e.Offset)
	}
	sum := sha256.Sum256(name)
	copy(id[:], sum[:])
	return id
}
