package schema_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tributary/schema"
)

var arrival = time.Unix(1_700_000_000, 123)

// decode fails the test when the record has rejects.
func decode(t *testing.T, record []byte) schema.Batch {
	t.Helper()
	b, rejects, _ := schema.NewDecoder().Decode(record, arrival)
	if len(rejects) > 0 {
		t.Fatalf("rejected: %s", rejects[0].Reason)
	}
	return b
}

func encode(t testing.TB, b *schema.Batch) []byte {
	t.Helper()
	record, err := schema.NewEncoder().Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// number gives the events the indexes the decoder will give them.
func number(b *schema.Batch) *schema.Batch {
	for i := range b.Events {
		b.Events[i].Index = uint32(i)
	}
	return b
}

func randomBatch(r *rand.Rand) *schema.Batch {
	text := func(n int) string {
		b := make([]byte, r.IntN(n))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	}
	origins := make([]*schema.Origin, 1+r.IntN(4))
	for i := range origins {
		o := &schema.Origin{
			Service: text(10), ContainerID: text(65), ContainerName: text(20),
			Source: "stdout", Tag: text(10), Host: text(10),
		}
		for range r.IntN(4) {
			o.Labels = append(o.Labels, schema.Label{Name: text(10), Value: text(200)})
		}
		origins[i] = o
	}
	b := &schema.Batch{Lane: r.Uint32(), Events: make([]schema.Event, 1+r.IntN(50))}
	for i := range b.Epoch {
		b.Epoch[i] = byte(r.IntN(256))
	}
	offset := uint64(0)
	for i := range b.Events {
		offset += r.Uint64N(1 << r.IntN(58))
		e := &b.Events[i]
		*e = schema.Event{
			Time: int64(r.Uint64()), Kind: schema.Kind(r.IntN(4)), Flags: schema.Flags(r.IntN(256)),
			Origin: origins[r.IntN(len(origins))], Line: []byte(text(300)), Offset: offset,
		}
		if r.IntN(5) == 0 {
			e.Part = schema.Part{Number: 1 + r.Uint32N(9), Count: 9 + r.Uint32N(math.MaxUint32-9)}
			e.Part.Line[r.IntN(16)] = 7
		}
	}
	return number(b)
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	enc, dec := schema.NewEncoder(), schema.NewDecoder()
	var records [][]byte
	var batches []*schema.Batch
	for range 300 {
		b := randomBatch(r)
		record, err := enc.Append([]byte("kept"), b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(record, []byte("kept\xF5TRB\x01")) {
			t.Fatalf("record begins with % x", record[:9])
		}
		records, batches = append(records, record[4:]), append(batches, b)
	}
	results := make([]schema.Batch, len(records))
	for i, record := range records {
		var rejects []schema.Reject
		var size int64
		results[i], rejects, size = dec.Decode(record, arrival)
		if len(rejects) > 0 {
			t.Fatalf("rejected: %s", rejects[0].Reason)
		}
		if want := decodedSize(batches[i]); size != want {
			t.Fatalf("size %d, want %d", size, want)
		}
		clear(record) // the result must not alias it
	}
	for i := range results { // only now: the decoder must not reuse results
		if !reflect.DeepEqual(&results[i], batches[i]) {
			t.Fatalf("batch %d differs:\n%+v\n%+v", i, results[i], *batches[i])
		}
	}
}

func TestASmallBatchIsCompressedWithTheDictionaryAndReadAsAnyOther(t *testing.T) {
	line := []byte(`{"@timestamp":"2026-11-22T10:00:00.000Z","level":"INFO","logger_name":"com.example.Orders","thread_name":"http-nio-8080-exec-7","message":"order 4711 placed"}`)
	b := number(&schema.Batch{Epoch: schema.Epoch{1}, Events: []schema.Event{
		{Kind: schema.KindApp, Origin: &schema.Origin{Service: "orders", Source: "stdout"}, Line: line},
		{Kind: schema.KindRaw, Offset: 1, Origin: &schema.Origin{}, Line: []byte("\x00\xff")},
	}})
	record, err := schema.NewSmallEncoder().Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	if got := decode(t, record); !reflect.DeepEqual(got, *b) {
		t.Fatalf("got %+v, want %+v", got, *b)
	}
	if plain := encode(t, b); len(record) > len(plain)*3/4 {
		t.Errorf("%d bytes, without the dictionary %d", len(record), len(plain))
	}
	var h zstd.Header
	if err := h.Decode(record[5:]); err != nil || h.DictionaryID == 0 {
		t.Errorf("the frame names dictionary %d (%v)", h.DictionaryID, err)
	}
}

func decodedSize(b *schema.Batch) (size int64) {
	seen := map[*schema.Origin]bool{}
	for i := range b.Events {
		e := &b.Events[i]
		size += int64(schema.EventSize(e))
		if !seen[e.Origin] {
			seen[e.Origin] = true
			size += int64(schema.OriginSize(e.Origin))
		}
	}
	return size
}

func TestEdgesOfABatch(t *testing.T) {
	empty := &schema.Origin{}
	for name, b := range map[string]*schema.Batch{
		"no events":            {Epoch: schema.Epoch{1}, Lane: 3},
		"zero everything":      {Events: []schema.Event{{Origin: empty, Line: []byte{}}}},
		"extremes":             {Lane: math.MaxUint32, Events: []schema.Event{{Time: math.MinInt64, Origin: empty, Line: []byte("a")}, {Time: math.MaxInt64, Offset: math.MaxUint64, Origin: empty, Line: []byte("\x00\xff")}}},
		"for one group":        {To: strings.Repeat("g", 255), Events: []schema.Event{{Origin: empty, Line: []byte("a")}}},
		"events of one offset": {Events: []schema.Event{{Offset: 5, Origin: empty, Line: []byte("a")}, {Offset: 5, Origin: empty, Line: []byte("b")}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decode(t, encode(t, number(b))); !reflect.DeepEqual(got, *b) {
				t.Fatalf("got %+v, want %+v", got, *b)
			}
		})
	}
}

func TestAnEventWithoutOriginGetsAnEmptyOne(t *testing.T) {
	b := decode(t, encode(t, &schema.Batch{Events: []schema.Event{{Line: []byte("a")}}}))
	if o := b.Events[0].Origin; o == nil || !reflect.DeepEqual(*o, schema.Origin{}) {
		t.Fatalf("origin %+v", o)
	}
}

func TestEqualOriginsAreWrittenOnceAndSharedBetweenRecords(t *testing.T) {
	events := make([]schema.Event, 100)
	for i := range events {
		events[i] = schema.Event{Origin: &schema.Origin{Service: strings.Repeat("s", 100_000)}, Line: []byte("x")}
	}
	record := encode(t, &schema.Batch{Events: events})
	dec := schema.NewDecoder()
	a, rejects, _ := dec.Decode(record, arrival)
	if len(rejects) > 0 {
		t.Fatal(rejects[0].Reason) // 100 copies would be above MaxOrigins
	}
	b, _, _ := dec.Decode(record, arrival)
	if a.Events[0].Origin != b.Events[99].Origin {
		t.Fatal("two records of one container hold two origins")
	}
}

func TestTheEncoderRefusesWhatNobodyCouldRead(t *testing.T) {
	line := make([]byte, schema.MaxDecoded-96)
	full := []schema.Event{{Line: line}}
	if got := schema.EventSize(&full[0]); got != schema.MaxDecoded {
		t.Fatalf("charge is %d", got-len(line))
	}
	if b := decode(t, encode(t, &schema.Batch{Events: full})); len(b.Events[0].Line) != len(line) {
		t.Fatal("a batch of exactly MaxDecoded must pass")
	}
	manyOrigins := make([]schema.Event, 10_000)
	for i := range manyOrigins {
		manyOrigins[i].Origin = &schema.Origin{Service: strings.Repeat("x", i%100), Host: string(rune(i))}
	}
	for name, c := range map[string]struct {
		events   []schema.Event
		tooLarge bool
	}{
		"one byte more than MaxDecoded": {append(full, schema.Event{}), true},
		"too many origins":              {manyOrigins, true},
		"too large an origin":           {[]schema.Event{{Origin: &schema.Origin{Host: string(make([]byte, schema.MaxOrigins))}}}, true},
		"offsets going back":            {[]schema.Event{{Offset: 2}, {Offset: 1}}, false},
		"a kind nobody knows":           {[]schema.Event{{Kind: 4}}, false},
		"part 2 of 1":                   {[]schema.Event{{Part: schema.Part{Number: 2, Count: 1}}}, false},
		"part 0 of 3":                   {[]schema.Event{{Part: schema.Part{Count: 3}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dst, err := schema.NewEncoder().Append([]byte("kept"), &schema.Batch{Events: c.events})
			if err == nil || errors.Is(err, schema.ErrTooLarge) != c.tooLarge {
				t.Fatalf("error %v", err)
			}
			if string(dst) != "kept" {
				t.Fatalf("dst is now %q", dst)
			}
		})
	}
}

func TestTheWorstMetadataStaysWithinItsCharge(t *testing.T) {
	origins := make([]*schema.Origin, 30)
	for i := range origins {
		origins[i] = &schema.Origin{Host: string(rune('a' + i)), Labels: make([]schema.Label, 900)}
	}
	events := make([]schema.Event, schema.MaxDecoded/96)
	for i := range events {
		e := &events[i]
		e.Offset = uint64(i) * (math.MaxUint64 / uint64(len(events)))
		e.Time = math.MaxInt64 * int64(1-i%2*2)
		e.Flags, e.Kind = 255, schema.KindAudit
		e.Part = schema.Part{Line: [16]byte{1}, Number: math.MaxUint32, Count: math.MaxUint32}
		e.Origin = origins[i%len(origins)]
	}
	if b := decode(t, encode(t, &schema.Batch{Events: events})); len(b.Events) != len(events) {
		t.Fatalf("%d events", len(b.Events))
	}
}
