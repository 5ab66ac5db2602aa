package schema

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Unescape appends to dst the text of a JSON string, given as WalkObject hands
// it out: without quotes, with escapes that it has found valid. A lone surrogate
// becomes U+FFFD, bytes that are not UTF-8 stay. dst and s must not overlap.
func Unescape(dst, s []byte) []byte {
	dst, _ = UnescapeExactly(dst, s)
	return dst
}

// UnescapeExactly is Unescape, and reports false if the text has a lone surrogate,
// which is lost.
func UnescapeExactly(dst, s []byte) (text []byte, exact bool) {
	exact = true
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			return append(dst, s...), exact
		}
		dst = append(dst, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var r rune
			var ok bool
			r, s, ok = codePoint(s)
			exact = exact && ok
			dst = utf8.AppendRune(dst, r)
		default: // the quote, the backslash, the slash
			dst = append(dst, c)
		}
	}
}

// EscapeLen returns how many bytes the escape takes that s begins with, a surrogate
// pair being one, and how many of the text Unescape makes of it.
func EscapeLen(s []byte) (raw, text int) {
	if len(s) < 2 || s[1] != 'u' {
		return min(len(s), 2), 1
	}
	r, rest, _ := codePoint(s[2:])
	return len(s) - len(rest), utf8.RuneLen(r)
}

// AppendEscaped appends text as it stands between the quotes of a JSON string. Bytes
// that are not UTF-8 stay.
func AppendEscaped(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	for len(text) > 0 {
		n := plainEnd(text, 0)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			break
		}
		switch c := text[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		text = text[n+1:]
	}
	return dst
}

// codePoint reads what follows \u: four digits and, for a surrogate pair, the
// second escape. It is false of half a pair.
func codePoint(s []byte) (rune, []byte, bool) {
	r, ok := hex4(s)
	if !ok {
		return utf8.RuneError, s, false
	}
	s = s[4:]
	if !utf16.IsSurrogate(r) {
		return r, s, true
	}
	if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
		if low, ok := hex4(s[2:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, s[6:], true
			}
		}
	}
	return utf8.RuneError, s, false
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case (c|0x20)-'a' <= 5:
			r = r<<4 | rune((c|0x20)-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
