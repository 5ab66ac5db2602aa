package held

import (
	"bytes"
	"errors"
	"time"

	"tributary/schema"
	"tributary/stream"
)

const (
	// RowCharge is what a row costs beside its line while it is loaded: what says
	// where its line lies, twice.
	RowCharge = 64
	// rowBytes and recordBytes are what waits in memory for a flush beside a record's
	// own bytes, with the slices' growth.
	rowBytes    = 48
	recordBytes = 192
)

// Row is an event that waits for the flush. Its line is in its record.
type Row struct {
	Time   int64  // nanoseconds since the Unix epoch
	Name   uint32 // the sink's number of whom the event belongs to
	Record int32  // index into Records.List
	Index  uint32 // in the record
	Bytes  uint32 // of the line, and RowCharge
}

// Record is one that came, as it came.
type Record struct {
	Sequence stream.SequenceNumber
	Arrival  time.Time
	Data     []byte
}

// Records are what came from one shard since the last flush. One goroutine uses
// them.
type Records struct {
	Span
	// List holds only those with events, so that a shard full of duplicates does not
	// grow it.
	List []Record
}

// Take keeps a copy of b's record, of which there will be a row for each event, and
// returns the bytes that both are held with.
func (r *Records) Take(b stream.Batch) int64 {
	r.Extend(b)
	if len(b.Events) == 0 {
		return 0
	}
	r.List = append(r.List, Record{b.Sequence, b.Arrival, bytes.Clone(b.Record)})
	return recordBytes + int64(len(b.Record)) + int64(len(b.Events))*rowBytes
}

// Row is that of an event of the record taken last.
func (r *Records) Row(e *schema.Event, at int64, name uint32) Row {
	return Row{Time: at, Name: name, Record: int32(len(r.List) - 1), Index: e.Index, Bytes: uint32(len(e.Line) + RowCharge)}
}

var errGone = errors.New("it has no such event any more")
