package schema_test

import (
	"crypto/md5"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"tributary/schema"
)

// aggregate writes user records as the Kinesis Producer Library does.
func aggregate(users ...string) []byte {
	m := text(nil, 1, "key")
	for _, u := range users {
		m = text(m, 3, string(userRecord(0, u)))
	}
	return seal(m)
}

func userRecord(key uint64, data string) []byte {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), key)
	return text(m, 3, data)
}

func seal(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte("\xF3\x89\x9A\xC2"), message...), sum[:]...)
}

// show lists events and rejects in the order of their indexes.
func show(b schema.Batch, rejects []schema.Reject) (got []string) {
	events := b.Events
	for len(events)+len(rejects) > 0 {
		if len(rejects) == 0 || len(events) > 0 && events[0].Index < rejects[0].Index {
			got = append(got, fmt.Sprintf("%d %s", events[0].Index, events[0].Line))
			events = events[1:]
		} else {
			got = append(got, fmt.Sprintf("%d %s: %q", rejects[0].Index, rejects[0].Reason, rejects[0].Data))
			rejects = rejects[1:]
		}
	}
	return got
}

func TestRecordsOfOtherProducers(t *testing.T) {
	v1 := string(wrap(base(0)))
	inner := string(aggregate(`{}`))
	badUser := string(userRecord(1, `{}`))
	noData := "\x08\x00"
	badHash := "\x10\x00" + string(userRecord(0, `{}`))
	for _, c := range []struct {
		name   string
		record string
		want   []string
	}{
		{"one object", `{"a":1}`, []string{`0 {"a":1}`}},
		{"one object and its newline", "{\"a\":1}\r\n", []string{`0 {"a":1}`}},
		{"lines", "{\"a\":1}\n{\"a\":2}\r\n\n \t\n{\"a\":3}", []string{`0 {"a":1}`, `1 {"a":2}`, `2 {"a":3}`}},
		{"lines behind white space", "\n\n {\"a\":1}\n{\"a\":2}", []string{`0  {"a":1}`, `1 {"a":2}`}},
		{"a line that is no JSON among lines", "{\"a\":1}\nboom\n{\"a\":2}", []string{`0 {"a":1}`, `1 boom`, `2 {"a":2}`}},
		{"an object over several lines", " {\n  \"a\": 1\n}\n", []string{"0 {\n  \"a\": 1\n}"}},
		{"two objects over several lines", "{\n}\n{\n}", []string{"0 {", "1 }", "2 {", "3 }"}},
		{"what only begins like an object", "{nope", []string{"0 {nope"}},
		{"nothing", "", []string{`0 unknown record format: ""`}},
		{"white space", " \n", []string{`0 unknown record format: " \n"`}},
		{"text", "hello", []string{`0 unknown record format: "hello"`}},
		{"a list", "[{}]", []string{`0 unknown record format: "[{}]"`}},
		{"an aggregate", string(aggregate(`{"a":1}`, "{\"b\":1}\n{\"b\":2}", `{"c":1}`)), []string{`0 {"a":1}`, `1 {"b":1}`, `2 {"b":2}`, `3 {"c":1}`}},
		{"an aggregate with things nobody knows", string(aggregate(`{"a":1}`, "text", "", v1, inner, `{"b":1}`)), []string{
			`0 {"a":1}`, `1 unknown record format: "text"`, `2 unknown record format: ""`, fmt.Sprintf("3 record v1 in aggregate: %q", v1),
			fmt.Sprintf("4 aggregate in aggregate: %q", inner), `5 {"b":1}`}},
		{"a bad user record, and the rest goes on", string(seal(text(text(text(text(text(nil, 1, "k"), 3, badUser), 3, noData), 3, badHash), 3, string(userRecord(0, `{"a":1}`))))), []string{
			fmt.Sprintf("0 bad user record in aggregate: %q", badUser), fmt.Sprintf("1 bad user record in aggregate: %q", noData),
			fmt.Sprintf("2 bad user record in aggregate: %q", badHash), `3 {"a":1}`}},
		{"keys behind the records", string(seal(text(text(nil, 3, string(userRecord(0, `{}`))), 1, "key"))), []string{`0 {}`}},
		{"an aggregate that ends in rubbish", string(seal(append(text(text(nil, 1, "k"), 3, string(userRecord(0, `{}`))), "\x1a\x7fabc"...))), []string{
			`0 {}`, `1 bad aggregate: "\x1a\x7fabc"`}},
		{"an aggregate with a wrong checksum", "\xF3\x89\x9A\xC2" + strings.Repeat("x", 30), []string{
			fmt.Sprintf("0 bad checksum of aggregate: %q", "\xF3\x89\x9A\xC2"+strings.Repeat("x", 30))}},
		{"an aggregate of nothing", string(seal(text(nil, 1, "k"))), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := []byte(c.record)
			b, rejects, size := schema.NewDecoder().Decode(data, arrival)
			clear(data)
			if got := show(b, rejects); !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got  %q\nwant %q", got, c.want)
			}
			want := 0
			for i := range b.Events {
				e := &b.Events[i]
				want += schema.EventSize(e)
				if e.Time != arrival.UnixNano() || e.Kind != schema.KindUnset || e.Origin == nil || e.Offset != 0 {
					t.Fatalf("event %+v", e)
				}
			}
			for _, r := range rejects {
				want += len(r.Data) + 64
			}
			if size != int64(want) || !b.Epoch.IsZero() {
				t.Fatalf("size %d, want %d", size, want)
			}
		})
	}
}

