package schema

import (
	"encoding/binary"
	"math/bits"
)

// skipString skips from behind the opening quote to behind the closing one.
func skipString(b []byte, i int) int {
	for {
		if i = plainEnd(b, i); i >= len(b) {
			return malformed
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			if len(b)-i >= blockBytes {
				return skipEscaped(b, i)
			}
			if i = skipEscape(b, i+1); i < 0 {
				return i
			}
		default: // a control character
			return malformed
		}
	}
}

// plainEnd returns the index of the first byte from i on that is a quote, a
// backslash or a control character, eight bytes at a time. A subtraction borrows
// only out of a byte that itself matches, so the lowest mark is always true;
// the higher ones are not looked at.
func plainEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		m := ((quote-ones)&^quote | (slash-ones)&^slash | (w-0x20*ones)&^w) & high
		if m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= 0x20 {
		i++
	}
	return i
}

const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
	low  = ^uint64(high)

	blockBytes = 64
)

// skipEscaped is skipString from the first backslash on. A text that is itself JSON has
// one every few bytes, and looking for each in turn costs as many mispredicted branches.
// So it takes a block at a time, and has the quotes, the backslashes and what they
// escape as the bits of a word.
func skipEscaped(b []byte, i int) int {
	var next uint64 // 1: the block's first byte is escaped
	for ; len(b)-i >= blockBytes; i += blockBytes {
		block := (*[blockBytes]byte)(b[i:])
		w0, w1, w2, w3 := word(block[0:8]), word(block[8:16]), word(block[16:24]), word(block[24:32])
		w4, w5, w6, w7 := word(block[32:40]), word(block[40:48]), word(block[48:56]), word(block[56:64])
		quotes := equal(w0, '"') | equal(w1, '"')<<8 | equal(w2, '"')<<16 | equal(w3, '"')<<24 |
			equal(w4, '"')<<32 | equal(w5, '"')<<40 | equal(w6, '"')<<48 | equal(w7, '"')<<56
		slashes := equal(w0, '\\') | equal(w1, '\\')<<8 | equal(w2, '\\')<<16 | equal(w3, '\\')<<24 |
			equal(w4, '\\')<<32 | equal(w5, '\\')<<40 | equal(w6, '\\')<<48 | equal(w7, '\\')<<56
		var controls uint64
		if (control(w0)|control(w1)|control(w2)|control(w3)|control(w4)|control(w5)|control(w6)|control(w7))&high != 0 {
			for k, c := range block {
				if c < 0x20 {
					controls |= 1 << k
				}
			}
		}
		var escaped uint64
		escaped, next = escapedBits(slashes, next)
		quotes &^= escaped
		until := quotes ^ (quotes - 1) // the bits up to the closing quote, all without one
		if controls&until != 0 {
			return malformed
		}
		for e := escaped & until; e != 0; e &= e - 1 {
			at := bits.TrailingZeros64(e)
			if !shortEscapes[block[at&(blockBytes-1)]] && skipEscape(b, i+at) < 0 {
				return malformed
			}
		}
		if quotes != 0 {
			return i + bits.TrailingZeros64(quotes) + 1
		}
	}
	if next != 0 {
		if i = skipEscape(b, i); i < 0 {
			return i
		}
	}
	return skipString(b, i) // less than a block
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// equal has a bit for each byte of w, that of the first lowest: 1 where it is c. The
// multiplication brings the bytes' high bits together.
func equal(w uint64, c byte) uint64 {
	w ^= uint64(c) * ones
	differs := (w&low + low) | w
	return (^differs & high >> 7) * 0x0102040810204080 >> 56
}

// control has the high bit of each byte of w that is a control character, and others.
func control(w uint64) uint64 { return ^((w & low) + 0x60*ones | w) }

// escapedBits are the bytes behind a backslash that is not escaped itself. next is 1 if
// the first byte is one, and comes back for the block behind. Of a run of backslashes
// every second is escaped: the subtraction carries from the run's first bit to the end of
// the run, and its parity is that of the bits in odd places. (Keiser and Lemire,
// arXiv:1902.08318, as simdjson has it today.)
func escapedBits(slashes, next uint64) (escaped, after uint64) {
	const odd = 0xAAAAAAAAAAAAAAAA
	first := slashes &^ next
	both := (first<<1 | odd) - first ^ odd // backslashes that escape, and what they escape
	return both ^ (slashes | next), (both & slashes) >> 63
}

// shortEscapes are what may stand behind a backslash alone.
var shortEscapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// skipEscape skips from behind a backslash.
func skipEscape(b []byte, i int) int {
	if i >= len(b) {
		return malformed
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(b)-i < 5 {
			return malformed
		}
		for _, c := range b[i+1 : i+5] {
			if c-'0' > 9 && (c|0x20)-'a' > 5 {
				return malformed
			}
		}
		return i + 5
	}
	return malformed
}
