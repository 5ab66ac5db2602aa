package fluent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestChunksGoOutBeforeTheFirstAckAndAcksComeInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := run(t, clientConfig(), w)
		for _, tag := range []string{"a", "b", "c"} {
			s.send(tag)
		}
		p := w.accept(t)
		a, b, c := p.read(), p.read(), p.read()
		if a.tag+b.tag+c.tag != "abc" {
			t.Fatalf("order on the wire: %s %s %s", a.tag, b.tag, c.tag)
		}
		p.ack(b.id)
		p.ack(c.id, a.id)
		s.finish("b", "c", "a")
		p.expectHungUp()
	})
}

func TestWhatAServerDidNotAckIsSentAgainInOrderUnderTheSameIds(t *testing.T) {
	for name, last := range map[string]func(*peer){
		"the server closes":                   func(p *peer) { p.nc.Close() },
		"the ack comes half, then the end":    func(p *peer) { p.write([]byte("\x81\xa3ack\xb8half")); p.nc.Close() },
		"noise instead of an ack":             func(p *peer) { p.write([]byte{0xc1}); p.expectHungUp() },
		"an HTTP answer":                      func(p *peer) { p.write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); p.expectHungUp() },
		"an ack of a chunk nobody sent":       func(p *peer) { p.ack("AAAAAAAAAAAAAAAAAAAAAA=="); p.expectHungUp() },
		"an ack of no chunk":                  func(p *peer) { p.write([]byte("\x81\xa3ack\xc0")); p.expectHungUp() },
		"an ack without end":                  func(p *peer) { p.write([]byte("\x81\xa3ack\xdb\xff\xff\xff\xff")); p.expectHungUp() },
		"another map":                         func(p *peer) { p.write([]byte("\x81\xa2no\xa1x")); p.expectHungUp() },
		"a handshake":                         func(p *peer) { p.write([]byte("\x92\xa4HELO\x80")); p.expectHungUp() },
		"the connection is there, but silent": func(p *peer) { p.expectHungUp() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				cfg := clientConfig()
				cfg.AckTimeout = 5 * time.Second
				s := run(t, cfg, w)
				for _, tag := range []string{"a", "b", "c", "d"} {
					s.send(tag)
				}
				p := w.accept(t)
				var first [4]sent
				for i := range first {
					first[i] = p.read()
				}
				p.ack(first[1].id)
				last(p)
				synctest.Wait()
				if s.Trouble() == "" {
					t.Error("the trouble is not told")
				}
				p = w.accept(t)
				for _, i := range []int{0, 2, 3} {
					again := p.read()
					if again.id != first[i].id || again.tag != first[i].tag || string(again.entries) != string(first[i].entries) {
						t.Fatalf("sent again: %+v, want %+v", again, first[i])
					}
					p.ack(again.id)
				}
				s.finish("b", "a", "c", "d")
				if n := strings.Count(s.logs.String(), "\n"); n != 2 {
					t.Fatalf("%d lines of log, want one for the loss and one for the return:\n%s", n, s.logs)
				}
			})
		})
	}
}

func TestASlowServerIsWaitedForAsLongAsItAcksNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		cfg := clientConfig()
		cfg.AckTimeout, cfg.GiveUp = 10*time.Second, 10*time.Second
		s := run(t, cfg, w)
		var tags []string
		for i := range 20 {
			tags = append(tags, string(rune('a'+i)))
			s.send(tags[i])
		}
		p := w.accept(t)
		for range tags {
			c := p.read()
			time.Sleep(9 * time.Second)
			p.ack(c.id)
		}
		s.finish(tags...)
	})
}

func TestAServerThatIsNeverThereEndsRunAfterTheTimeAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		fail error
		want string
	}{
		"refused":   {errors.New("connection refused"), "connection refused"},
		"no answer": {nil, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				w.fail = c.fail
				begin := time.Now()
				s := run(t, clientConfig(), w)
				s.send("a")
				err := <-s.result
				if took := time.Since(begin); took != 30*time.Second {
					t.Fatalf("gave up after %s", took)
				}
				if err == nil || !strings.Contains(err.Error(), "after 30s") || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("Run: %v", err)
				}
				if w.dials < 4 || w.dials > 25 {
					t.Fatalf("%d attempts in 30 s", w.dials)
				}
				if got := s.Send(context.Background(), s.chunk("b", 1)); !errors.Is(got, err) {
					t.Fatalf("Send after the end: %v", got)
				}
			})
		})
	}
}

func TestWaitingChunksAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		cfg := clientConfig()
		cfg.GiveUp = 0
		cfg.MaxChunkBytes, cfg.MaxPendingBytes = 64<<10, 256<<10
		s := run(t, cfg, w)
		p := w.accept
		taken := make(chan int, 100)
		go func() {
			for i := range 20 {
				if err := s.Send(context.Background(), s.chunk("x", 60<<10)); err != nil {
					t.Error(err)
				}
				taken <- i
			}
		}()
		synctest.Wait()
		if len(taken) != 4 || s.PendingBytes() > cfg.MaxPendingBytes || s.PendingBytes() < 4*60<<10 {
			t.Fatalf("%d chunks taken, %d bytes pending", len(taken), s.PendingBytes())
		}
		server := p(t)
		for range 20 {
			c := server.read()
			if s.PendingBytes() > cfg.MaxPendingBytes {
				t.Fatalf("%d bytes pending", s.PendingBytes())
			}
			server.ack(c.id)
		}
		synctest.Wait()
		s.Close()
		if err := <-s.result; err != nil || len(s.acked) != 20 {
			t.Fatalf("%v, %d acked", err, len(s.acked))
		}
		if err := s.Send(context.Background(), s.chunk("late", 1)); err == nil {
			t.Fatal("a chunk was taken after Close")
		}
	})
}

func TestAChunkBeyondTheBoundIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, clientConfig(), newWire())
		if err := s.Send(context.Background(), s.chunk("big", 512<<10)); err == nil || !strings.Contains(err.Error(), "max_chunk_bytes") {
			t.Fatalf("Send: %v", err)
		}
		s.finish()
	})
}

func TestAnIdleConnectionThatTheServerClosesIsReplacedAtTheNextChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := run(t, clientConfig(), w)
		s.send("a")
		p := w.accept(t)
		p.ack(p.read().id)
		p.nc.Close()
		time.Sleep(time.Hour)
		if w.dials != 1 || s.logs.String() != "" {
			t.Fatalf("%d dials, log %s", w.dials, s.logs)
		}
		s.send("b")
		p = w.accept(t)
		p.ack(p.read().id)
		s.finish("a", "b")
	})
}

func TestTheEndOfTheContextEndsRunInEveryState(t *testing.T) {
	why := errors.New("enough")
	for name, c := range map[string]struct {
		state func(*testing.T, *wire, *sender)
		clean bool
	}{
		"idle":             {func(*testing.T, *wire, *sender) {}, true},
		"dialing":          {func(t *testing.T, w *wire, s *sender) { s.send("a") }, false},
		"writing":          {func(t *testing.T, w *wire, s *sender) { s.send("a"); w.accept(t) }, false},
		"waiting for acks": {func(t *testing.T, w *wire, s *sender) { s.send("a"); w.accept(t).read() }, false},
		"between sessions": {func(t *testing.T, w *wire, s *sender) { s.send("a"); w.accept(t).nc.Close() }, false},
		"closed":           {func(t *testing.T, w *wire, s *sender) { s.send("a"); s.Close(); w.accept(t).read() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				s := run(t, clientConfig(), w)
				c.state(t, w, s)
				synctest.Wait()
				s.cancel(why)
				if err := <-s.result; c.clean && err != nil || !c.clean && !errors.Is(err, why) {
					t.Fatalf("Run: %v", err)
				}
			})
		})
	}
}

func TestAClientConfigurationIsCheckedAsAWhole(t *testing.T) {
	cfg := clientConfig()
	cfg.Address, cfg.MaxChunkBytes, cfg.RetryWait, cfg.GiveUp = "localhost", 1, 0, -1
	err := cfg.Validate()
	for _, want := range []string{`address "localhost": must be tcp://host:port`, "max_chunk_bytes is 1: must be 1024 to", "retry_wait is 0s", "give_up is -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	cfg = clientConfig()
	cfg.MaxPendingBytes = cfg.MaxChunkBytes
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "at least 2 × max_chunk_bytes") {
		t.Errorf("max_pending_bytes: %v", err)
	}
}