func TestARecordThatDecodesToTooMuchIsOneReject(t *testing.T) {
	for name, record := range map[string][]byte{
		"many small lines":           []byte(strings.Repeat("{}\n", schema.MaxDecoded/98+1)),
		"one huge line":              []byte(`{"a":"` + strings.Repeat("x", schema.MaxDecoded) + `"}`),
		"an aggregate of many lines": aggregate(strings.Repeat("{}\n", schema.MaxDecoded/98), "{}", "{}"),
		"an aggregate of rejects":    seal([]byte(strings.Repeat("\x1a\x00", schema.MaxDecoded/64+1))),
	} {
		t.Run(name, func(t *testing.T) {
			if got := reasonOf(t, record); got != "decodes to more than 8 MiB" {
				t.Fatalf("got %q", got)
			}
		})
	}
	fits := []byte(strings.Repeat("{}\n", schema.MaxDecoded/98))
	if b := decode(t, fits); len(b.Events) != schema.MaxDecoded/98 {
		t.Fatalf("%d events", len(b.Events))
	}
}

// FuzzDecode wants every byte sequence decoded or rejected within the bounds, and
// what was decoded encoded and decoded to the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte("{\n}\n{\"a\":1}\nx"))
	f.Add(aggregate(`{"a":1}`, "x", string(wrap(base(0)))))
	f.Add(wrap(base(0)))
	f.Add(wrap(nil))
	for _, b := range golden() {
		f.Add(encode(f, b))
	}
	dec, enc := schema.NewDecoder(), schema.NewEncoder()
	f.Fuzz(func(t *testing.T, data []byte) {
		roundTrip(t, dec, enc, data)
		roundTrip(t, dec, enc, seal(data)) // past the checksums, which no fuzzer finds
		roundTrip(t, dec, enc, wrap(data))
	})
}

func roundTrip(t *testing.T, dec *schema.Decoder, enc *schema.Encoder, data []byte) {
	b, rejects, size := dec.Decode(data, arrival)
	total, last := 0, -1
	for i := range b.Events {
		total += schema.EventSize(&b.Events[i])
		if int(b.Events[i].Index) <= last {
			t.Fatal("indexes do not grow")
		}
		last = int(b.Events[i].Index)
	}
	if total > schema.MaxDecoded || size < int64(total) {
		t.Fatalf("%d bytes, size %d", total, size)
	}
	if len(b.Events)+len(rejects) == 0 && len(data) == 0 {
		t.Fatal("a record vanished")
	}
	record, err := enc.Append(nil, &b)
	if err != nil {
		t.Fatal(err)
	}
	again, _, _ := dec.Decode(record, arrival)
	if !reflect.DeepEqual(again, *number(&b)) && len(b.Events) > 0 {
		t.Fatalf("%+v\n%+v", again, b)
	}
}
