package workload

import (
	"bytes"
	"math"
	"strconv"
)

// A mark is "#seed.number#": the seed in hexadecimal, the number in decimal. No
// other text of a line has a '#'.

func appendMark(dst []byte, seed uint64, n int64) []byte {
	dst = append(dst, '#')
	dst = strconv.AppendUint(dst, seed, 16)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '#')
}

// Number finds the seed and the number of a line, or of its first piece: the mark
// stands within the first 100 bytes. ok is false for a line that is not of this
// package.
func Number(line []byte) (seed uint64, n int64, ok bool) {
	for {
		i := bytes.IndexByte(line, '#')
		if i < 0 {
			return 0, 0, false
		}
		line = line[i+1:]
		if seed, n, ok = parseMark(line); ok {
			return seed, n, true
		}
	}
}

// parseMark reads what follows a '#'.
func parseMark(b []byte) (seed uint64, n int64, ok bool) {
	i := 0
	for ; i < len(b) && i <= 16; i++ {
		digit, hex := unhex(b[i])
		if !hex {
			break
		}
		seed = seed<<4 | digit
	}
	if i == 0 || i > 16 || i == len(b) || b[i] != '.' {
		return 0, 0, false
	}
	b = b[i+1:]
	for i = 0; i < len(b) && b[i]-'0' <= 9; i++ {
		digit := int64(b[i] - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, 0, false
		}
		n = n*10 + digit
	}
	return seed, n, i > 0 && i < len(b) && b[i] == '#'
}

func unhex(c byte) (uint64, bool) {
	switch {
	case c-'0' <= 9:
		return uint64(c - '0'), true
	case c-'a' <= 5:
		return uint64(c-'a') + 10, true
	}
	return 0, false
}
