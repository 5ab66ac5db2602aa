package fluent_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/stream/fluent"
)

func TestValuesAsFieldsAndAsJSON(t *testing.T) {
	at := time.Date(2026, 11, 22, 17, 0, 1, 500_000_000, time.UTC)
	const skipped = "(skipped)"
	for name, c := range map[string]struct {
		value       []byte
		field, json string
	}{
		"a string":                       {str("text"), "text", `"text"`},
		"an empty string":                {str(""), "", `""`},
		"a string of all escapes":        {str("\"\\\n\r\t\b\x00\x1f/<>&"), "\"\\\n\r\t\b\x00\x1f/<>&", `"\"\\\n\r\t\u0008\u0000\u001f/<>&"`},
		"a string of wide characters":    {str("日本🐦\u2028"), "日本🐦\u2028", "\"日本🐦\u2028\""},
		"a string that is not UTF-8":     {str("a\xff\xe6\x97b\xc3"), "a\xff\xe6\x97b\xc3", "\"a\ufffd\ufffd\ufffdb\ufffd\""},
		"binary that is text":            {bin([]byte("text\n")), "text\n", `"text\n"`},
		"binary that is not text":        {bin([]byte{0xff, 0}), "\xff\x00", `"/wA="`},
		"zero":                           {[]byte{0x00}, "0", "0"},
		"the largest positive fixint":    {[]byte{0x7f}, "127", "127"},
		"minus one":                      {[]byte{0xff}, "-1", "-1"},
		"the smallest negative fixint":   {[]byte{0xe0}, "-32", "-32"},
		"int8":                           {[]byte{0xd0, 0x80}, "-128", "-128"},
		"int16":                          {[]byte{0xd1, 0x80, 0}, "-32768", "-32768"},
		"int32":                          {[]byte{0xd2, 0x80, 0, 0, 0}, "-2147483648", "-2147483648"},
		"int64":                          {msgp.AppendInt64(nil, math.MinInt64), "-9223372036854775808", "-9223372036854775808"},
		"uint8":                          {[]byte{0xcc, 0xff}, "255", "255"},
		"uint16":                         {[]byte{0xcd, 0xff, 0xff}, "65535", "65535"},
		"uint32":                         {[]byte{0xce, 0xff, 0xff, 0xff, 0xff}, "4294967295", "4294967295"},
		"uint64":                         {msgp.AppendUint64(nil, math.MaxUint64), "18446744073709551615", "18446744073709551615"},
		"a double":                       {msgp.AppendFloat64(nil, 0.1), "0.1", "0.1"},
		"a single":                       {msgp.AppendFloat32(nil, 0.1), "0.1", "0.1"},
		"a large double":                 {msgp.AppendFloat64(nil, 1e300), "1e+300", "1e+300"},
		"not a number":                   {msgp.AppendFloat64(nil, math.NaN()), "NaN", `"NaN"`},
		"minus infinity":                 {msgp.AppendFloat64(nil, math.Inf(-1)), "-Inf", `"-Inf"`},
		"true":                           {[]byte{0xc3}, "true", "true"},
		"false":                          {[]byte{0xc2}, "false", "false"},
		"nil":                            {[]byte{0xc0}, skipped, "null"},
		"an array":                       {array(str("a"), []byte{1}, []byte{0xc0}), `["a",1,null]`, `["a",1,null]`},
		"an empty array":                 {array(), "[]", "[]"},
		"a map":                          {record("b", "1", "a", "2"), `{"b":"1","a":"2"}`, `{"b":"1","a":"2"}`},
		"an empty map":                   {record(), "{}", "{}"},
		"a map with keys of other types": {join([]byte{0x83, 0x01, 0xc0, 0xc3, 0xc0}, bin([]byte{0xff}), []byte{0xc0}), `{"1":null,"true":null,"/w==":null}`, `{"1":null,"true":null,"/w==":null}`},
		"a map whose key is a map":       {join([]byte{0x81}, record("a", "b"), []byte{1}), `{"gaFhoWI=":1}`, `{"gaFhoWI=":1}`},
		"EventTime":                      {eventTime(uint32(at.Unix()), 500_000_000), "2026-11-22T17:00:01.5Z", `"2026-11-22T17:00:01.5Z"`},
		"a timestamp of 32 bits":         {join([]byte{0xd6, 0xff}, []byte{0, 0, 0, 1}), "1970-01-01T00:00:01Z", `"1970-01-01T00:00:01Z"`},
		"a timestamp of 64 bits":         {join([]byte{0xd7, 0xff}, []byte{0x77, 0x35, 0x94, 0, 0, 0, 0, 1}), "1970-01-01T00:00:01.5Z", `"1970-01-01T00:00:01.5Z"`},
		"a timestamp of 96 bits":         {join([]byte{0xc7, 12, 0xff}, []byte{0, 0, 0, 1}, bytes.Repeat([]byte{0xff}, 8)), "1969-12-31T23:59:59.000000001Z", `"1969-12-31T23:59:59.000000001Z"`},
		"a timestamp beyond all years":   {join([]byte{0xc7, 12, 0xff}, []byte{0, 0, 0, 1, 0x7f}, make([]byte, 7)), "ext:-1:AAAAAX8AAAAAAAAA", `"ext:-1:AAAAAX8AAAAAAAAA"`},
		"another extension":              {[]byte{0xd4, 5, 0xff}, "ext:5:/w==", `"ext:5:/w=="`},
		"an extension without data":      {[]byte{0xc7, 0, 5}, "ext:5:", `"ext:5:"`},
	} {
		t.Run(name, func(t *testing.T) {
			rec := join([]byte{0x83}, str("first"), str("1"), str("key"), c.value, str("last"), str("3"))
			var got []string
			if err := fluent.Fields(rec, func(k, v []byte) bool {
				got = append(got, string(k)+"="+string(v))
				return true
			}); err != nil {
				t.Fatal(err)
			}
			want := []string{"first=1", "key=" + c.field, "last=3"}
			if c.field == skipped {
				want = []string{"first=1", "last=3"}
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("fields are %q, want %q", got, want)
			}
			line := fluent.RecordJSON([]byte("before "), rec)
			if want := `before {"first":"1","key":` + c.json + `,"last":"3"}`; string(line) != want {
				t.Errorf("JSON is %s, want %s", line, want)
			}
			if !json.Valid(line[len("before "):]) {
				t.Error("which is not JSON")
			}
		})
	}
}

