package fluent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tinylib/msgp/msgp"
	"go.uber.org/goleak"

	"tributary/stream/fluent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // how long a test waits for what must come

// event is a copy of a fluent.Event.
type event struct {
	conn   uint64
	chunk  string
	tag    string
	time   int64
	record []byte
}

func (e event) field(name string) string {
	var found string
	if err := fluent.Fields(e.record, func(k, v []byte) bool {
		if string(k) == name {
			found = string(v)
		}
		return string(k) != name
	}); err != nil {
		return "error: " + err.Error()
	}
	return found
}

// memory is a Store that keeps everything and tells who waits for it.
type memory struct {
	gate chan struct{} // not nil: each Store call first receives from it
	fail error

	mu     sync.Mutex
	news   chan struct{} // closed and replaced at every change
	events []event
	calls  []int // requests per Store call
	closed []uint64
}

func newMemory() *memory { return &memory{news: make(chan struct{})} }

func (m *memory) Store(ctx context.Context, conn uint64, reqs []fluent.Request) error {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if m.fail != nil {
		return m.fail
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, len(reqs))
	for _, r := range reqs {
		for _, e := range r.Events {
			m.events = append(m.events, event{conn, strings.Clone(r.Chunk), string(e.Tag), e.Time, bytes.Clone(e.Record)})
		}
	}
	m.changed()
	return nil
}

func (m *memory) Closed(conn uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = append(m.closed, conn)
	m.changed()
}

func (m *memory) changed() {
	close(m.news)
	m.news = make(chan struct{})
}

// until waits until done, called under the lock, is true.
func (m *memory) until(t testing.TB, what string, done func() bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		m.mu.Lock()
		ok, news := done(), m.news
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("waited in vain for %s: %d events, %d closed", what, len(m.events), len(m.closed))
		}
	}
}

func (m *memory) wait(t testing.TB, n int) []event {
	t.Helper()
	m.until(t, "events", func() bool { return len(m.events) >= n })
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.events) != n {
		t.Fatalf("%d events, want %d", len(m.events), n)
	}
	return slices.Clone(m.events)
}

func (m *memory) waitClosed(t testing.TB, n int) {
	t.Helper()
	m.until(t, "closed connections", func() bool { return len(m.closed) >= n })
}

// logs is a log sink for many goroutines.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a server in its own goroutine.
type running struct {
	*fluent.Server
	t     testing.TB
	reg   *prometheus.Registry
	logs  *logs
	store *memory
	stop  func() error // ends Run and returns its error; may be called again
}

func config() fluent.Config {
	cfg := fluent.DefaultConfig()
	cfg.Listen = []string{"tcp://127.0.0.1:0"}
	cfg.UDPHeartbeat = false
	return cfg
}

func start(t testing.TB, cfg fluent.Config) *running { return startWith(t, cfg, newMemory()) }

func startWith(t testing.TB, cfg fluent.Config, store *memory) *running {
	t.Helper()
	r := &running{t: t, reg: prometheus.NewRegistry(), logs: &logs{}, store: store}
	s, err := fluent.New(cfg, store, r.reg, slog.New(slog.NewTextHandler(r.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return errors.New("Run does not return")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (r *running) dial() net.Conn {
	r.t.Helper()
	a := r.Addrs()[0]
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// send writes b on a new connection.
func (r *running) send(b []byte) net.Conn {
	r.t.Helper()
	nc := r.dial()
	if _, err := nc.Write(b); err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// metric returns the value of a series, labels given as values in the order of their names.
func (r *running) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "tributary_fluent_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() // one of them is there
			}
		}
	}
	r.t.Fatalf("no metric %s %v", name, labels)
	return 0
}

// expectClosed reads nc to its end, which the server must bring about.
func expectClosed(t testing.TB, nc net.Conn) []byte {
	t.Helper()
	got, err := io.ReadAll(nc)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the server does not close the connection")
	}
	return got
}

func expectAck(t testing.TB, nc net.Conn, chunks ...string) {
	t.Helper()
	var want []byte
	for _, c := range chunks {
		want = msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(want, 1), "ack"), c)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(nc, got); err != nil {
		t.Fatalf("read ack: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("acks are %q, want %q", got, want)
	}
}

// Frames.

func record(pairs ...string) []byte {
	b := msgp.AppendMapHeader(nil, uint32(len(pairs)/2))
	for _, s := range pairs {
		b = msgp.AppendString(b, s)
	}
	return b
}

func array(items ...[]byte) []byte {
	b := msgp.AppendArrayHeader(nil, uint32(len(items)))
	for _, i := range items {
		b = append(b, i...)
	}
	return b
}

func str(s string) []byte               { return msgp.AppendString(nil, s) }
func bin(b []byte) []byte               { return msgp.AppendBytes(nil, b) }
func seconds(n uint64) []byte           { return msgp.AppendUint64(nil, n) }
func chunk(id string) []byte            { return record("chunk", id) }
func entry(n uint64, log string) []byte { return array(seconds(n), record("log", log)) }

func message(n uint64, pairs ...string) []byte {
	return array(str("docker"), seconds(n), record(pairs...), msgp.AppendMapHeader(nil, 0))
}
