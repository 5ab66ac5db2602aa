package fluent_test

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/fluent"
)

// slowStore takes as long for each call as a commit on a slow disk.
type slowStore struct{ events atomic.Int64 }

func (s *slowStore) Store(ctx context.Context, _ uint64, reqs []fluent.Request) error {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, r := range reqs {
		s.events.Add(int64(len(r.Events)))
	}
	return nil
}

func (s *slowStore) Closed(uint64) {}

// A client without acks believes everything sent that its kernel has taken.
func TestAStopReadsWhatAClientSentBeforeItLeft(t *testing.T) {
	store := &slowStore{}
	cfg := fluent.DefaultConfig()
	cfg.Listen, cfg.UDPHeartbeat = []string{"tcp://127.0.0.1:0"}, false
	s, err := fluent.New(cfg, store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	message := append([]byte{0x93, 0xa1, 't', 0x01, 0x81, 0xa3, 'l', 'o', 'g', 0xda, 0x3f, 0xff}, make([]byte, 0x3fff)...)
	const sent = 128 // 2 MiB
	for range sent {
		if _, err := c.Write(message); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if got := store.events.Load(); got != sent {
		t.Errorf("%d of %d events stored", got, sent)
	}
}