func TestFieldsStopsWhenTold(t *testing.T) {
	n := 0
	err := fluent.Fields(record("a", "1", "b", "2", "c", "3"), func(k, v []byte) bool { n++; return n < 2 })
	if err != nil || n != 2 {
		t.Errorf("%d calls, %v", n, err)
	}
}

func TestFieldsOfDockersRecordAllocatesNothing(t *testing.T) {
	rec := record("container_id", strings.Repeat("c", 64), "container_name", "/web", "source", "stdout", "log", "line")
	size := 0
	if n := testing.AllocsPerRun(100, func() {
		_ = fluent.Fields(rec, func(k, v []byte) bool { size += len(v); return true })
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBytesThatAreNoRecordAreAnErrorAndAreKeptInJSON(t *testing.T) {
	deep := bytes.Repeat([]byte{0x81, 0xa1, 'k'}, 100_000)
	for name, b := range map[string][]byte{
		"nothing":                       nil,
		"a string":                      str("x"),
		"an array":                      array(),
		"a map cut short":               record("a", "b")[:4],
		"a map with bytes behind it":    append(record("a", "b"), 0),
		"a map that promises 4 billion": {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a value that promises 4 GB":    join([]byte{0x81}, str("k"), bin32(math.MaxUint32)),
		"a byte that is not msgpack":    {0x81, 0xa1, 'k', 0xc1},
		"nested 100,000 deep":           append(deep, 0xc0),
	} {
		t.Run(name, func(t *testing.T) {
			if err := fluent.Fields(b, func(k, v []byte) bool { return true }); err == nil {
				t.Error("Fields finds nothing wrong")
			}
			want := `{"malformed_record":"` + base64.StdEncoding.EncodeToString(b) + `"}`
			if got := string(fluent.RecordJSON(nil, b)); got != want {
				t.Errorf("JSON is %.100s, want %.100s", got, want)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(record("log", "line", "source", "stdout"))
	f.Add(join([]byte{0x82}, str("nested"), array(record("a", "\xff"), seconds(1)), str("t"), eventTime(1, 2)))
	f.Add(join([]byte{0x83, 0x01, 0xc0, 0xc3, 0xca, 0x7f, 0xc0, 0, 0}, record(), []byte{0xd4, 5, 1}))
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xc1})
	f.Fuzz(func(t *testing.T, b []byte) {
		line := fluent.RecordJSON(nil, b)
		if !json.Valid(line) {
			t.Fatalf("%q becomes %q", b, line)
		}
		if len(line) > 8*len(b)+64 {
			t.Fatalf("%d bytes become %d", len(b), len(line))
		}
		members := 0
		err := fluent.Fields(b, func(k, v []byte) bool { members++; return true })
		if malformed := bytes.HasPrefix(line, []byte(`{"malformed_record":`)); err != nil && !malformed {
			t.Fatalf("Fields: %v, but the JSON is %q", err, line)
		}
		if rest, skip := msgp.Skip(b); err == nil && (skip != nil || len(rest) != 0) {
			t.Fatalf("Fields accepts %q, msgp does not: %v", b, skip)
		}
		if members > len(b) {
			t.Fatalf("%d members in %d bytes", members, len(b))
		}
	})
}
