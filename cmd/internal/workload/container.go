package workload

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// pieceBytes is the buffer of Docker's copier: what does not fit in with its
// newline is cut.
const pieceBytes = 16 << 10

// Container encodes lines as the Docker driver does for one container. It is not
// safe for concurrent use.
type Container struct {
	ID   string // 64 hexadecimal digits
	Name string // with Docker's leading slash
	Tag  string // the first 12 digits of the id, Docker's default

	// Seconds makes times whole seconds, Docker's default; otherwise they are
	// EventTimes (fluentd-sub-second-precision=true).
	Seconds bool

	labels  []string // names and values in turn
	begin   []byte   // array header and tag
	sources [2][]byte
}

// Source says which of the container's streams a line is of.
type Source uint8

// The sources.
const (
	Stdout Source = iota
	Stderr
)

func (s Source) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// NewContainer returns a container of an ECS task. Its id is random, because two
// containers of one id are one container to a forwarder.
func NewContainer(service string) *Container {
	id := randomHex()
	c := &Container{
		ID:   id,
		Name: "/ecs-shop-7-" + service + "-" + id[44:],
		Tag:  id[:12],
		labels: []string{
			"com.amazonaws.ecs.container-name", service,
			"com.amazonaws.ecs.task-definition-family", "shop",
		},
	}
	c.begin = msgp.AppendString([]byte{0x94}, c.Tag)
	for source := range c.sources {
		fields := msgp.AppendString(msgp.AppendString(nil, "container_id"), c.ID)
		fields = msgp.AppendString(msgp.AppendString(fields, "container_name"), c.Name)
		for _, label := range c.labels {
			fields = msgp.AppendString(fields, label)
		}
		fields = msgp.AppendString(msgp.AppendString(fields, "source"), Source(source).String())
		c.sources[source] = msgp.AppendString(fields, "log")
	}
	return c
}

func randomHex() string {
	var b []byte
	for range 4 {
		b = appendHex(b, rand.Uint64(), 16)
	}
	return string(b)
}

// Append appends the messages of one line that ended with a newline: one, or its
// pieces. at is when Docker read the line's beginning; all pieces carry it.
func (c *Container) Append(dst []byte, at time.Time, source Source, line []byte) []byte {
	p := pieces{line: line}
	for p.next() {
		dst = c.message(dst, at, source, &p, "")
	}
	return dst
}

// message appends one message; a chunk asks for an ack.
func (c *Container) message(dst []byte, at time.Time, source Source, p *pieces, chunk string) []byte {
	dst = append(dst, c.begin...)
	if c.Seconds {
		dst = msgp.AppendInt64(dst, at.Unix())
	} else {
		dst = appendEventTime(dst, at)
	}
	fields := 4 + len(c.labels)/2
	if p.partial() {
		fields += 4
	}
	dst = msgp.AppendMapHeader(dst, uint32(fields))
	dst = append(dst, c.sources[source]...)
	dst = msgp.AppendStringFromBytes(dst, p.piece)
	if p.partial() {
		dst = append(msgp.AppendString(dst, "partial_message"), "\xa4true"...)
		dst = msgp.AppendString(msgp.AppendString(dst, "partial_id"), p.id)
		dst = msgp.AppendString(msgp.AppendString(dst, "partial_ordinal"), strconv.Itoa(p.ordinal))
		dst = msgp.AppendString(msgp.AppendString(dst, "partial_last"), strconv.FormatBool(p.last))
	}
	if chunk == "" {
		return append(dst, 0x80) // Docker sends an empty option
	}
	dst = append(dst, "\x81\xa5chunk"...)
	return msgp.AppendString(dst, chunk)
}

// appendEventTime appends the Forward protocol's ext type 0.
func appendEventTime(dst []byte, at time.Time) []byte {
	s, ns := uint32(at.Unix()), uint32(at.Nanosecond())
	return append(dst, 0xd7, 0, byte(s>>24), byte(s>>16), byte(s>>8), byte(s), byte(ns>>24), byte(ns>>16), byte(ns>>8), byte(ns))
}

// pieces cuts one line as Docker's copier does.
type pieces struct {
	line    []byte // what is left
	piece   []byte
	id      string // of all pieces; empty while there is but one
	ordinal int
	last    bool
}

// next makes the following piece; false when there is none.
func (p *pieces) next() bool {
	if p.last {
		return false
	}
	if p.ordinal == 0 && len(p.line) >= pieceBytes {
		p.id = randomHex()
	}
	n := min(len(p.line), pieceBytes)
	p.piece, p.line = p.line[:n], p.line[n:]
	p.ordinal++
	// A full buffer holds no newline: a line of k × 16 KiB ends with an empty piece.
	p.last = n < pieceBytes
	return true
}

// partial reports whether the line is cut.
func (p *pieces) partial() bool { return p.id != "" }
