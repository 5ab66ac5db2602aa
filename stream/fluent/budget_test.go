package fluent_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/stream/fluent"
)

// tight is a configuration whose budget is only the reserve for one large request.
func tight(connections int) fluent.Config {
	cfg := config()
	cfg.MaxConnections = connections
	cfg.MaxRequestBytes, cfg.MaxDecompressedBytes = 1<<20, 1<<20
	cfg.TotalBufferBytes = int64(connections)*(cfg.ReadBufferBytes+40<<10) + 2*(cfg.MaxRequestBytes+cfg.MaxDecompressedBytes)
	return cfg
}

func TestLargeRequestsShareTooLittleMemoryWithoutDeadlock(t *testing.T) {
	cfg := tight(8)
	r := start(t, cfg)
	big := string(bytes.Repeat([]byte("x"), 700_000))
	var wg sync.WaitGroup
	for i := range 8 {
		nc := r.dial()
		wg.Go(func() {
			for n := range 5 {
				id := fmt.Sprintf("%d-%d", i, n)
				frame := array(str("t"), seconds(1), record("log", big), chunk(id))
				if n%2 == 1 {
					frame = array(str("t"), bin(zip(t, entry(1, big))), record("compressed", "gzip", "chunk", id))
				}
				// In parts, so that all connections hold a part at the same time.
				for len(frame) > 0 {
					part := frame[:min(len(frame), 50_000)]
					if _, err := nc.Write(part); err != nil {
						t.Error(err)
						return
					}
					frame = frame[len(part):]
				}
				expectAck(t, nc, id)
				if held := r.metric("buffer_bytes"); held > float64(cfg.TotalBufferBytes) {
					t.Errorf("%v bytes held of %d", held, cfg.TotalBufferBytes)
				}
			}
		})
	}
	wg.Wait()
	for _, e := range r.store.wait(t, 40) {
		if e.field("log") != big {
			t.Fatal("a line is not what was sent")
		}
	}
	if held, own := r.metric("buffer_bytes"), float64(8*(cfg.ReadBufferBytes+40<<10)); held != own {
		t.Errorf("%v bytes held after the last request, want the connections' own %v", held, own)
	}
}

func TestAHolderOfTheReserveThatStopsSendingIsCutOff(t *testing.T) {
	cfg := tight(2)
	cfg.RequestTimeout = 300_000_000 // 0.3 s
	r := start(t, cfg)
	big := array(str("t"), seconds(1), record("log", string(make([]byte, 500_000))), chunk("big"))
	stuck := r.send(big[:400_000])
	// Whoever of the two holds the reserve: this one is served.
	nc := r.dial()
	go nc.Write(big)
	expectAck(t, nc, "big")
	expectClosed(t, stuck)
	r.store.wait(t, 1)
	r.store.waitClosed(t, 1)
}

func TestRequestsMayArriveInPiecesOfAnySize(t *testing.T) {
	three := join(entry(1, "a"), entry(2, "b"), entry(3, "c"))
	frames := join(
		message(1, "log", "a", "source", "stdout"),
		[]byte{0xc0},
		array(str("t"), array(entry(1, "a"), entry(2, "b")), chunk("1")),
		array(str("t"), bin(three), chunk("2")),
		array(str("t"), bin(zip(t, three)), record("compressed", "gzip", "chunk", "3")),
		message(1, "log", string(bytes.Repeat([]byte("z"), 100_000))),
		array(str("t"), eventTime(1, 2), record("log", ""), chunk("4")),
	)
	const events = 1 + 2 + 3 + 3 + 1 + 1
	for name, next := range map[string]func() int{
		"one byte at a time": func() int { return 1 },
		"three bytes":        func() int { return 3 },
		"random sizes":       func() int { return 1 + rand.IntN(300) },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, config())
			nc := r.dial()
			go func() {
				for rest := frames; len(rest) > 0; {
					n := min(next(), len(rest))
					// The bulk of the long line need not go byte by byte.
					if len(rest) > 3000 && len(rest) < 90_000 {
						n = min(1000, len(rest))
					}
					if _, err := nc.Write(rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
			}()
			expectAck(t, nc, "1", "2", "3", "4")
			var logs []byte
			for _, e := range r.store.wait(t, events) {
				logs = append(logs, e.field("log")...)
			}
			if want := "aababcabc" + string(bytes.Repeat([]byte("z"), 100_000)); string(logs) != want {
				t.Error("the lines differ from those sent")
			}
		})
	}
}

func TestAClientThatIsNotReadFromWaits(t *testing.T) {
	store := newMemory()
	store.gate = make(chan struct{})
	cfg := config()
	cfg.ReadBufferBytes = 32 << 10
	r := startWith(t, cfg, store)
	nc := r.dial()
	sent := make(chan int, 1)
	frame := message(1, "log", string(make([]byte, 8000)))
	go func() { // until the sockets' buffers are full and the write blocks
		n, _ := io.Copy(nc, io.LimitReader(&repeat{frame: frame}, int64(2000*len(frame))))
		sent <- int(n)
	}()
	r.store.gate <- struct{}{}
	r.store.until(t, "the first call", func() bool { return len(r.store.calls) == 1 })
	if held := r.metric("buffer_bytes"); held > 100_000 {
		t.Errorf("%v bytes held while Store blocks", held)
	}
	select {
	case <-sent:
		t.Error("16 MB were taken from the client while Store blocks")
	default:
	}
	close(store.gate)
	if n := <-sent; n != 2000*len(frame) {
		t.Errorf("%d bytes sent", n)
	}
	r.store.wait(t, 2000)
}

// repeat is a reader of the same frame again and again.
type repeat struct {
	frame []byte
	off   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.frame[r.off:])
	r.off = (r.off + n) % len(r.frame)
	return n, nil
}

// BenchmarkAck measures what request-ack costs without a disk: 8 clients over
// TCP, each with one outstanding message, as Docker's driver has.
func BenchmarkAck(b *testing.B) {
	store := newMemory()
	r := startWith(b, config(), store)
	frame := array(str("docker"), seconds(1), record("container_id", strings.Repeat("c", 64), "log", strings.Repeat("x", 500)), chunk("AAAAAAAAAAAAAAAAAAAAAA=="))
	var clients sync.WaitGroup
	for i := range 8 {
		nc := r.dial()
		nc.SetDeadline(time.Time{})
		clients.Go(func() {
			ack := make([]byte, 5+25)
			for n := i; n < b.N; n += 8 {
				if _, err := nc.Write(frame); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(nc, ack); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}
