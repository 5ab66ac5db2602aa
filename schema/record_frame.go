package schema

import "github.com/klauspost/compress/zstd"

const (
	zstdBlockHeader = 3         // RFC 8878, 3.1.1.2
	zstdBlockMax    = 128 << 10 // RFC 8878, 3.1.1.2.4
	zstdChecksum    = 4
	zstdRLE         = 1
)

// checkFrame returns the content size of the frame, which must be the whole of
// b, before anything is allocated for it. It follows the block headers, so that
// a forged content size cannot ask for more memory than the blocks could fill.
func checkFrame(b []byte) (size int, reason string) {
	var h zstd.Header
	if err := h.Decode(b); err != nil || h.Skippable || !h.HasFCS || !h.HasCheckSum {
		return 0, reasonFrame
	}
	if h.DictionaryID != 0 && h.DictionaryID != dictionaryID {
		return 0, reasonDictionary
	}
	if h.FrameContentSize > maxPlain {
		return 0, reasonTooLarge
	}
	rest, capacity := b[h.HeaderSize:], uint64(0)
	for last := false; !last; {
		if len(rest) < zstdBlockHeader {
			return 0, reasonFrame
		}
		head := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16
		last = head&1 != 0
		body := head >> 3
		if head>>1&3 == zstdRLE {
			body = 1
		}
		if len(rest) < zstdBlockHeader+body {
			return 0, reasonFrame
		}
		rest = rest[zstdBlockHeader+body:]
		capacity += zstdBlockMax
	}
	if len(rest) != zstdChecksum || h.FrameContentSize > capacity {
		return 0, reasonFrame
	}
	return int(h.FrameContentSize), ""
}
