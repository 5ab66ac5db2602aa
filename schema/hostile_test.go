package schema_test

import (
	"bytes"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"tributary/schema"
)

const header = "\xF5TRB\x01"

// wrap makes a record of any message.
func wrap(message []byte, opts ...zstd.EOption) []byte {
	z, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true)}, opts...)...)
	if err != nil {
		panic(err)
	}
	defer z.Close()
	return z.EncodeAll(message, []byte(header))
}

func column(p []byte, field protowire.Number, values ...uint64) []byte {
	var c []byte
	for _, v := range values {
		c = protowire.AppendVarint(c, v)
	}
	return text(p, field, string(c))
}

func text(p []byte, field protowire.Number, s string) []byte {
	p = protowire.AppendTag(p, field, protowire.BytesType)
	return protowire.AppendString(p, s)
}

// base is a good message of two events; the changes are to break it.
func base(without protowire.Number) (p []byte) {
	add := func(field protowire.Number, f func()) {
		if field != without {
			f()
		}
	}
	p = text(p, 1, "0123456789abcdef")
	p = protowire.AppendTag(p, 2, protowire.VarintType)
	p = protowire.AppendVarint(p, 7)
	add(3, func() { p = text(p, 3, "\x0a\x03web") })
	add(4, func() { p = column(p, 4, 0, 0) })
	add(5, func() { p = column(p, 5, 10, 1) })
	add(6, func() { p = column(p, 6, 2, 2) })
	add(7, func() { p = column(p, 7, 2, 3) })
	add(10, func() { p = text(text(p, 10, "a"), 10, "b") })
	return p
}

func reasonOf(t *testing.T, record []byte) string {
	t.Helper()
	b, rejects, size := schema.NewDecoder().Decode(record, arrival)
	if len(rejects) == 0 {
		return ""
	}
	if len(rejects) != 1 || len(b.Events) != 0 || !b.Epoch.IsZero() || !bytes.Equal(rejects[0].Data, record) || size < int64(len(record)) {
		t.Fatalf("%d events, %d rejects, size %d", len(b.Events), len(rejects), size)
	}
	if len(record) > 0 && &rejects[0].Data[0] == &record[0] {
		t.Fatal("the reject aliases the record")
	}
	return rejects[0].Reason
}

