package fluent_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func bin32(announced uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0xc6}, announced)
}

func bomb(t testing.TB, size int) []byte { return zip(t, make([]byte, size)) }

func TestWhatIsNotForwardIsClosedCountedAndLogged(t *testing.T) {
	gz := record("compressed", "gzip")
	deep := bytes.Repeat([]byte{0x91}, 100_000)
	damaged := zip(t, entry(1, "x"))
	damaged[len(damaged)-6] ^= 1 // within the checksum
	signal := func(n byte) []byte { return join([]byte{0x81}, str("fluent_signal"), []byte{n}) }
	for name, c := range map[string]struct {
		reason string
		input  []byte
	}{
		"JSON object":                        {"json", []byte(`{"tag":"t"}`)},
		"JSON array":                         {"json", []byte(`["t",1,{"log":"x"}]`)},
		"TLS hello":                          {"tls", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		"HTTP":                               {"not_forward", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		"syslog":                             {"not_forward", []byte("<34>1 2026-11-22T17:00:00Z host su")},
		"a handshake's PING":                 {"not_forward", array(str("PING"), str("h"), str("s"), str("d"), str("u"), str("p"))},
		"a map":                              {"not_forward", record("a", "b")},
		"an array of 4 billion":              {"not_forward", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
		"one element":                        {"malformed", array(str("t"))},
		"no element":                         {"malformed", array()},
		"a tag that is a number":             {"malformed", array(seconds(1), seconds(1), record())},
		"a tag that is nil":                  {"malformed", array([]byte{0xc0}, seconds(1), record())},
		"a Message without a record":         {"malformed", array(str("t"), seconds(1))},
		"a Forward of 4 elements":            {"malformed", array(str("t"), array(), record(), record())},
		"options that are no map":            {"malformed", array(str("t"), seconds(1), record(), str("x"))},
		"a chunk that is a number":           {"malformed", array(str("t"), seconds(1), record(), join([]byte{0x81}, str("chunk"), seconds(5)))},
		"a chunk of 2 kB":                    {"malformed", array(str("t"), seconds(1), record(), chunk(strings.Repeat("x", 2000)))},
		"a byte that msgpack does not use":   {"malformed", array(str("t"), seconds(1), []byte{0xc1})},
		"that byte in a packed payload":      {"malformed", array(str("t"), bin(join(entry(1, "x"), []byte{0xc1})))},
		"a packed payload that is cut short": {"malformed", array(str("t"), bin(join(entry(1, "x"), entry(2, "y")[:8])))},
		"a string of 4 GB":                   {"too_large", join([]byte{0x92, 0xdb, 0xff, 0xff, 0xff, 0xff}, []byte("x"))},
		"4 billion entries":                  {"too_large", join([]byte{0x92}, str("t"), []byte{0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0})},
		"4 billion members":                  {"too_large", join([]byte{0x93}, str("t"), seconds(1), []byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0})},
		"an extension of 4 GB":               {"too_large", join([]byte{0x93}, str("t"), []byte{0xc9, 0xff, 0xff, 0xff, 0xff, 0x00})},
		"one byte too much":                  {"too_large", join([]byte{0x92}, str("t"), bin32(1<<20))},
		"too many tiny entries":              {"too_large", array(str("t"), bin(make([]byte, 200_000)))},
		"4 billion entries in a payload":     {"too_large", array(str("t"), bin([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}))},
		"nested 100,000 deep":                {"too_deep", join([]byte{0x93}, str("t"), seconds(1), deep)},
		"nested 100,000 deep in a payload":   {"too_deep", array(str("t"), bin(deep))},
		"nested deep in a gzip payload":      {"too_deep", array(str("t"), bin(zip(t, deep)), gz)},
		"a gzip bomb":                        {"too_large", array(str("t"), bin(bomb(t, 20<<20)), gz)},
		"a gzip bomb of many members":        {"too_large", array(str("t"), bin(bytes.Repeat(bomb(t, 1<<20), 50)), gz)},
		"bytes that are not gzip":            {"compression", array(str("t"), bin([]byte("plain text")), gz)},
		"a gzip payload that is cut short":   {"compression", array(str("t"), bin(damaged[:len(damaged)-4]), gz)},
		"a gzip payload with a wrong sum":    {"compression", array(str("t"), bin(damaged), gz)},
		"zstd":                               {"compression", array(str("t"), bin([]byte("x")), record("compressed", "zstd"))},
		"metrics":                            {"signal", array(str("t"), bin(entry(1, "x")), signal(1))},
		"traces":                             {"signal", array(str("t"), bin(entry(1, "x")), signal(2))},
		"a signal that is no number":         {"signal", array(str("t"), bin(entry(1, "x")), record("fluent_signal", "logs"))},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.MaxRequestBytes, cfg.MaxDecompressedBytes = 1<<20, 8<<20
			r := start(t, cfg)
			// What stands complete before it is stored and acked all the same.
			nc := r.dial()
			nc.Write(join(array(str("t"), seconds(1), record("log", "good"), chunk("good")), c.input))
			got := expectClosed(t, nc)
			if want := join([]byte{0x81}, str("ack"), str("good")); !bytes.Equal(got, want) && len(got) > 0 {
				t.Errorf("answered %q", got)
			}
			r.store.waitClosed(t, 1)
			if e := r.store.wait(t, 1)[0]; e.chunk != "good" {
				t.Errorf("stored %+v", e)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if n := r.metric("refused_connections_total", c.reason); n != 1 {
				t.Errorf("%v counted as %s; log: %s", n, c.reason, r.logs)
			}
			if log := r.logs.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "reason="+c.reason) {
				t.Errorf("log: %s", log)
			}
			if held := r.metric("buffer_bytes"); held != 0 {
				t.Errorf("%v bytes still held", held)
			}
		})
	}
}

