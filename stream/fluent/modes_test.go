package fluent_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func eventTime(sec, nsec uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0xd7, 0x00}, sec), nsec)
}

func TestEachModeGivesItsEvents(t *testing.T) {
	three := [][]byte{entry(1, "a"), entry(2, "b"), entry(3, "c")}
	gzipped := record("compressed", "gzip")
	members := join(zip(t, three[0]), zip(t, join(three[1:]...)))
	sized := msgp.AppendInt(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "size"), 3)
	for name, c := range map[string]struct {
		mode  string
		frame []byte
		logs  string
	}{
		"Message of three elements":            {"message", array(str("t"), seconds(1), record("log", "a")), "a"},
		"Message with Docker's empty options":  {"message", array(str("t"), seconds(1), record("log", "a"), record()), "a"},
		"Message with nil options":             {"message", array(str("t"), seconds(1), record("log", "a"), []byte{0xc0}), "a"},
		"Message with a binary tag":            {"message", array(bin([]byte("t")), seconds(1), record("log", "a")), "a"},
		"Forward":                              {"forward", array(str("t"), array(three...)), "abc"},
		"Forward with size":                    {"forward", array(str("t"), array(three...), sized), "abc"},
		"Forward without entries":              {"forward", array(str("t"), array(), chunk("x")), ""},
		"PackedForward as binary":              {"packed", array(str("t"), bin(join(three...))), "abc"},
		"PackedForward as string":              {"packed", array(str("t"), str(string(join(three...))), sized), "abc"},
		"PackedForward called text":            {"packed", array(str("t"), bin(join(three...)), record("compressed", "text")), "abc"},
		"CompressedPackedForward":              {"compressed", array(str("t"), bin(zip(t, join(three...))), gzipped), "abc"},
		"CompressedPackedForward of 2 members": {"compressed", array(str("t"), bin(members), gzipped), "abc"},
		"CompressedPackedForward of nothing":   {"compressed", array(str("t"), bin(nil), record("compressed", "gzip", "chunk", "x")), ""},
		"array headers of 32 bits":             {"message", join([]byte{0xdd, 0, 0, 0, 3}, str("t"), seconds(1), []byte{0xdf, 0, 0, 0, 1}, str("log"), []byte{0xdb, 0, 0, 0, 1, 'a'}), "a"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, config())
			nc := r.send(join(c.frame, array(str("t"), seconds(9), record("log", "."), chunk("end"))))
			// The last ack says that all before it is counted.
			want := []string{"end"}
			if bytes.Contains(c.frame, chunk("x")[1:]) {
				want = []string{"x", "end"}
			}
			expectAck(t, nc, want...)
			var got strings.Builder
			for i, e := range r.store.wait(t, len(c.logs)+1) {
				got.WriteString(e.field("log"))
				if i < len(c.logs) && e.time != int64(i+1)*int64(time.Second) {
					t.Errorf("event %d is of %d", i, e.time)
				}
				if e.tag != "t" {
					t.Errorf("event %d has tag %q", i, e.tag)
				}
			}
			if got.String() != c.logs+"." {
				t.Errorf("logs are %q", got.String())
			}
			events := float64(len(c.logs))
			if c.mode == "message" {
				events++
			}
			if got := r.metric("events_total", c.mode); got != events {
				t.Errorf("%v %s events counted, want %v", got, c.mode, events)
			}
		})
	}
}

