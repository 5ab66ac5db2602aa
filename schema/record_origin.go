package schema

import "google.golang.org/protobuf/encoding/protowire"

// originTable numbers the distinct origins of the batch being encoded.
type originTable struct {
	byPointer map[*Origin]uint32 // most events share a pointer: no need to look inside
	byContent map[string]uint32  // encoded origin; two pointers may hold the same
	encoded   []byte             // the table as fields of the Batch
	scratch   []byte
	size      int
}

func newOriginTable() originTable {
	return originTable{byPointer: map[*Origin]uint32{}, byContent: map[string]uint32{}}
}

// reset forgets the batch, so that its origins can be collected.
func (t *originTable) reset() {
	clear(t.byPointer)
	clear(t.byContent)
	t.encoded, t.size = t.encoded[:0], 0
}

// fill reports false when the table exceeds MaxOrigins.
func (t *originTable) fill(events []Event) bool {
	for i := range events {
		o := events[i].Origin
		if i > 0 && o == events[i-1].Origin {
			continue
		}
		if _, known := t.byPointer[o]; known {
			continue
		}
		if OriginSize(o) > MaxOrigins {
			return false
		}
		t.scratch = appendOrigin(t.scratch[:0], o)
		n, known := t.byContent[string(t.scratch)]
		if !known {
			if t.size += OriginSize(o); t.size > MaxOrigins {
				return false
			}
			n = uint32(len(t.byContent))
			t.byContent[string(t.scratch)] = n
			t.encoded = protowire.AppendTag(t.encoded, fieldOrigins, protowire.BytesType)
			t.encoded = protowire.AppendBytes(t.encoded, t.scratch)
		}
		t.byPointer[o] = n
	}
	return true
}

func (t *originTable) index(o *Origin) uint32 { return t.byPointer[o] }

func (t *originTable) appendTo(p []byte) []byte { return append(p, t.encoded...) }

func appendOrigin(p []byte, o *Origin) []byte {
	if o == nil {
		return p
	}
	p = appendText(p, 1, o.Service)
	p = appendText(p, 2, o.ContainerID)
	p = appendText(p, 3, o.ContainerName)
	p = appendText(p, 4, o.Source)
	p = appendText(p, 5, o.Tag)
	p = appendText(p, 6, o.Host)
	for i := range o.Labels {
		l := &o.Labels[i]
		p = protowire.AppendTag(p, 7, protowire.BytesType)
		p = protowire.AppendVarint(p, uint64(textSize(l.Name)+textSize(l.Value)))
		p = appendText(p, 1, l.Name)
		p = appendText(p, 2, l.Value)
	}
	return p
}

func appendText(p []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return p
	}
	p = protowire.AppendTag(p, field, protowire.BytesType)
	return protowire.AppendString(p, s)
}

// textSize is what appendText appends for a field number below 16.
func textSize(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

// originCache gives records that name the same container the same Origin, so
// that held batches do not hold as many copies of its labels.
type originCache struct {
	known map[string]cachedOrigin
	size  int
}

type cachedOrigin struct {
	origin *Origin
	size   int
}

// get decodes an origin or finds it decoded; ok is false when it is malformed.
func (c *originCache) get(encoded []byte) (o cachedOrigin, ok bool) {
	if o, ok := c.known[string(encoded)]; ok {
		return o, true
	}
	text := string(encoded)
	origin, ok := parseOrigin(encoded, text)
	if !ok {
		return cachedOrigin{}, false
	}
	o = cachedOrigin{origin: origin, size: OriginSize(origin)}
	if c.known == nil || c.size+o.size > MaxOrigins {
		c.known, c.size = map[string]cachedOrigin{}, 0
	}
	if o.size <= MaxOrigins {
		c.known[text] = o
		c.size += o.size
	}
	return o, true
}

// parseOrigin decodes b. text holds the same bytes; the origin's strings are
// pieces of it.
func parseOrigin(b []byte, text string) (*Origin, bool) {
	o := &Origin{}
	labels, charge := 0, 0
	ok := eachField(b, func(f field) bool {
		if f.number == 7 && f.typ == protowire.BytesType {
			labels++
			charge += labelCharge
		}
		return charge <= MaxOrigins
	})
	if !ok {
		return nil, false
	}
	if labels > 0 {
		o.Labels = make([]Label, 0, labels)
	}
	ok = eachField(b, func(f field) bool {
		if f.typ != protowire.BytesType {
			return f.number > 7
		}
		s := text[f.start : f.start+len(f.bytes)]
		switch f.number {
		case 1:
			o.Service = s
		case 2:
			o.ContainerID = s
		case 3:
			o.ContainerName = s
		case 4:
			o.Source = s
		case 5:
			o.Tag = s
		case 6:
			o.Host = s
		case 7:
			l, ok := parseLabel(f.bytes, s)
			o.Labels = append(o.Labels, l)
			return ok
		}
		return true
	})
	return o, ok
}

func parseLabel(b []byte, text string) (l Label, ok bool) {
	ok = eachField(b, func(f field) bool {
		if f.typ != protowire.BytesType {
			return f.number > 2
		}
		s := text[f.start : f.start+len(f.bytes)]
		switch f.number {
		case 1:
			l.Name = s
		case 2:
			l.Value = s
		}
		return true
	})
	return l, ok
}
