package pipe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/pipe"
	"tributary/stream/fluent"
)

// stored is a fluent.Store that keeps everything.
type stored struct {
	mu      sync.Mutex
	entries []entry
}

func (s *stored) Store(_ context.Context, _ uint64, reqs []fluent.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range reqs {
		for _, e := range r.Events {
			s.entries = append(s.entries, newEntry(e))
		}
	}
	return nil
}

func (s *stored) Closed(uint64) {}

// serve runs a real server and returns its address.
func serve(t *testing.T, store fluent.Store) string {
	t.Helper()
	cfg := fluent.DefaultConfig()
	cfg.Listen = []string{"tcp://127.0.0.1:0"}
	s, err := fluent.New(cfg, store, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "tcp://" + s.Addrs()[0].String()
}

func TestEachLineArrivesOnceInOrderAndByteForByte(t *testing.T) {
	const piece = 16 << 10
	rng := rand.New(rand.NewPCG(1, 2))
	var lines []string
	lengths := []int{0, 0, 1, piece - 1, piece, piece + 1, 2*piece - 1, 2 * piece, 2*piece + 1, 5 * piece, 64 << 10, 64<<10 + 1, 700_000, 0, 3}
	for range 400 {
		lengths = append(lengths, rng.IntN(200), rng.IntN(3*piece/2))
	}
	for _, n := range lengths {
		line := make([]byte, n)
		for i := range line {
			if line[i] = byte(rng.Uint32()); line[i] == '\n' {
				line[i] = '\r'
			}
		}
		lines = append(lines, string(line))
	}
	text := strings.Join(lines, "\n")
	for name, c := range map[string]struct {
		end  string
		next func() int
	}{
		"in small reads, the last line without newline": {"", func() int { return 1 + rng.IntN(3000) }},
		"in reads that end anywhere":                    {"\n", func() int { return 1 + rng.IntN(70_000) }},
		"in the largest reads":                          {"\n", func() int { return 1 << 20 }},
		"in reads of a piece":                           {"\n", func() int { return piece }},
	} {
		t.Run(name, func(t *testing.T) {
			store := &stored{}
			cfg := config()
			cfg.Address = serve(t, store)
			var tee bytes.Buffer
			p := run(t, cfg, &net.Dialer{}, &shaky{[]byte(text + c.end), c.next}, &tee)
			if err := <-p.result; err != nil {
				t.Fatal(err)
			}
			p.expectFigures(int64(len(lines)), int64(len(lines)))
			got, err := join(store.entries)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(lines) {
				t.Fatalf("%d lines, want %d", len(got), len(lines))
			}
			for i := range got {
				if got[i] != lines[i] {
					t.Fatalf("line %d of %d bytes is %.40q…, %d bytes, want %.40q…", i, len(lines[i]), got[i], len(got[i]), lines[i])
				}
			}
			if tee.String() != text+c.end {
				t.Fatal("the copy differs")
			}
			id := store.entries[0].fields["container_id"]
			for _, e := range store.entries {
				f := e.fields
				if len(id) != 64 || f["container_id"] != id || f["container_name"] != "condor" || f["SERVICE"] != "condor" || f["source"] != "stdout" || e.tag != "pipe" {
					t.Fatalf("%v", e)
				}
			}
		})
	}
}

func TestNothingReadIsNothingSent(t *testing.T) {
	p := run(t, config(), make(wire), strings.NewReader(""), nil)
	if err := <-p.result; err != nil {
		t.Fatal(err)
	}
	p.expectFigures(0, 0)
}

func TestALineIsOnItsWayWithinATenthOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		w := make(wire)
		p := run(t, config(), w, in, nil)
		for range 3 {
			begin := time.Now()
			write(t, out, "one\n")
			time.Sleep(60 * time.Millisecond)
			write(t, out, "two\nbegun")
			s := w.accept(t)
			entries, ack := s.read()
			if took := time.Since(begin); took != 100*time.Millisecond {
				t.Fatalf("sent after %s", took)
			}
			expectLines(t, logsOf(entries), "one", "two")
			ack()
			write(t, out, "\n")
			entries, ack = s.read()
			expectLines(t, logsOf(entries), "begun")
			ack()
			s.nc.Close()
			synctest.Wait()
		}
		out.Close()
		if err := <-p.result; err != nil {
			t.Fatal(err)
		}
		p.expectFigures(9, 9)
	})
}

func TestALongLineThatComesSlowlyStaysTogetherAndHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		w := make(wire)
		p := run(t, config(), w, in, nil)
		long := strings.Repeat("x", 50<<10)
		write(t, out, "first\n"+long)
		s := w.accept(t)
		entries, ack := s.read()
		expectLines(t, logsOf(entries), "first")
		ack()
		time.Sleep(time.Minute) // a forwarder would have given up what had begun
		write(t, out, long+"\n")
		entries, ack = s.read()
		lines, err := join(entries)
		if err != nil {
			t.Fatal(err)
		}
		expectLines(t, lines, long+long)
		ack()
		out.Close()
		if err := <-p.result; err != nil {
			t.Fatal(err)
		}
		p.expectFigures(2, 2)
	})
}

func TestWhileNothingIsAckedReadingStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endless := &shaky{next: func() int { return 1 << 20 }}
		endless.b = bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678901234567890123456789\n"), 1<<20)
		all := len(endless.b)
		w := make(wire)
		p := run(t, config(), w, endless, nil)
		w.accept(t)
		synctest.Wait()
		if read := all - len(endless.b); read > 6<<20 || read < 1<<20 {
			t.Fatalf("%d bytes read", read)
		}
		err := <-p.result // gives up
		if err == nil || !strings.Contains(err.Error(), "after 30s without an ack") {
			t.Fatalf("Run: %v", err)
		}
	})
}

func TestAnInterruptEndsReadingAndWaitsForTheAcks(t *testing.T) {
	for name, acked := range map[string]bool{"which come": true, "which never come": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, out := io.Pipe()
				defer out.Close()
				w := make(wire)
				cfg := config()
				cfg.Timeout = 5 * time.Second
				p := run(t, cfg, w, in, nil)
				write(t, out, "one\ntwo\nthe beginning of a line")
				synctest.Wait()
				p.cancel()
				s := w.accept(t)
				entries, ack := s.read()
				expectLines(t, logsOf(entries), "one", "two", "the beginning of a line")
				begin := time.Now()
				time.Sleep(4 * time.Second)
				if acked {
					ack()
				}
				err := <-p.result
				if acked {
					if err != nil || time.Since(begin) != 4*time.Second {
						t.Fatalf("Run after %s: %v", time.Since(begin), err)
					}
					p.expectFigures(3, 3)
					return
				}
				if took := time.Since(begin); err == nil || errors.Is(err, context.Canceled) || took != 5*time.Second {
					t.Fatalf("Run after %s: %v", took, err)
				}
				p.expectFigures(3, 0)
			})
		})
	}
}

func TestAnInterruptWhileTheCopyIsBlockedEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unread, tee := io.Pipe()
		p := run(t, config(), make(wire), strings.NewReader("one\n"), tee)
		synctest.Wait()
		p.cancel()
		begin := time.Now()
		if err := <-p.result; err == nil || time.Since(begin) != 30*time.Second {
			t.Fatalf("Run after %s: %v", time.Since(begin), err)
		}
		p.expectFigures(0, 0)
		unread.Close()
	})
}

func TestAnInterruptBoundsEvenWhatGoesOnBeingAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &shaky{b: bytes.Repeat([]byte("0123456789\n"), 1<<20), next: func() int { return 1 << 20 }}
		w := make(wire)
		p := run(t, config(), w, in, nil)
		s := w.accept(t)
		synctest.Wait()
		p.cancel()
		begin := time.Now()
		for range 3 {
			_, ack := s.read()
			time.Sleep(9 * time.Second)
			ack()
		}
		if err := <-p.result; err == nil || time.Since(begin) != 30*time.Second {
			t.Fatalf("Run after %s: %v", time.Since(begin), err)
		}
	})
}

func TestAForwarderThatGoesAwayEndsRunThoughNothingMoreIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		defer out.Close()
		p := run(t, config(), make(wire), in, nil)
		write(t, out, "one\n")
		if err := <-p.result; err == nil || !strings.Contains(err.Error(), "without an ack") {
			t.Fatalf("Run: %v", err)
		}
		p.expectFigures(1, 0)
		if p.Figures().Trouble == "" {
			t.Fatal("the trouble is not told")
		}
	})
}

func TestWhatIsReadBeforeAFaultOfTheInputIsSent(t *testing.T) {
	store := &stored{}
	cfg := config()
	cfg.Address = serve(t, store)
	broken := errors.New("disk on fire")
	p := run(t, cfg, &net.Dialer{}, io.MultiReader(strings.NewReader("one\ntwo"), faulty{broken}), nil)
	if err := <-p.result; !errors.Is(err, broken) {
		t.Fatalf("Run: %v", err)
	}
	expectLines(t, logsOf(store.entries), "one", "two")
	p.expectFigures(2, 2)
}

type faulty struct{ err error }

func (f faulty) Read([]byte) (int, error)  { return 0, f.err }
func (f faulty) Write([]byte) (int, error) { return 0, f.err }

func TestACopyThatNobodyReadsDoesNotEndTheSending(t *testing.T) {
	full := errors.New("no space")
	for name, c := range map[string]struct {
		tee  error
		want error
	}{
		"a reader that has seen enough": {syscall.EPIPE, nil},
		"a copy that cannot be written": {full, full},
	} {
		t.Run(name, func(t *testing.T) {
			store := &stored{}
			cfg := config()
			cfg.Address = serve(t, store)
			lines := strings.Repeat("line\n", 50_000) // several blocks
			p := run(t, cfg, &net.Dialer{}, strings.NewReader(lines), faulty{c.tee})
			if err := <-p.result; !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("Run: %v", err)
			}
			if f := p.Figures(); f.Read != f.Acked || c.want == nil && f.Read != 50_000 {
				t.Fatalf("%+v", f)
			}
		})
	}
}

func TestAConfigurationIsCheckedAsAWhole(t *testing.T) {
	err := pipe.Config{Address: "nowhere", Tag: strings.Repeat("x", 1025), Timeout: time.Millisecond}.Validate()
	for _, want := range []string{`service is ""`, "tag is", "timeout is 1ms: must be 100ms to 24h", `address "nowhere"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}
