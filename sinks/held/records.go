package held

import (
	"bytes"
	"errors"
	"fmt"
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
	Shard stream.ShardID
	// List holds only those with events, so that a shard full of duplicates does not
	// grow it.
	List        []Record
	Taken       int64 // those without an event included
	First, Last stream.SequenceNumber
}

// Check refuses a record that cannot be the next one of the shard.
func (r *Records) Check(b stream.Batch) error {
	if b.Shard != r.Shard {
		return fmt.Errorf("append: a record of %s came to the sink of %s", b.Shard, r.Shard)
	}
	if r.Taken > 0 && b.Sequence.Compare(r.Last) <= 0 {
		return fmt.Errorf("append: record %s came after %s", b.Sequence, r.Last)
	}
	return nil
}

// Take keeps a copy of b's record, of which there will be a row for each event, and
// returns the bytes that both are held with.
func (r *Records) Take(b stream.Batch) int64 {
	if r.Taken == 0 {
		r.First = b.Sequence
	}
	r.Taken++
	r.Last = b.Sequence
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

// Within refuses a range that does not cover what was taken: its rows would come
// again with the next range, under another name.
func (r *Records) Within(all stream.Range) error {
	if all.Shard != r.Shard {
		return fmt.Errorf("a range of %s came to the sink of %s", all.Shard, r.Shard)
	}
	if all.First == "" || all.First.Compare(all.Last) > 0 {
		return fmt.Errorf("range %q to %q holds nothing", all.First, all.Last)
	}
	if r.Taken > 0 && (r.First.Compare(all.First) < 0 || r.Last.Compare(all.Last) > 0) {
		return fmt.Errorf("records %s to %s do not lie within the range %s to %s", r.First, r.Last, all.First, all.Last)
	}
	return nil
}

var errGone = errors.New("it has no such event any more")