func TestSignalZeroIsLogs(t *testing.T) {
	r := start(t, config())
	for i, zero := range [][]byte{{0x00}, {0xcc, 0x00}, {0xd0, 0x00}, {0xc0}} {
		opts := join([]byte{0x82}, str("fluent_signal"), zero, str("chunk"), str("x"))
		expectAck(t, r.send(array(str("t"), bin(entry(1, "x")), opts)), "x")
		r.store.wait(t, i+1)
	}
}

func TestAnnouncedBytesTakeNoMemory(t *testing.T) {
	cfg := config()
	r := start(t, cfg)
	for range 20 {
		// 16 MB are announced and allowed, a hundred bytes come.
		nc := r.send(join(message(1, "log", "x"), []byte{0x92}, str("t"), bin32(16_000_000), make([]byte, 100)))
		defer nc.Close()
	}
	r.store.wait(t, 20)
	if held := r.metric("buffer_bytes"); held > 20*(float64(cfg.ReadBufferBytes)+64<<10) {
		t.Errorf("%v bytes held for 20 connections", held)
	}
}

func TestAnErrorOfStoreClosesTheConnectionWithoutAck(t *testing.T) {
	store := newMemory()
	store.fail = errors.New("disk on fire")
	r := startWith(t, config(), store)
	nc := r.send(array(str("t"), seconds(1), record("log", "x"), chunk("x")))
	if got := expectClosed(t, nc); len(got) != 0 {
		t.Errorf("answered %q", got)
	}
	r.store.waitClosed(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.metric("refused_connections_total", "store"); n != 1 {
		t.Errorf("%v counted", n)
	}
	if n := r.metric("requests_total", "message"); n != 0 {
		t.Errorf("%v requests counted as stored", n)
	}
	if !strings.Contains(r.logs.String(), "disk on fire") {
		t.Errorf("log: %s", r.logs)
	}
}

func TestOneConnectionTooManyIsRefusedAndItsPlaceIsFreeLater(t *testing.T) {
	cfg := config()
	cfg.MaxConnections = 2
	r := start(t, cfg)
	first := r.send(message(1, "log", "1"))
	r.send(message(1, "log", "2"))
	r.store.wait(t, 2)
	expectClosed(t, r.dial())
	if n := r.metric("refused_connections_total", "connections"); n != 1 {
		t.Errorf("%v refused", n)
	}
	first.Close()
	r.store.waitClosed(t, 1)
	// Closed comes just before the place is free.
	limit := time.Now().Add(patience)
	for n := 3; ; n++ {
		nc, err := net.Dial("tcp", r.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		nc.Write(array(str("t"), seconds(1), record("log", "3"), chunk("3")))
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatal("no place becomes free")
		}
	}
}

func TestARequestThatBreaksOffIsCountedAndClosed(t *testing.T) {
	r := start(t, config())
	nc := r.send(join(message(1, "log", "whole"), message(2, "log", "half")[:9]))
	nc.Close()
	r.store.waitClosed(t, 1)
	r.store.wait(t, 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := r.metric("refused_connections_total", "incomplete"); n != 1 {
		t.Errorf("%v counted", n)
	}
}

func TestWarningsOfOneReasonAreNotRepeatedWithinASecond(t *testing.T) {
	r := start(t, config())
	for range 50 {
		expectClosed(t, r.send([]byte("GET / HTTP/1.1\r\n\r\n")))
	}
	r.store.waitClosed(t, 50)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(r.logs.String(), "level=WARN"); n < 1 || n > 20 {
		t.Errorf("%d warnings for 50 connections", n)
	}
	if n := r.metric("refused_connections_total", "not_forward"); n != 50 {
		t.Errorf("%v counted", n)
	}
}

func TestConfigurationFaultsAreNamedTogether(t *testing.T) {
	cfg := config()
	if err := cfg.Validate(); err != nil {
		t.Fatalf("the default is refused: %v", err)
	}
	cfg.Listen = []string{"tcp://nowhere", "udp://x:1", "localhost:24224"}
	cfg.MaxConnections, cfg.MaxDepth, cfg.Drain, cfg.IdleTimeout = 0, 10_000, 0, -1
	err := cfg.Validate()
	for _, want := range []string{"port is missing", `"udp://x:1"`, `"localhost:24224"`, "max_connections is 0: must be 1 to", "max_depth", "drain", "idle_timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	cfg = config()
	cfg.TotalBufferBytes = 1 << 20
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "total_buffer_bytes is 1048576: must be at least") {
		t.Errorf("too small a total: %v", err)
	}
}
