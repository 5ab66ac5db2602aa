package workload

// raw appends a line that is no JSON object.
func (l *Lines) raw(dst []byte, n int64, r *random) []byte {
	dst = append(appendMark(dst, l.seed, n), ' ')
	dst = rawMessages[r.below(len(rawMessages))].append(dst, r)
	if r.oneIn(8) { // Shift JIS and other accidents
		dst = append(dst, 0x83, 0x47, 0x83, 0x89, 0x81, 0x5b, ' ', 0xff)
		dst = appendHex(dst, r.next(), 8)
	}
	return dst
}
