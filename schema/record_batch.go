package schema

import "google.golang.org/protobuf/encoding/protowire"

// field is one field of a protobuf message. bytes is set for BytesType, value
// for VarintType; start is where bytes begins in the message, end where the
// field ends.
type field struct {
	number protowire.Number
	typ    protowire.Type
	bytes  []byte
	value  uint64
	start  int
	end    int
}

// eachField calls fn for every field of b, until fn returns false. It reports
// whether b is well-formed and fn was content with all of it.
func eachField(b []byte, fn func(field) bool) bool {
	for at := 0; at < len(b); {
		number, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return false
		}
		at += n
		f := field{number: number, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b[at:])
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b[at:])
			f.start = at + n - len(f.bytes)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b[at:])
		}
		if n < 0 {
			return false
		}
		at += n
		if f.end = at; !fn(f) {
			return false
		}
	}
	return true
}

// decodeBatch decodes the message of a record. The lines alias plain.
func (d *Decoder) decodeBatch(plain []byte) (b Batch, size int64, reason string) {
	c, reason := d.gather(plain, &b)
	defer clear(d.origins) // the decoder keeps no origin alive but through its bounded cache
	if reason != "" {
		return Batch{}, 0, reason
	}
	// Without allocating: a forged count of empty lines would ask for a hundred
	// times the memory of its bytes.
	size = int64(c.lineBytes) + int64(c.lines)*eventCharge
	if size > MaxDecoded {
		return Batch{}, 0, reasonTooLarge
	}
	if c.lines == 0 {
		if !c.empty() {
			return Batch{}, 0, reasonBatch
		}
		return b, size + c.originBytes, ""
	}
	b.Events = d.emptyEvents(c.lines)
	if reason := d.fill(b.Events, &c); reason != "" {
		return Batch{}, 0, reason
	}
	if !fillLines(b.Events, plain) {
		return Batch{}, 0, reasonBatch
	}
	return b, size + c.originBytes, ""
}

// columns are the packed columns of a batch, not yet unpacked.
type columns struct {
	packed      [fieldFlags + 1][]byte
	parts       int
	lines       int
	lineBytes   int
	originBytes int64
}

func (c *columns) empty() bool {
	for _, p := range c.packed {
		if len(p) > 0 {
			return false
		}
	}
	return c.parts == 0
}

// gather reads all of the message but parts and lines, which it only counts:
// their number is not bounded before it is known.
func (d *Decoder) gather(plain []byte, b *Batch) (c columns, reason string) {
	d.origins = d.origins[:0]
	ok := eachField(plain, func(f field) bool {
		if f.number > fieldTo {
			return true // of a later version
		}
		if (f.typ == protowire.BytesType) == (f.number == fieldLane) {
			return false
		}
		switch f.number {
		case fieldEpoch:
			if len(f.bytes) != len(b.Epoch) {
				return false
			}
			b.Epoch = Epoch(f.bytes)
		case fieldLane:
			if f.typ != protowire.VarintType || f.value > 1<<32-1 {
				return false
			}
			b.Lane = uint32(f.value)
		case fieldOrigins:
			o, ok := d.cache.get(f.bytes)
			if !ok {
				return false
			}
			if c.originBytes += int64(o.size); c.originBytes > MaxOrigins {
				reason = reasonTooLarge
				return false
			}
			d.origins = append(d.origins, o.origin)
		case fieldTo:
			if len(f.bytes) > maxTo {
				return false
			}
			b.To = string(f.bytes)
		case fieldParts:
			c.parts++
		case fieldLines:
			c.lines++
			c.lineBytes += len(f.bytes)
		default:
			if c.packed[f.number] != nil {
				return false // a column in pieces would be read as its last piece
			}
			c.packed[f.number] = f.bytes
		}
		return true
	})
	if !ok && reason == "" {
		reason = reasonBatch
	}
	return c, reason
}

// fill unpacks the scalar columns; each must have as many values as there are
// events.
func (d *Decoder) fill(events []Event, c *columns) (reason string) {
	known := true
	ok := unpack(c.packed[fieldOrigin], events, func(e *Event, v uint64) bool {
		if v >= uint64(len(d.origins)) {
			return false
		}
		e.Origin = d.origins[v]
		return true
	})
	offset := uint64(0)
	ok = ok && unpack(c.packed[fieldOffset], events, func(e *Event, v uint64) bool {
		e.Offset = offset + v
		overflow := e.Offset < offset
		offset = e.Offset
		return !overflow
	})
	at := int64(0)
	ok = ok && unpack(c.packed[fieldTime], events, func(e *Event, v uint64) bool {
		at += protowire.DecodeZigZag(v)
		e.Time = at
		return true
	})
	ok = ok && unpack(c.packed[fieldKind], events, func(e *Event, v uint64) bool {
		known = known && v <= uint64(KindAudit)
		e.Kind = Kind(v)
		return known
	})
	if c.packed[fieldFlags] != nil {
		ok = ok && unpack(c.packed[fieldFlags], events, func(e *Event, v uint64) bool {
			e.Flags = Flags(v)
			return v <= 255
		})
	}
	switch {
	case !known:
		return reasonKind
	case !ok:
		return reasonBatch
	}
	return ""
}

// unpack hands the values of a packed column to the events in order.
func unpack(column []byte, events []Event, set func(*Event, uint64) bool) bool {
	for i := range events {
		v, n := protowire.ConsumeVarint(column)
		if n < 0 || !set(&events[i], v) {
			return false
		}
		column = column[n:]
	}
	return len(column) == 0
}

// fillLines numbers the events, points them at their lines and sets the parts,
// which must come in the order of their events, one each.
func fillLines(events []Event, plain []byte) bool {
	line, part := uint32(0), uint64(0)
	return eachField(plain, func(f field) bool {
		switch f.number {
		case fieldLines:
			// No spare capacity: appending to one line must not write into the next.
			events[line].Line = f.bytes[:len(f.bytes):len(f.bytes)]
			events[line].Index = line
			line++
		case fieldParts:
			event, p, ok := parsePart(f.bytes)
			if !ok || event < part || event >= uint64(len(events)) {
				return false
			}
			events[event].Part = p
			part = event + 1
		}
		return true
	})
}

func parsePart(b []byte) (event uint64, p Part, ok bool) {
	ok = eachField(b, func(f field) bool {
		switch f.number {
		case 1:
			event = f.value
			return f.typ == protowire.VarintType
		case 2:
			if len(f.bytes) != len(p.Line) {
				return false
			}
			p.Line = [16]byte(f.bytes)
		case 3:
			p.Number = uint32(f.value)
			return f.typ == protowire.VarintType && f.value < 1<<32
		case 4:
			p.Count = uint32(f.value)
			return f.typ == protowire.VarintType && f.value < 1<<32
		}
		return true
	})
	return event, p, ok && p.Number > 0 && p.Number <= p.Count
}
