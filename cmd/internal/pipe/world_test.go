package pipe_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/tinylib/msgp/msgp"
	"go.uber.org/goleak"

	"tributary/cmd/internal/pipe"
	"tributary/stream/fluent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is a stored event taken apart.
type entry struct {
	tag    string
	time   int64
	fields map[string]string
}

func newEntry(e fluent.Event) entry {
	out := entry{tag: string(e.Tag), time: e.Time, fields: map[string]string{}}
	if err := fluent.Fields(e.Record, func(k, v []byte) bool {
		out.fields[string(k)] = string(v)
		return true
	}); err != nil {
		out.fields["error"] = err.Error()
	}
	return out
}

// join makes lines of entries, by Docker's rules, and reports what breaks them.
func join(entries []entry) (lines []string, err error) {
	var open *entry
	var line []byte
	ordinal := 0
	for i := range entries {
		e := &entries[i]
		if e.fields["partial_message"] == "" {
			if open != nil {
				return nil, fmt.Errorf("entry %d is a whole line within a cut one", i)
			}
			if len(e.fields["log"]) > 16<<10 {
				return nil, fmt.Errorf("entry %d has %d bytes in one piece", i, len(e.fields["log"]))
			}
			lines = append(lines, e.fields["log"])
			continue
		}
		if open == nil {
			open, line, ordinal = e, nil, 0
		}
		ordinal++
		log, last := e.fields["log"], e.fields["partial_last"]
		switch {
		case e.fields["partial_id"] != open.fields["partial_id"] || len(e.fields["partial_id"]) != 64:
			return nil, fmt.Errorf("entry %d has partial_id %q in line %q", i, e.fields["partial_id"], open.fields["partial_id"])
		case e.fields["partial_message"] != "true" || e.fields["partial_ordinal"] != strconv.Itoa(ordinal) || e.time != open.time:
			return nil, fmt.Errorf("entry %d is %v, want piece %d of %d", i, e.fields, ordinal, open.time)
		case last == "false" && len(log) != 16<<10, last == "true" && (len(log) == 0 || len(log) > 16<<10), last != "false" && last != "true":
			return nil, fmt.Errorf("entry %d has %d bytes, partial_last %q", i, len(log), last)
		}
		line = append(line, log...)
		if last == "true" {
			lines = append(lines, string(line))
			open = nil
		}
	}
	if open != nil {
		return nil, fmt.Errorf("the last line has no end")
	}
	return lines, nil
}

// wire dials scripted servers, each the other end of a pipe of the test's.
type wire chan net.Conn

func (w wire) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// server is a scripted Forward server.
type server struct {
	t  *testing.T
	nc net.Conn
	r  *msgp.Reader
}

func (w wire) accept(t *testing.T) *server {
	nc := <-w
	return &server{t, nc, msgp.NewReaderSize(nc, 1<<20)}
}

// read returns the entries of the next chunk, and its ack.
func (s *server) read() (entries []entry, ack func()) {
	s.t.Helper()
	check := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	_, err := s.r.ReadArrayHeader()
	check(err)
	tag, err := s.r.ReadString()
	check(err)
	packed, err := s.r.ReadBytes(nil)
	check(err)
	opts := map[string]any{}
	check(s.r.ReadMapStrIntf(opts))
	for len(packed) > 0 {
		packed = packed[1+10:] // the array of two, the EventTime
		rest, err := msgp.Skip(packed)
		check(err)
		entries = append(entries, newEntry(fluent.Event{Tag: []byte(tag), Record: packed[:len(packed)-len(rest)]}))
		packed = rest
	}
	return entries, func() {
		s.t.Helper()
		b := msgp.AppendString(msgp.AppendMapHeader(nil, 1), "ack")
		_, err := s.nc.Write(msgp.AppendString(b, opts["chunk"].(string)))
		check(err)
	}
}

func config() pipe.Config {
	c := pipe.DefaultConfig()
	c.Service = "condor"
	return c
}

// piping is a Pipe that runs.
type piping struct {
	*pipe.Pipe
	t      *testing.T
	result chan error
	cancel context.CancelFunc
}

func run(t *testing.T, cfg pipe.Config, d interface {
	DialContext(context.Context, string, string) (net.Conn, error)
}, in io.Reader, tee io.Writer) *piping {
	t.Helper()
	p, err := pipe.New(cfg, d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := &piping{p, t, make(chan error, 1), cancel}
	go func() { r.result <- p.Run(ctx, in, tee) }()
	return r
}

func (p *piping) expectFigures(read, acked int64) {
	p.t.Helper()
	if f := p.Figures(); f.Read != read || f.Acked != acked {
		p.t.Fatalf("%d of %d acked, want %d of %d", f.Acked, f.Read, acked, read)
	}
}

func logsOf(entries []entry) (logs []string) {
	for _, e := range entries {
		logs = append(logs, e.fields["log"])
	}
	return logs
}

func expectLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("lines %.60q, want %.60q", got, want)
	}
}

// shaky gives b in reads of random length.
type shaky struct {
	b    []byte
	next func() int
}

func (s *shaky) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.next())], s.b)
	s.b = s.b[n:]
	return n, nil
}
