package schema

import (
	"errors"
	"time"
)

// MaxDecoded bounds what one record may decode to, in bytes as counted by
// EventSize. The encoder refuses more, the decoder rejects more.
const MaxDecoded = 8 << 20

// ErrTooLarge is returned by Encoder.Append for a batch above MaxDecoded.
var ErrTooLarge = errors.New("batch decodes to more than 8 MiB")

// EventSize is what one event counts toward MaxDecoded and toward every bound on
// decoded bytes: its line and a fixed charge for its metadata.
func EventSize(e *Event) int { panic("schema: not written") }

// Encoder writes record format v1. Not safe for concurrent use.
type Encoder struct{}

// NewEncoder returns an encoder at the fastest zstd level.
func NewEncoder() *Encoder { panic("schema: not written") }

// Append appends the record of b to dst.
func (e *Encoder) Append(dst []byte, b *Batch) ([]byte, error) { panic("schema: not written") }

// Decoder reads every record format. Not safe for concurrent use.
type Decoder struct{}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { panic("schema: not written") }

// Decode decodes one record: v1, a KPL aggregate, or one or more JSON lines.
// What it cannot decode comes back as rejects; it never fails as a whole. Events
// of other producers get arrival as their time and KindUnset. size is the decoded
// size. The result does not alias data and is not reused by the decoder.
func (d *Decoder) Decode(data []byte, arrival time.Time) (b Batch, rejects []Reject, size int64) {
	panic("schema: not written")
}