func TestTimesOfEveryForm(t *testing.T) {
	meta := record("trace", "1")
	for name, c := range map[string]struct {
		when []byte
		want int64 // 0: arrival
	}{
		"seconds as fixint":                   {[]byte{0x05}, 5e9},
		"seconds as uint32":                   {seconds(1_800_000_000), 1_800_000_000e9},
		"seconds as signed 64-bit":            {join([]byte{0xd3}, binary.BigEndian.AppendUint64(nil, 1_800_000_000)), 1_800_000_000e9},
		"EventTime as fixext 8":               {eventTime(1_800_000_000, 123_456_789), 1_800_000_000_123_456_789},
		"EventTime as ext 8":                  {join([]byte{0xc7, 8}, eventTime(7, 9)[1:]), 7_000_000_009},
		"float seconds":                       {msgp.AppendFloat64(nil, 1_800_000_000.5), 1_800_000_000_500_000_000},
		"single precision seconds":            {msgp.AppendFloat32(nil, 2.25), 2_250_000_000},
		"EventTime with metadata (v1.5)":      {array(eventTime(7, 9), meta), 7_000_000_009},
		"seconds with metadata (v1.5)":        {array(seconds(7), meta), 7e9},
		"nil means arrival":                   {[]byte{0xc0}, 0},
		"zero means arrival":                  {[]byte{0x00}, 0},
		"the last second that int64 can hold": {seconds(9_223_372_036), 9_223_372_036e9},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, config())
			before := time.Now().UnixNano()
			rec := record("log", "x")
			r.send(join(
				array(str("message"), c.when, rec),
				array(str("forward"), array(array(c.when, rec))),
				array(str("packed"), bin(array(c.when, rec))),
			))
			for _, e := range r.store.wait(t, 3) {
				switch {
				case !bytes.Equal(e.record, rec):
					t.Errorf("%s: the record is %q", e.tag, e.record)
				case c.want == 0 && (e.time < before || e.time > time.Now().UnixNano()):
					t.Errorf("%s: time is %d, not arrival", e.tag, e.time)
				case c.want != 0 && e.time != c.want:
					t.Errorf("%s: time is %d, want %d", e.tag, e.time, c.want)
				}
			}
			if n := r.metric("malformed_entries_total"); n != 0 {
				t.Errorf("%v entries counted as malformed", n)
			}
		})
	}
}

func TestMalformedEntriesAreKeptAndCounted(t *testing.T) {
	good := entry(1, "good")
	for name, bad := range map[string][]byte{
		"a record that is a string":            array(seconds(1), str("lost?")),
		"a record that is nil":                 array(seconds(1), []byte{0xc0}),
		"a time that is a string":              array(str("yesterday"), record("log", "x")),
		"a time before 1970":                   array([]byte{0xff}, record("log", "x")),
		"a time beyond 2262":                   array(seconds(math.MaxUint64), record("log", "x")),
		"a time that is not a number":          array(msgp.AppendFloat64(nil, math.NaN()), record("log", "x")),
		"an extension that is no EventTime":    array([]byte{0xd4, 5, 1}, record("log", "x")),
		"an EventTime of 4 bytes":              array([]byte{0xd6, 0, 1, 2, 3, 4}, record("log", "x")),
		"an array of 3":                        array(seconds(1), record("log", "x"), str("more")),
		"an array of 1":                        array(seconds(1)),
		"an array of 0":                        array(),
		"a number":                             []byte{0x07},
		"a string that is not UTF-8":           str("\xff\xfe"),
		"a time with metadata that is no map":  array(array(seconds(1), str("x")), record("log", "x")),
		"a time with metadata within metadata": array(array(array(seconds(1), record()), record()), record("log", "x")),
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, config())
			before := time.Now().UnixNano()
			frames := join(
				array(str("t"), array(good, bad, good), chunk("1")),
				array(str("t"), bin(join(good, bad, good)), chunk("2")),
				array(str("t"), bin(zip(t, join(good, bad, good))), record("compressed", "gzip", "chunk", "3")),
			)
			expectAck(t, r.send(frames), "1", "2", "3")
			want := join([]byte{0x81}, str("malformed_entry"), bad)
			for i, e := range r.store.wait(t, 9) {
				if i%3 != 1 {
					if e.field("log") != "good" {
						t.Errorf("its neighbour is %q", e.record)
					}
					continue
				}
				if !bytes.Equal(e.record, want) || e.tag != "t" || e.time < before {
					t.Errorf("kept as %+v, want the record %q", e, want)
				}
			}
			if n := r.metric("malformed_entries_total"); n != 3 {
				t.Errorf("%v counted", n)
			}
		})
	}
	t.Run("a Message whose record is a string", func(t *testing.T) {
		r := start(t, config())
		expectAck(t, r.send(array(str("t"), seconds(1), str("lost?"), chunk("1"))), "1")
		want := join([]byte{0x81}, str("malformed_entry"), array(seconds(1), str("lost?")))
		if got := r.store.wait(t, 1)[0]; !bytes.Equal(got.record, want) {
			t.Errorf("kept as %q", got.record)
		}
	})
	t.Run("a Message whose time is a map", func(t *testing.T) {
		r := start(t, config())
		expectAck(t, r.send(array(str("t"), record("a", "b"), record("log", "x"), chunk("1"))), "1")
		want := join([]byte{0x81}, str("malformed_entry"), array(record("a", "b"), record("log", "x")))
		if got := r.store.wait(t, 1)[0]; !bytes.Equal(got.record, want) {
			t.Errorf("kept as %q", got.record)
		}
	})
}

