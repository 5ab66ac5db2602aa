package refused

// SegmentHeader is that of a segment of some version.
func SegmentHeader(version uint32) []byte {
	b := appendSegmentHeader(nil)
	little.PutUint32(b[8:], version)
	little.PutUint32(b[12:], checksum(b[:12]))
	return b
}

// Scan reads a segment's content and returns its rejects, and how many bytes they, the
// header and the damaged stretches cover.
func Scan(b []byte) (rejects []Reject, covered int, err error) {
	damaged, _, err := scan(b, func(_, size int, r Reject) {
		rejects = append(rejects, r)
		covered += size
	})
	if ok, _ := checkSegmentHeader(b); ok {
		covered += segmentHeaderSize
	}
	return rejects, covered + damaged, err
}
