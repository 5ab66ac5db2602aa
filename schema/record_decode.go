package schema

import (
	"bytes"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Decoder reads every record format. It keeps at most some 2 MiB between calls.
// Not safe for concurrent use.
type Decoder struct {
	zstd    *zstd.Decoder
	cache   originCache
	origins []*Origin // table of the record being decoded

	lend   bool // what follows goes into the result of Borrow
	plain  []byte
	events []Event
}

// NewDecoder returns a decoder. It knows the dictionary of small records.
func NewDecoder() *Decoder {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxPlain),
		zstd.WithDecoderDictRaw(dictionaryID, dictionary))
	if err != nil {
		panic("schema: zstd refuses constant options: " + err.Error())
	}
	return &Decoder{zstd: z}
}

// Decode decodes one record: v1, a KPL aggregate, or one or more JSON lines.
// What it cannot decode comes back as rejects; it never fails as a whole. Events
// of other producers get arrival as their time, KindUnset and an empty Origin.
//
// size is the decoded size: what EventSize says of the events, OriginSize of the
// record's origins, and for each reject its bytes and 64. Events and rejects
// together stay within MaxDecoded, but for a record rejected as a whole, whose
// one reject is as long as the record.
//
// Index counts events and rejects of a record together from 0. The result does
// not alias data and is not reused by the decoder; the lines of one record share
// one buffer, and records may share their (immutable) Origins.
func (d *Decoder) Decode(data []byte, arrival time.Time) (b Batch, rejects []Reject, size int64) {
	var reason string
	switch {
	case bytes.HasPrefix(data, []byte(magic)):
		b, size, reason = d.decodeV1(data)
	case isAggregate(data):
		b, rejects, size, reason = decodeForeign(data, arrival, (*foreign).aggregate)
	case beginsObject(data):
		b, rejects, size, reason = decodeForeign(data, arrival, (*foreign).lines)
	case bytes.HasPrefix(data, []byte(kplMagic)):
		reason = reasonKPLChecksum
	default:
		reason = reasonFormat
	}
	if reason != "" {
		return Batch{}, []Reject{{Reason: reason, Data: bytes.Clone(data)}}, int64(len(data) + rejectCharge)
	}
	return b, rejects, size
}

// Borrow is Decode, but the decoder goes on owning the events and lines: they are
// there until its next call. Unlike Decode it then keeps what the largest record
// took, up to 10 MiB. It is for those who decode many records and copy what they
// need of each.
func (d *Decoder) Borrow(data []byte, arrival time.Time) (b Batch, rejects []Reject, size int64) {
	d.lend = true
	defer func() { d.lend = false }()
	return d.Decode(data, arrival)
}

// decodeV1 returns a reason when the record is to be rejected.
func (d *Decoder) decodeV1(data []byte) (b Batch, size int64, reason string) {
	if len(data) == len(magic) || data[len(magic)] != version1 {
		return Batch{}, 0, reasonVersion
	}
	frame := data[len(magic)+1:]
	n, reason := checkFrame(frame)
	if reason != "" {
		return Batch{}, 0, reason
	}
	plain, err := d.zstd.DecodeAll(frame, d.room(n+16)) // to write in whole words
	if err != nil || len(plain) != n {
		return Batch{}, 0, reasonFrame
	}
	return d.decodeBatch(plain)
}

// room is memory for the message of a record.
func (d *Decoder) room(n int) []byte {
	if !d.lend {
		return make([]byte, 0, n)
	}
	if cap(d.plain) < n {
		d.plain = make([]byte, 0, n)
	}
	return d.plain[:0]
}

func (d *Decoder) emptyEvents(n int) []Event {
	if !d.lend {
		return make([]Event, n)
	}
	if cap(d.events) < n {
		d.events = make([]Event, n)
	}
	d.events = d.events[:n]
	clear(d.events)
	return d.events
}
