package fluent

// scanner finds the end of one msgpack value in a buffer that is still filling
// up. It goes on where it stopped, so a request that arrives in a thousand reads
// is looked at once, and it keeps one number per nesting level, so no count or
// length a client claims ever allocates.
type scanner struct {
	maxBytes int
	maxDepth int

	off     int   // bytes accounted for; beyond the buffer while a body is arriving
	missing int   // values still to come at all levels
	open    []int // values still to come, per level, outermost first
	started bool

	// starts are where the value's own items begin, for a request's first five.
	starts [5]int
	items  int
}

func newScanner(maxBytes int64, maxDepth int) scanner {
	return scanner{maxBytes: int(maxBytes), maxDepth: maxDepth, open: make([]int, 0, 8)}
}

func (s *scanner) reset() {
	s.off, s.missing, s.open, s.started, s.items = 0, 0, s.open[:0], false, 0
}

// scan goes on over b, which begins with the value and has only grown since the
// last call. It reports whether the value, of s.off bytes, is complete.
func (s *scanner) scan(b []byte) (bool, error) {
	for {
		if s.off > len(b) {
			return false, nil
		}
		if s.started && s.missing == 0 {
			return true, nil
		}
		h, ok := readHead(b[s.off:])
		if !ok {
			return false, nil
		}
		if h.kind == kindInvalid {
			return false, refuse(reasonMalformed, "byte 0x%02x is not msgpack", b[s.off])
		}
		if len(s.open) == 1 && s.items < len(s.starts) {
			s.starts[s.items] = s.off
			s.items++
		}
		s.off += h.size + h.body
		if err := s.enter(h.items); err != nil {
			return false, err
		}
	}
}

// enter counts the value just read and opens a level for its items.
func (s *scanner) enter(items int) error {
	if s.started {
		s.missing--
		s.open[len(s.open)-1]--
	}
	s.started = true
	s.missing += items
	// Each missing value takes a byte at least.
	if s.off+s.missing > s.maxBytes {
		return refuse(reasonTooLarge, "more than %d bytes", s.maxBytes)
	}
	if items > 0 {
		if len(s.open) == s.maxDepth {
			return refuse(reasonTooDeep, "nested more than %d deep", s.maxDepth)
		}
		s.open = append(s.open, items)
	}
	for len(s.open) > 0 && s.open[len(s.open)-1] == 0 {
		s.open = s.open[:len(s.open)-1]
	}
	return nil
}

// item returns the i-th item of the complete value b.
func (s *scanner) item(b []byte, i int) []byte {
	end := s.off
	if i+1 < s.items {
		end = s.starts[i+1]
	}
	return b[s.starts[i]:end]
}