func TestABrokenMessageIsOneReject(t *testing.T) {
	part := func(event, number, count uint64, line string) []byte {
		var m []byte
		m = protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.VarintType), event)
		m = text(m, 2, line)
		m = protowire.AppendVarint(protowire.AppendTag(m, 3, protowire.VarintType), number)
		m = protowire.AppendVarint(protowire.AppendTag(m, 4, protowire.VarintType), count)
		return text(base(0), 9, string(m))
	}
	const id = "0123456789abcdef"
	const bad = "bad batch"
	for _, c := range []struct {
		name, want string
		message    []byte
	}{
		{"good", "", base(0)},
		{"fields of a later version are skipped", "", text(append(protowire.AppendVarint(protowire.AppendTag(base(0), 99, protowire.VarintType), 5), 12<<3|1, 1, 2, 3, 4, 5, 6, 7, 8), 1000, "later")},
		{"a part", "", part(1, 1, 2, id)},
		{"the group it is for", "", text(base(0), 11, "realtime")},
		{"too long a name of a group", bad, text(base(0), 11, strings.Repeat("g", 256))},
		{"no origins", bad, base(3)},
		{"no column of origins", bad, base(4)},
		{"no offsets", bad, base(5)},
		{"no times", bad, base(6)},
		{"no kinds", bad, base(7)},
		{"no lines", bad, base(10)},
		{"more lines than offsets", bad, text(base(0), 10, "c")},
		{"more offsets than lines", bad, column(base(5), 5, 10, 1, 1)},
		{"fewer flags than lines", bad, column(base(0), 8, 1)},
		{"flags above a byte", bad, column(base(0), 8, 1, 256)},
		{"a column twice", bad, column(base(0), 5, 10, 1)},
		{"an origin out of the table", bad, column(base(4), 4, 0, 1)},
		{"a short epoch", bad, text(base(0), 1, "short")},
		{"a lane of 33 bits", bad, protowire.AppendVarint(protowire.AppendTag(base(0), 2, protowire.VarintType), 1<<32)},
		{"a lane of another type", bad, text(base(0), 2, "x")},
		{"a line of another type", bad, protowire.AppendVarint(protowire.AppendTag(base(0), 10, protowire.VarintType), 1)},
		{"offsets beyond 2^64", bad, column(base(5), 5, math.MaxUint64, 1)},
		{"a column that ends within a number", bad, text(base(5), 5, "\x01\x80")},
		{"an origin that ends too soon", bad, text(base(0), 3, "\x0a\x09web")},
		{"a label that ends too soon", bad, text(base(0), 3, "\x3a\x02\x0a\x09")},
		{"a kind of a later version", "unknown kind", column(base(7), 7, 2, 4)},
		{"part 0", bad, part(1, 0, 2, id)},
		{"part 3 of 2", bad, part(1, 3, 2, id)},
		{"a part of 33 bits", bad, part(1, 1<<32+1, 1<<32+2, id)},
		{"a part of no event", bad, part(2, 1, 2, id)},
		{"a part of no line", bad, part(1, 1, 2, "")},
		{"two parts for one event", bad, append(part(1, 1, 2, id), part(1, 1, 2, id)[len(base(0)):]...)},
		{"a message that ends too soon", bad, base(0)[:len(base(0))-1]},
		{"a field number of zero", bad, append(base(0), 0, 0)},
		{"too many empty lines", "decodes to more than 8 MiB", bytes.Repeat([]byte{10<<3 | 2, 0}, schema.MaxDecoded/96+1)},
		{"too many origins", "decodes to more than 8 MiB", bytes.Repeat([]byte{3<<3 | 2, 0}, schema.MaxOrigins/128+1)},
		{"too many labels", bad, text(nil, 3, string(bytes.Repeat([]byte{7<<3 | 2, 0}, schema.MaxOrigins/32+1)))},
		{"nothing but parts", bad, bytes.Repeat([]byte{9<<3 | 2, 0}, 1<<20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reasonOf(t, wrap(c.message)); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestABrokenFrameIsOneReject(t *testing.T) {
	good := wrap(base(0))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	dictionary := []byte("\x28\xb5\x2f\xfd\x25\x07\x04\x21\x00\x00abcd0000") // single segment, checksum, dictionary 7, four bytes
	for _, c := range []struct {
		name, want string
		record     []byte
	}{
		{"nothing behind the magic", "unknown record version", good[:4]},
		{"a later version", "unknown record version", change(4, 2)},
		{"no frame", "bad compressed frame", good[:5]},
		{"no checksum", "bad compressed frame", wrap(base(0), zstd.WithEncoderCRC(false))},
		{"no content size", "bad compressed frame", wrap(base(0), zstd.WithSingleSegment(false))},
		{"a wrong checksum", "bad compressed frame", change(len(good)-1, good[len(good)-1]^1)},
		{"something behind the frame", "bad compressed frame", append(bytes.Clone(good), 0)},
		{"a second frame", "bad compressed frame", append(bytes.Clone(good), good[5:]...)},
		{"a skippable frame behind the frame", "bad compressed frame", append(bytes.Clone(good), "\x50\x2a\x4d\x18\x01\x00\x00\x00x"...)},
		{"a skippable frame", "bad compressed frame", []byte(header + "\x50\x2a\x4d\x18\x01\x00\x00\x00x")},
		{"a dictionary nobody gave us", "unknown dictionary", append([]byte(header), dictionary...)},
		{"a bomb", "decodes to more than 8 MiB", wrap(make([]byte, 64<<20))},
		{"a content size of 2^63", "decodes to more than 8 MiB", []byte(header + "\x28\xb5\x2f\xfd\xe4\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reasonOf(t, c.record); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAForgedSizeTakesNoMemory(t *testing.T) {
	// Eight million bytes announced, one empty block there.
	record := []byte(header + "\x28\xb5\x2f\xfd\xa4\x00\x00\x80\x00\x01\x00\x00sums")
	manyParts := wrap(bytes.Repeat([]byte{9<<3 | 2, 0}, 4<<20))
	for name, c := range map[string]struct {
		record []byte
		limit  uint64
	}{
		"content size":    {record, 1 << 10},
		"number of parts": {manyParts, 10 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dec := schema.NewDecoder()
			dec.Decode(c.record, arrival) // what the decoder keeps
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, rejects, _ := dec.Decode(c.record, arrival)
			runtime.ReadMemStats(&after)
			if len(rejects) != 1 {
				t.Fatal("taken")
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > c.limit {
				t.Fatalf("allocated %d bytes", got)
			}
		})
	}
}

func TestARecordCutAnywhereIsOneReject(t *testing.T) {
	record, err := os.ReadFile("testdata/record_v1_full.bin")
	if err != nil {
		t.Fatal(err)
	}
	for n := range record {
		if reasonOf(t, record[:n]) == "" {
			t.Fatalf("took the first %d of %d bytes", n, len(record))
		}
	}
}

func TestAChangedByteIsNeverReadAsAnotherLine(t *testing.T) {
	record, err := os.ReadFile("testdata/record_v1_full.bin")
	if err != nil {
		t.Fatal(err)
	}
	want := golden()["full"]
	dec := schema.NewDecoder()
	for at := range record {
		for bit := range 8 {
			changed := bytes.Clone(record)
			changed[at] ^= 1 << bit
			b, rejects, _ := dec.Decode(changed, arrival)
			if len(rejects) == 1 && len(b.Events) == 0 {
				continue
			}
			if len(b.Events) != len(want.Events) || string(b.Events[0].Line) != string(want.Events[0].Line) {
				t.Fatalf("bit %d of byte %d: %+v", bit, at, b)
			}
		}
	}
}
