package cloudwatch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"strconv"
	"unicode/utf8"

	"tributary/schema"
	"tributary/stream"
)

// partHeader is the longest header of a part: "[part 1234567/1234567 0123456789abcdef] ".
const partHeader = 40

// split gives the messages of an event whose rendering is text: text itself if it fits,
// else its parts.
func (p *readyPlan) split(text []byte, b *stream.Batch, e *schema.Event) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(text) <= p.messageBytes {
			yield(text)
			return
		}
		room := p.messageBytes - partHeader
		n := 0
		for at := 0; at < len(text); n++ {
			at = cut(text, at, room)
		}
		id := partID(b, e)
		part := make([]byte, 0, p.messageBytes)
		for k, at := 1, 0; k <= n; k++ {
			end := cut(text, at, room)
			part = append(appendHeader(part[:0], k, n, id), text[at:end]...)
			if !yield(part) {
				return
			}
			at = end
		}
	}
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
