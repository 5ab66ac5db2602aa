package fluent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// garbage are first bytes of clients that want no good, and what they go on with.
func garbage(t testing.TB) [][]byte {
	large := binary.BigEndian.AppendUint32([]byte("\x93\xa1t\x01\x81\xa3log\xdb"), 900_000)
	return [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		bytes.Repeat([]byte{0xc1}, 1000),
		append(bytes.Clone(large), make([]byte, 800_000)...), // then silence
		array(str("t"), bin(bomb(t, 20<<20)), record("compressed", "gzip")),
		append([]byte("\x93\xa1t\x01"), bytes.Repeat([]byte{0x91}, 100_000)...),
		{0xdd, 0xff, 0xff, 0xff, 0xff},
		message(1, "log", "cut short")[:9],
	}
}

// TestHonestClientsAreServedInACrowdWithinTheMemoryBound is the small form of what
// "make bench" runs with processes and 1,000 connections.
func TestHonestClientsAreServedInACrowdWithinTheMemoryBound(t *testing.T) {
	const honest, slow, bad, lines = 100, 30, 12, 10
	cfg := config()
	cfg.MaxConnections, cfg.ReadBufferBytes = honest+slow+bad+10, 16<<10
	cfg.MaxRequestBytes, cfg.MaxDecompressedBytes = 1<<20, 1<<20
	cfg.StallTimeout = 20 * time.Millisecond
	cfg.TotalBufferBytes = int64(cfg.MaxConnections)*(cfg.ReadBufferBytes+40<<10) + 2*(cfg.MaxRequestBytes+cfg.MaxDecompressedBytes) + 4<<20
	r := start(t, cfg)

	until, over := context.WithCancel(t.Context()) // the honest are done
	defer over()
	var others, clients sync.WaitGroup
	others.Go(func() { // watches
		for {
			if held := r.metric("buffer_bytes"); held > float64(cfg.TotalBufferBytes) {
				t.Errorf("%v bytes held of %d", held, cfg.TotalBufferBytes)
				return
			}
			select {
			case <-until.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	wrongs := garbage(t)
	for i := range bad {
		others.Go(func() {
			for n := i; until.Err() == nil; n++ {
				nc, err := net.Dial("tcp", r.Addrs()[0].String())
				if err != nil {
					t.Error(err)
					return
				}
				stop := context.AfterFunc(until, func() { nc.Close() })
				_, _ = nc.Write(wrongs[n%len(wrongs)]) // the server may hang up in the middle of it
				_, _ = io.Copy(io.Discard, nc)         // until it does
				stop()
				nc.Close()
			}
		})
	}
	for i := range slow {
		nc := r.dial()
		clients.Go(func() {
			id := fmt.Sprintf("slow %d", i)
			for _, b := range array(str("t"), seconds(1), record("log", id), chunk(id)) {
				if _, err := nc.Write([]byte{b}); err != nil {
					t.Error(err)
					return
				}
			}
			expectAck(t, nc, id)
		})
	}
	for i := range honest {
		nc := r.dial()
		clients.Go(func() {
			log := string(bytes.Repeat([]byte("x"), 500))
			for n := range lines {
				if i%50 == 0 && n == 5 {
					log = string(bytes.Repeat([]byte("x"), 200_000)) // which has to borrow what others hold and do not use
				}
				id := fmt.Sprintf("%d-%d", i, n)
				if _, err := nc.Write(array(str("t"), seconds(1), record("log", log), chunk(id))); err != nil {
					t.Error(err)
					return
				}
				expectAck(t, nc, id)
			}
		})
	}
	clients.Wait()
	over()
	others.Wait()
	acked := map[string]bool{}
	for _, e := range r.store.wait(t, slow+honest*lines) {
		acked[e.chunk] = true
	}
	if len(acked) != slow+honest*lines {
		t.Errorf("%d different requests stored", len(acked))
	}
	for _, reason := range []string{"not_forward", "tls", "too_large", "too_deep", "stall_timeout"} {
		if r.metric("refused_connections_total", reason) == 0 {
			t.Errorf("nobody was refused for %s", reason)
		}
	}
}