func TestAcksRepeatTheChunkInOrder(t *testing.T) {
	t.Run("many requests", func(t *testing.T) {
		r := start(t, config())
		var frames []byte
		var want []string
		for i := range 2000 {
			id := fmt.Sprintf("chunk-%d", i)
			want = append(want, id)
			frames = append(frames, array(str("t"), seconds(1), record("log", id), chunk(id))...)
		}
		nc := r.dial()
		go nc.Write(frames)
		expectAck(t, nc, want...)
		for i, e := range r.store.wait(t, 2000) {
			if e.chunk != want[i] || e.field("log") != want[i] {
				t.Fatalf("event %d has chunk %q and line %q", i, e.chunk, e.field("log"))
			}
		}
		if len(r.store.calls) >= 2000 {
			t.Errorf("%d Store calls: requests that came together were not stored together", len(r.store.calls))
		}
		if most := slices.Max(r.store.calls); most > 256 {
			t.Errorf("a Store call of %d requests", most)
		}
	})
	t.Run("a binary chunk, the way the client sent it", func(t *testing.T) {
		r := start(t, config())
		id := join([]byte{0xc5, 0, 2}, []byte{0xff, 0x00})
		nc := r.send(array(str("t"), seconds(1), record(), join([]byte{0x81}, str("chunk"), id)))
		want := join([]byte{0x81}, str("ack"), id)
		got := make([]byte, len(want))
		if _, err := nc.Read(got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the ack is %q, %v", got, err)
		}
	})
	t.Run("an empty chunk is acked but cannot be recognised", func(t *testing.T) {
		r := start(t, config())
		expectAck(t, r.send(array(str("t"), seconds(1), record("log", "x"), chunk(""))), "")
		if e := r.store.wait(t, 1)[0]; e.chunk != "" {
			t.Errorf("chunk %q", e.chunk)
		}
	})
	t.Run("no ack without a chunk", func(t *testing.T) {
		r := start(t, config())
		nc := r.send(join(message(1, "log", "x"), array(str("t"), seconds(1), record(), chunk("only"))))
		expectAck(t, nc, "only")
	})
}

func TestHeartbeatsBetweenRequestsAreSkipped(t *testing.T) {
	r := start(t, config())
	nc := r.send(join([]byte{0xc0}, message(1, "log", "a"), []byte{0xc0, 0xc0}, array(str("t"), seconds(1), record("log", "b"), chunk("b"))))
	expectAck(t, nc, "b")
	r.store.wait(t, 2)
	if n := r.metric("heartbeats_total", "stream"); n != 3 {
		t.Errorf("%v heartbeats", n)
	}
}
