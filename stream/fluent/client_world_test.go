package fluent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"tributary/stream/fluent"
)

// wire dials scripted servers: each connection is a pipe whose other end goes to
// the test. Without a taker the dial waits, as for a host that does not answer.
type wire struct {
	conns chan net.Conn
	fail  error // of each dial, if not nil
	dials int
}

func newWire() *wire { return &wire{conns: make(chan net.Conn)} }

func (w *wire) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	w.dials++
	if w.fail != nil {
		return nil, w.fail
	}
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// accept is the server's end of the next connection.
func (w *wire) accept(t *testing.T) *peer {
	t.Helper()
	select {
	case nc := <-w.conns:
		return &peer{t: t, nc: nc, r: msgp.NewReader(nc)}
	case <-time.After(time.Hour): // of the bubble
		t.Fatal("the client does not connect")
		return nil
	}
}

// peer is a scripted server.
type peer struct {
	t  *testing.T
	nc net.Conn
	r  *msgp.Reader
}

// sent is what a peer has read.
type sent struct {
	tag, id string
	entries []byte
	events  int
}

func (p *peer) read() sent {
	p.t.Helper()
	c, err := readChunk(p.r)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func readChunk(r *msgp.Reader) (c sent, err error) {
	n, err := r.ReadArrayHeader()
	if err != nil {
		return c, err
	}
	if c.tag, err = r.ReadString(); err != nil {
		return c, err
	}
	if c.entries, err = r.ReadBytes(nil); err != nil {
		return c, err
	}
	opts := map[string]any{}
	if err = r.ReadMapStrIntf(opts); err != nil {
		return c, err
	}
	c.id, _ = opts["chunk"].(string)
	switch size := opts["size"].(type) {
	case int64:
		c.events = int(size)
	case uint64:
		c.events = int(size)
	}
	if n != 3 || len(c.id) != 24 || c.events == 0 || len(opts) != 2 {
		return c, fmt.Errorf("not a packed request with a chunk: %d elements, %v", n, opts)
	}
	return c, nil
}

func (p *peer) ack(ids ...string) {
	p.t.Helper()
	var b []byte
	for _, id := range ids {
		b = msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(b, 1), "ack"), id)
	}
	p.write(b)
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// expectHungUp reads until the client closes.
func (p *peer) expectHungUp() {
	p.t.Helper()
	if _, err := io.Copy(io.Discard, p.nc); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Fatal(err)
	}
}

// sender is a client whose Run runs.
type sender struct {
	*fluent.Client
	t      *testing.T
	result chan error
	cancel context.CancelCauseFunc
	acked  []string // tags, in the order of their acks; safe to read when Run waits or has returned
	logs   *logs
}

func clientConfig() fluent.ClientConfig {
	c := fluent.DefaultClientConfig()
	c.GiveUp = 30 * time.Second
	return c
}

func run(t *testing.T, cfg fluent.ClientConfig, d interface {
	DialContext(context.Context, string, string) (net.Conn, error)
}) *sender {
	t.Helper()
	s := &sender{t: t, result: make(chan error, 1), logs: &logs{}}
	c, err := fluent.NewClient(cfg, d, slog.New(slog.NewTextHandler(s.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.Client = c
	ctx, cancel := context.WithCancelCause(context.Background())
	s.cancel = cancel
	go func() { s.result <- c.Run(ctx) }()
	return s
}

// send hands over one chunk of one entry, tagged for the test's eyes.
func (s *sender) send(tag string) {
	s.t.Helper()
	if err := s.Send(context.Background(), s.chunk(tag, 1)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sender) chunk(tag string, bytes int) fluent.Chunk {
	return fluent.Chunk{
		Tag: tag, Entries: fluent.AppendEntry(nil, 1, fluent.Field{Name: "log", Value: make([]byte, bytes)}), Events: 1,
		Acked: func() { s.acked = append(s.acked, tag) },
	}
}

// finish closes the client and expects all of want acked, in that order.
func (s *sender) finish(want ...string) {
	s.t.Helper()
	s.Close()
	if err := <-s.result; err != nil {
		s.t.Fatalf("Run: %v", err)
	}
	if !slices.Equal(s.acked, want) {
		s.t.Fatalf("acked %v, want %v", s.acked, want)
	}
	if s.PendingBytes() != 0 || s.Trouble() != "" {
		s.t.Fatalf("after all acks %d bytes are pending, trouble %q", s.PendingBytes(), s.Trouble())
	}
}
