package pipe

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"

	"tributary/stream/fluent"
)

// form turns pieces into entries as Docker's driver would send them.
type form struct {
	fields []fluent.Field // those of every entry, with room for the others
	number []byte
}

// newForm makes the entries those of one container, which no other process has.
//
// The service goes into a field SERVICE, as if it were a container's environment
// variable that the log driver was told to add: the default rules look there
// (env:SERVICE). It is the container's name too, for rules that look there.
func newForm(service string) form {
	var raw [32]byte
	rand.Read(raw[:]) // never fails
	fields := make([]fluent.Field, 0, 9)
	return form{fields: append(fields,
		fluent.Field{Name: "container_id", Value: []byte(hex.EncodeToString(raw[:]))},
		fluent.Field{Name: "container_name", Value: []byte(service)},
		fluent.Field{Name: "source", Value: []byte("stdout")},
		fluent.Field{Name: "SERVICE", Value: []byte(service)},
	)}
}

func (f *form) appendEntry(dst []byte, p piece) []byte {
	fields := append(f.fields, fluent.Field{Name: "log", Value: p.data})
	if p.id != nil {
		f.number = strconv.AppendInt(f.number[:0], int64(p.ordinal), 10)
		fields = append(fields,
			fluent.Field{Name: "partial_message", Value: []byte("true")},
			fluent.Field{Name: "partial_id", Value: p.id},
			fluent.Field{Name: "partial_ordinal", Value: f.number},
			fluent.Field{Name: "partial_last", Value: strconv.AppendBool(nil, p.last)},
		)
	}
	return fluent.AppendEntry(dst, p.at, fields...)
}

// size is how much of a batch: entries' bytes, entries, and lines that end there.
type size struct{ bytes, events, lines int }

// batch is the entries of the next chunk.
type batch struct {
	entries []byte
	all     size
	whole   size // up to the end of the last line that ended
}

func (b *batch) add(f *form, p piece) {
	b.entries = f.appendEntry(b.entries, p)
	b.all.bytes = len(b.entries)
	b.all.events++
	if p.last {
		b.all.lines++
		b.whole = b.all
	}
}

// drop removes the first n, which are sent.
func (b *batch) drop(n size) {
	b.entries = b.entries[:copy(b.entries, b.entries[n.bytes:])]
	b.all = size{len(b.entries), b.all.events - n.events, b.all.lines - n.lines}
	b.whole = size{}
}
