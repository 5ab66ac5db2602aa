package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/stream/spool"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		appendForEver(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// small is a configuration whose segments fill after a few entries.
func small(dir string) spool.Config {
	return spool.Config{
		Dir: dir, MaxBytes: 16 << 10, SegmentBytes: 4 << 10, PendingBytes: 4 << 10,
		Ack: spool.AckSynced, OnFull: spool.OnFullBlock, ChunkMemory: 1000, ChunkWindow: 5 * time.Minute,
	}
}

// roomy is small with room for everything a test appends.
func roomy(dir string) spool.Config {
	cfg := small(dir)
	cfg.MaxBytes, cfg.PendingBytes = 1<<30, 1<<20
	return cfg
}

// life is one run of a spool.
type life struct {
	*spool.Spool
	t    *testing.T
	reg  *prometheus.Registry
	stop func()
	lane uint32
}

// start opens and runs a spool and opens a lane. The spool stops with the test,
// or before by stop.
func start(t *testing.T, cfg spool.Config) *life {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := spool.Open(cfg, reg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, s)
	l.reg = reg
	if l.lane, err = s.OpenLane(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	return l
}

func run(t *testing.T, s *spool.Spool) *life {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	l := &life{Spool: s, t: t}
	stopped := false
	l.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(l.stop)
	return l
}

// put appends one request with one entry.
func (l *life) put(chunk, payload string) {
	l.t.Helper()
	if err := l.tryPut(chunk, payload); err != nil {
		l.t.Error(err)
	}
}

func (l *life) tryPut(chunk, payload string) error {
	return l.tryPutUntil(context.Background(), chunk, payload)
}

func (l *life) tryPutUntil(ctx context.Context, chunk, payload string) error {
	return l.Append(ctx, []spool.Request{{Chunk: chunk, Entries: []spool.Entry{{Lane: l.lane, Payload: []byte(payload)}}}})
}

// next reads one item whose payload stays valid.
func (l *life) next() spool.Item {
	l.t.Helper()
	it, err := l.Next(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	it.Payload = append([]byte(nil), it.Payload...)
	return it
}

// rest reads everything that is committed.
func (l *life) rest() []spool.Item {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var items []spool.Item
	for {
		it, err := l.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return items
		}
		if err != nil {
			l.t.Fatal(err)
		}
		it.Payload = append([]byte(nil), it.Payload...)
		items = append(items, it)
	}
}

func payloads(items []spool.Item) []string {
	var p []string
	for _, it := range items {
		p = append(p, string(it.Payload))
	}
	return p
}

func numbered(n int) []string {
	var p []string
	for i := range n {
		p = append(p, fmt.Sprintf("line %03d", i))
	}
	return p
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (l *life) metric(name string) float64 {
	l.t.Helper()
	families, err := l.reg.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	l.t.Fatalf("no metric %s", name)
	return 0
}
