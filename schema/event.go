package schema

import (
	"encoding/hex"
	"fmt"
)

// Kind is the class of a line. It decides the table it lands in.
type Kind uint8

// The kinds. KindUnset marks an event of another producer, which nobody has
// classified yet: a sink does so with the rules of its plan.
const (
	KindUnset Kind = iota
	KindRaw
	KindApp
	KindAudit
)

// String returns the name used in object names, tables and configuration.
func (k Kind) String() string {
	switch k {
	case KindUnset:
		return "unset"
	case KindRaw:
		return "raw"
	case KindApp:
		return "app"
	case KindAudit:
		return "audit"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Flags are what is known about the completeness of a line.
type Flags uint8

// FlagIncomplete marks a line of which pieces are missing: its container died,
// the driver dropped a piece, or a cap was reached.
const FlagIncomplete Flags = 1 << 0

// Epoch names one life of a forwarder's spool: 128 random bits. The zero Epoch
// means "no forwarder of ours": such events are not de-duplicated.
type Epoch [16]byte

// IsZero reports whether e is the epoch of foreign records.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// String returns 32 lower-case hex digits.
func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// Label is one extra attribute of a container: a Docker label, an environment
// variable or a tag attribute.
type Label struct{ Name, Value string }

// Origin is who wrote a line. Many events share one; nobody modifies it once an
// Event points at it.
type Origin struct {
	Service       string
	ContainerID   string
	ContainerName string  // without Docker's leading slash
	Source        string  // "stdout", "stderr" or ""
	Tag           string  // Forward tag
	Host          string  // the instance of the forwarder
	Labels        []Label // sorted by name
}

// Part says that a line was too long for one record and which piece of it this
// event carries. Nobody rejoins parts behind the stream.
type Part struct {
	Line   [16]byte // the same for all parts of a line
	Number uint32   // from 1; 0 means the event is a whole line
	Count  uint32
}

// Event is a line with its time, origin and kind.
type Event struct {
	Time   int64 // nanoseconds since the Unix epoch
	Kind   Kind
	Flags  Flags
	Part   Part
	Origin *Origin
	Line   []byte // the bytes the container wrote, verbatim, without the newline
	Offset uint64 // place in its lane, see Batch; 0 for foreign events
	Index  uint32 // place in its record, counted from 0 before any de-duplication
}

// Batch is the decoded form of one Kinesis record: events of one lane in the
// order of their offsets, or the events of another producer's record (Epoch
// zero, all Kinds unset).
type Batch struct {
	Epoch Epoch
	Lane  uint32
	// To names the one group that the events are for: they come again because that
	// group's destination had refused them. Empty: for all. At most 255 bytes.
	To     string
	Events []Event
}

// Reject is a piece of input that no decoder understands.
type Reject struct {
	Index  uint32 // place in its record
	Reason string // constant text, fit for a metric label
	Data   []byte
}
