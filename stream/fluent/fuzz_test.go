package fluent

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tinylib/msgp/msgp"
)

// script is a connection whose client sends input in parts of step bytes, then
// leaves. It takes the place of a socket where millions are needed.
type script struct {
	net.Conn
	input []byte
	step  int
	acks  []byte
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.input) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.input[:min(len(s.input), s.step)])
	s.input = s.input[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { s.acks = append(s.acks, p...); return len(p), nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// seen writes down what it is to store.
type seen struct {
	t    *testing.T
	text bytes.Buffer
}

func (s *seen) Store(_ context.Context, _ uint64, reqs []Request) error {
	events := int64(0)
	for _, r := range reqs {
		fmt.Fprintf(&s.text, "%q\n", r.Chunk)
		for _, e := range r.Events {
			events++
			fmt.Fprintf(&s.text, "%q %x\n", e.Tag, e.Record)
			if rest, err := msgp.Skip(e.Record); err != nil || len(rest) != 0 || msgp.NextType(e.Record) != msgp.MapType {
				s.t.Fatalf("the record %x is not one map: %v", e.Record, err)
			}
			if !bytes.HasPrefix(RecordJSON(nil, e.Record), []byte("{")) {
				s.t.Fatalf("the record %x has no JSON", e.Record)
			}
		}
	}
	if most := small().MaxDecompressedBytes/eventBytes + batchEvents; events > most {
		s.t.Fatalf("%d events in one call, more than %d", events, most)
	}
	return nil
}

func (s *seen) Closed(uint64) {}

func small() Config {
	cfg := DefaultConfig()
	cfg.MaxConnections, cfg.ReadBufferBytes = 1, 1<<10
	cfg.MaxRequestBytes, cfg.MaxDecompressedBytes = 64<<10, 64<<10
	return cfg
}

func play(t *testing.T, input []byte, step int) (*seen, []byte, string) {
	store := &seen{t: t}
	s, err := New(small(), store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sc := &script{input: input, step: step}
	c := s.newConn(sc, 1)
	end := ""
	if err := c.serve(context.Background()); err != nil {
		end = string(err.(*refusal).reason)
	}
	if c.loan != (loan{from: s.budget}) || s.budget.lent {
		t.Fatalf("a loan is left: %+v", c.loan)
	}
	return store, sc.acks, end
}

// FuzzRequests: whatever comes, and in whatever pieces, the same is stored,
// acked and refused, and every record is a map.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{whole, acked, whole + "\xc0" + acked + whole[:4], `{"a":1}`, "\x16\x03\x01"} {
		f.Add([]byte(s), 3)
	}
	for _, h := range []string{
		"92a1749292018192",                                   // Forward, cut
		"92a17492920181a36c6f67a1619202a178",                 // Forward with a malformed entry
		"93a174c40a920181a36c6f67a16192",                     // PackedForward, cut
		"93a174c409920181a36c6f67a16181a5636875 6e6ba178",    // PackedForward with chunk
		"94a17492d70000000001000000028081a36c6f67a17880",     // v1.5 time
		"92a174dd7fffffff", "92dbffffffff", "dd00000002a174", // forged
	} {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(h), []byte(" "), nil)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, 1)
	}
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	zw.Write([]byte("\x92\x01\x81\xa3log\xa1x"))
	zw.Close()
	f.Add(append(msgp.AppendBytes([]byte("\x93\xa1t"), zipped.Bytes()), "\x81\xaacompressed\xa4gzip"...), 5)
	f.Fuzz(func(t *testing.T, input []byte, step int) {
		if step < 1 {
			step = 1
		}
		one, acks, end := play(t, input, len(input)+1)
		two, acks2, end2 := play(t, input, step)
		if one.text.String() != two.text.String() || !bytes.Equal(acks, acks2) || end != end2 {
			t.Fatalf("in one piece: %s%q %s\nin pieces of %d: %s%q %s", &one.text, acks, end, step, &two.text, acks2, end2)
		}
	})
}

type null struct{}

func (null) Store(context.Context, uint64, []Request) error { return nil }
func (null) Closed(uint64)                                  {}

// endless is a client that sends the same bytes for ever.
type endless struct {
	script
	frames []byte
	off    int
	left   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.frames[e.off:])
	e.off = (e.off + n) % len(e.frames)
	e.left -= n
	return n, nil
}

// BenchmarkDecode measures scanning, decoding and handing on, without sockets:
// events of 500-byte lines in Docker's shape.
func BenchmarkDecode(b *testing.B) {
	rec := msgp.AppendMapHeader(nil, 4)
	for _, s := range []string{"container_id", string(bytes.Repeat([]byte("c"), 64)), "container_name", "/web", "source", "stdout", "log", string(bytes.Repeat([]byte("x"), 500))} {
		rec = msgp.AppendString(rec, s)
	}
	message := append(append([]byte("\x94\xa6docker\xce\x6b\x49\xd2\x00"), rec...), 0x80)
	entry := append([]byte("\x92\xce\x6b\x49\xd2\x00"), rec...)
	packed := append(msgp.AppendBytes([]byte("\x93\xa6docker"), bytes.Repeat(entry, 100)), 0x80)
	for _, c := range []struct {
		name   string
		frame  []byte
		events int
	}{{"Message", message, 1}, {"PackedForward100", packed, 100}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := New(DefaultConfig(), null{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			n := (b.N + c.events - 1) / c.events
			b.SetBytes(int64(len(c.frame) / c.events))
			b.ReportAllocs()
			conn := s.newConn(&endless{frames: bytes.Repeat(c.frame, 50), left: n * len(c.frame)}, 1)
			b.ResetTimer()
			err = conn.serve(context.Background())
			if err != nil && err.(*refusal).reason != reasonIncomplete {
				b.Fatal(err)
			}
		})
	}
}

// FuzzGreeting: whoever does not know the key is refused, in whatever pieces the
// bytes come, after 4 KiB at most, and nothing of them is stored.
func FuzzGreeting(f *testing.F) {
	f.Add(goldenClient().append(nil), 1)
	f.Add(append(goldenClient().append(nil), whole...), 1000)
	f.Add([]byte(whole), 2)
	f.Add([]byte("\x96\xa4PING\xda\x20\x00"+string(make([]byte, 0x2000))), 100)
	f.Add([]byte("\x96\xa4PING\xc1"), 3)
	f.Add([]byte("\x16\x03\x01"), 1)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, input []byte, step int) {
		cfg := small()
		cfg.Security.SharedKey, cfg.Security.SelfHostname, cfg.Security.AskOn = "correct horse", "server.example", AskAll
		s, err := New(cfg, &seen{t: t}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.arm(); err != nil {
			t.Fatal(err)
		}
		sc := &script{input: input, step: max(step, 1)}
		c := s.newConn(sc, 1)
		c.guard(listener{asks: true})
		if err := c.serve(context.Background()); (err == nil) != (len(input) == 0) {
			t.Fatalf("%q: %v", input, err)
		}
		if c.own != nil || len(input)-len(sc.input) > maxPingBytes {
			t.Fatalf("%d bytes read of one who has proven nothing", len(input)-len(sc.input))
		}
	})
}
