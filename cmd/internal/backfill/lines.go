package backfill

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"

	"tributary/schema"
)

// maxLine is the longest line that becomes an event, a little below what a record may
// decode to.
const maxLine = schema.MaxDecoded - 4096

// lineReader takes an object of lines apart, compressed or not. One goroutine uses it.
type lineReader struct {
	in   *bufio.Reader
	zip  *gzip.Reader
	text *bufio.Reader // of lines
	long []byte        // a line that did not fit into text's buffer
	err  error         // that ends the lines
}

func newLineReader() *lineReader {
	return &lineReader{in: bufio.NewReaderSize(nil, 64<<10), text: bufio.NewReaderSize(nil, 64<<10)}
}

var errNoGzip = errors.New("it is named .gz and is no gzip")

// reset begins an object. Its first bytes tell whether it is compressed, its name
// whether it has to be.
func (l *lineReader) reset(object io.Reader, zipped bool) {
	l.in.Reset(object)
	magic, err := l.in.Peek(2)
	switch {
	case err != nil && err != io.EOF:
		l.err = err
		return
	case string(magic) != "\x1f\x8b" && zipped:
		l.err = errNoGzip
		return
	case string(magic) != "\x1f\x8b":
		l.text.Reset(l.in)
		l.err = nil
		return
	}
	if l.zip == nil {
		l.zip = new(gzip.Reader)
	}
	l.err = l.zip.Reset(l.in)
	if l.err == io.EOF {
		l.err = io.ErrUnexpectedEOF
	}
	l.text.Reset(l.zip)
}

// line is one of an object.
type line struct {
	text []byte // the reader's until the next call
	size int64  // bytes; more than maxLine: text is missing
	torn bool   // the object ends within it, because of its fault
}

// next returns the next line that is not empty. io.EOF ends a whole object, any other
// error one that is torn or could not be read on; then the line before it may be torn.
func (l *lineReader) next() (line, error) {
	if cap(l.long) > 1<<20 {
		l.long = nil
	}
	for l.err == nil {
		got, err := l.read()
		if err != nil {
			l.err = err
			got.torn = err != io.EOF
		}
		got.text = bytes.TrimSuffix(got.text, []byte("\r"))
		if got.size > maxLine || len(bytes.TrimSpace(got.text)) > 0 {
			return got, nil
		}
	}
	return line{}, l.err
}

// read reads up to the end of a line. What comes with an error is a line without an end.
func (l *lineReader) read() (line, error) {
	l.long = l.long[:0]
	size := int64(0)
	for {
		part, err := l.text.ReadSlice('\n')
		size += int64(len(part))
		whole := err == nil
		if whole {
			part = part[:len(part)-1]
			size--
		}
		if whole && len(l.long) == 0 && size == int64(len(part)) {
			return line{text: part, size: size}, nil
		}
		if size <= maxLine {
			l.long = append(l.long, part...)
		} else {
			l.long = l.long[:0]
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return line{text: l.long, size: size}, err
	}
}

// lineEvents makes events of lines. One goroutine uses it.
type lineEvents struct {
	rules    *schema.Classifier // its window is around an object's time
	unplaced *schema.Classifier // its window is as wide as can be, for objects without one
	times    []string           // members that may hold a time
	origins  map[schemaOrigin]*schema.Origin
	last     schemaOrigin
	origin   *schema.Origin
	text     []byte
	event    schema.Event
}

// schemaOrigin is an origin without labels, which can be compared.
type schemaOrigin struct{ service, id, name, source string }

// newLineEvents follows rules, with as much time after an object's as before it: its
// name tells when Fluentd began to gather it.
func newLineEvents(rules schema.Rules) (*lineEvents, error) {
	wide := rules
	rules.TimeWindow.Future = max(rules.TimeWindow.Future, rules.TimeWindow.Past)
	wide.TimeWindow = schema.TimeWindow{Past: widestWindow, Future: widestWindow}
	c, err := rules.Compile()
	if err != nil {
		return nil, err
	}
	u, err := wide.Compile()
	return &lineEvents{rules: c, unplaced: u, times: rules.TimeFields, origins: map[schemaOrigin]*schema.Origin{}}, err
}

// of makes the event of a line, which is the maker's until the next call; its origin
// may be kept.
func (m *lineEvents) of(l line, o *object) *schema.Event {
	judge, arrival := m.rules, o.at.UnixNano()
	if o.at.IsZero() {
		judge, arrival = m.unplaced, o.modified.UnixNano()
	}
	from := schemaOrigin{service: o.service, name: o.container}
	text := l.text
	fallback := arrival
	if e, is := m.unwrap(text); is {
		fallback = judge.Classify(text, nil, arrival, arrival).Time
		text = e.text
		from.id, from.source = string(e.id), string(e.source)
		if len(e.name) > 0 {
			from.name = string(e.name)
		}
	}
	named := schema.Origin{ContainerName: from.name}
	v := judge.Classify(text, &named, fallback, arrival)
	if from.service == "" {
		from.service = v.Service
	}
	kind := o.kind
	if kind == schema.KindUnset {
		kind = v.Kind
	}
	m.event = schema.Event{Time: v.Time, Kind: kind, Origin: m.known(from), Line: text}
	if l.torn {
		m.event.Flags = schema.FlagIncomplete
	}
	return &m.event
}

func (m *lineEvents) known(o schemaOrigin) *schema.Origin {
	if m.origin != nil && o == m.last {
		return m.origin
	}
	found := m.origins[o]
	if found == nil {
		if len(m.origins) == maxOrigins {
			clear(m.origins)
		}
		found = &schema.Origin{Service: o.service, ContainerID: o.id, ContainerName: trimSlash(o.name), Source: o.source}
		m.origins[o] = found
	}
	m.last, m.origin = o, found
	return found
}

// maxOrigins bounds how many are remembered.
const maxOrigins = 1024

func trimSlash(name string) string {
	if len(name) > 1 && name[0] == '/' {
		return name[1:]
	}
	return name
}

// envelope is what Docker's driver for Fluentd puts around a line.
type envelope struct{ text, id, name, source []byte }

// maxEnvelopeText bounds what is taken for a container's id or name.
const maxEnvelopeText = 512

// unwrap takes an envelope off: an object with a text log (or message), a container's
// id or name, and nothing else but source and time. What has more members is a line of
// its own, of which none may be lost.
func (m *lineEvents) unwrap(text []byte) (e envelope, is bool) {
	var raw []byte
	is = true
	err := schema.WalkObject(text, func(key, value []byte) bool {
		isText := value[0] == '"'
		inside := value
		if isText {
			inside = value[1 : len(value)-1]
		}
		name := string(key)
		switch {
		case (name == "log" || name == "message") && isText && raw == nil:
			raw = inside
		case name == "container_id" && plain(value):
			e.id = inside
		case name == "container_name" && plain(value):
			e.name = inside
		case name == "source" && plain(value):
			e.source = inside
		default:
			is = slices.Contains(m.times, name)
		}
		return is
	})
	if err != nil || !is || len(raw) == 0 || e.id == nil && e.name == nil {
		return envelope{}, false
	}
	var exact bool
	m.text, exact = schema.UnescapeExactly(m.text[:0], raw)
	e.text = bytes.TrimSuffix(m.text, []byte("\n"))
	return e, exact && len(bytes.TrimSpace(e.text)) > 0
}

// plain is a short text without escapes.
func plain(value []byte) bool {
	return value[0] == '"' && len(value) <= maxEnvelopeText && bytes.IndexByte(value, '\\') < 0
}

// widestWindow is the most that rules may ask for.
const widestWindow = 366 * 24 * time.Hour
