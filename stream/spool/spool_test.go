package spool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/stream/spool"
)

func TestEntriesComeBackInOrderWithGrowingOffsets(t *testing.T) {
	l := start(t, roomy(t.TempDir()))
	other, err := l.OpenLane(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	err = l.Append(t.Context(), []spool.Request{
		{Entries: []spool.Entry{{Lane: l.lane, Payload: []byte("a")}, {Lane: other, Payload: []byte("b")}}},
		{Chunk: "id", Entries: []spool.Entry{{Lane: l.lane, Payload: nil}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Mark(other, []byte("closed")); err != nil {
		t.Fatal(err)
	}
	var got []string
	var pos uint64
	for range 4 {
		it := l.next()
		got = append(got, fmt.Sprintf("lane %d offset %d %q mark %v", it.Lane, it.Offset, it.Payload, it.Mark))
		if it.Position <= pos || it.After <= it.Position {
			t.Errorf("position %d to %d after %d", it.Position, it.After, pos)
		}
		if it.Epoch != l.Epoch() || it.Received == 0 {
			t.Errorf("epoch %v received %d", it.Epoch, it.Received)
		}
		pos = it.Position
	}
	want := []string{
		`lane 1 offset 1024 "a" mark false`, `lane 2 offset 1024 "b" mark false`,
		`lane 1 offset 2048 "" mark false`, `lane 2 offset 2048 "closed" mark true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if l.Pending() {
		t.Error("everything is read, yet something is pending")
	}
}

func TestManyAppendersLoseAndDoubleNothing(t *testing.T) {
	const appenders, each = 16, 100
	for _, ack := range []string{spool.AckSynced, spool.AckWritten} {
		t.Run(ack, func(t *testing.T) {
			cfg := roomy(t.TempDir())
			cfg.Ack, cfg.PendingBytes, cfg.MaxBytes, cfg.SegmentBytes = ack, 8<<10, 64<<10, 16<<10
			l := start(t, cfg)
			var wg sync.WaitGroup
			for a := range appenders {
				wg.Go(func() {
					lane, err := l.OpenLane(context.Background(), fmt.Sprint("appender ", a))
					for i := 0; i < each && err == nil; i++ {
						err = l.Append(context.Background(), []spool.Request{{
							Chunk:   fmt.Sprint(a, "/", i),
							Entries: []spool.Entry{{Lane: lane, Payload: fmt.Appendf(nil, "%d %d %s", a, i, strings.Repeat("x", i))}},
						}})
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			next := make(map[string]int)
			offsets := make(map[uint32]uint64)
			for n := range appenders * each {
				it := l.next()
				key, ok := l.LaneKey(it.Epoch, it.Lane)
				if !ok || !strings.HasPrefix(string(it.Payload), fmt.Sprintf("%s %d ", strings.TrimPrefix(key, "appender "), next[key])) {
					t.Fatalf("lane %q: %.10q after %d entries", key, it.Payload, next[key])
				}
				next[key]++
				if it.Offset <= offsets[it.Lane] {
					t.Fatalf("lane %q: offset %d after %d", key, it.Offset, offsets[it.Lane])
				}
				offsets[it.Lane] = it.Offset
				if n%50 == 0 {
					if err := l.SetCursor(it.After, []byte(key)); err != nil {
						t.Fatal(err)
					}
				}
			}
			wg.Wait()
			if rest := l.rest(); len(rest) > 0 {
				t.Errorf("%d entries too many", len(rest))
			}
			if used := l.metric("tributary_spool_segment_bytes"); used > float64(cfg.MaxBytes)*2 {
				t.Errorf("%v bytes on disk", used)
			}
		})
	}
}

func TestUnreadEntriesAreReadAfterARestartFromTheCursorOn(t *testing.T) {
	cfg := roomy(t.TempDir())
	want := numbered(300)
	var pos uint64
	for i, at := 0, 0; i < 3; i++ {
		l := start(t, cfg)
		begin, state := l.Start()
		if i > 0 && (begin != pos || string(state) != fmt.Sprint("done ", at)) {
			t.Fatalf("cursor %d %q, want %d", begin, state, pos)
		}
		for _, p := range want[i*100 : i*100+100] {
			l.put("", p)
		}
		items := l.rest()
		if got := payloads(items); !slices.Equal(got, want[at:i*100+100]) {
			t.Fatalf("life %d read %d entries from %q on, want %d from %q on", i, len(got), got[0], i*100+100-at, want[at])
		}
		if !slices.IsSortedFunc(items, func(a, b spool.Item) int { return int(int64(a.Position) - int64(b.Position)) }) {
			t.Error("positions do not grow over restarts")
		}
		done := 37 // in the middle of everything
		pos, at = items[done].Position, at+done
		if err := l.SetCursor(pos, fmt.Append(nil, "done ", at)); err != nil {
			t.Fatal(err)
		}
		l.stop()
	}
}

func TestACursorInTheMiddleOfARequestDoesNotRepeatItsFirstEntries(t *testing.T) {
	cfg := roomy(t.TempDir())
	l := start(t, cfg)
	var entries []spool.Entry
	for _, p := range numbered(5) {
		entries = append(entries, spool.Entry{Lane: l.lane, Payload: []byte(p)})
	}
	if err := l.Append(t.Context(), []spool.Request{{Entries: entries}}); err != nil {
		t.Fatal(err)
	}
	l.next()
	after := l.next().After
	third := l.next().Position
	if after != third {
		t.Errorf("after the second entry is %d, the third is at %d", after, third)
	}
	if err := l.SetCursor(third, nil); err != nil {
		t.Fatal(err)
	}
	l.stop()
	if got := payloads(start(t, cfg).rest()); !slices.Equal(got, numbered(5)[2:]) {
		t.Errorf("read %q", got)
	}
}

func TestAFullSpoolBlocksAppendsUntilTheCursorMoves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := small(dir)
		l := start(t, cfg)
		line := strings.Repeat("x", 1000)
		stored := 0
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			for {
				err := l.Append(ctx, []spool.Request{{Entries: []spool.Entry{{Lane: l.lane, Payload: []byte(line)}}}})
				if err != nil {
					done <- err
					return
				}
				stored++
			}
		}()
		synctest.Wait() // the appender waits for room
		full := stored
		if full < 8 || full > 16 {
			t.Fatalf("%d KB fit into %d bytes", full, cfg.MaxBytes)
		}
		// The reader may write although the spool is full, else it could never
		// give up a line and empty it.
		for range 20 {
			if err := l.Mark(l.lane, []byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.OpenLane(ctx, "another"); err != nil {
			t.Fatal(err)
		}
		var last spool.Item
		for range full + 20 {
			last = l.next()
		}
		if !last.Mark {
			t.Error("marks come before the entries they follow")
		}
		synctest.Wait()
		if stored != full {
			t.Fatal("appended to a full spool")
		}
		time.Sleep(3 * time.Second) // synctest's clock
		if err := l.SetCursor(last.After, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if stored <= full {
			t.Error("the cursor moved and nobody may append")
		}
		if blocked := l.metric("tributary_spool_blocked_seconds_total"); blocked != 3 {
			t.Errorf("blocked for %v s, want 3", blocked)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a blocked append ends with %v", err)
		}
		l.stop()
	})
}

// fill appends lines until the spool takes no more of their size.
func (l *life) fill() {
	l.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // synctest's clock
		err := l.Append(ctx, []spool.Request{{Entries: []spool.Entry{{Lane: l.lane, Payload: []byte(strings.Repeat("x", 700))}}}})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

func TestRoomGoesToWhoWaitedFirst(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, small(dir))
		l.fill()
		l.put("", "a small one still fits")
		go l.put("", strings.Repeat("L", 3900))
		synctest.Wait()
		go l.put("", "a second small one would fit")
		synctest.Wait()
		items := l.rest()
		if last := string(items[len(items)-1].Payload); last != "a small one still fits" {
			t.Fatalf("a small request overtook the large one: %q", last)
		}
		if err := l.SetCursor(l.Head(), nil); err != nil {
			t.Fatal(err)
		}
		// Both have room now; which of them is written first is open.
		got := []string{string(l.next().Payload[:5]), string(l.next().Payload[:5])}
		if slices.Sort(got); !slices.Equal(got, []string{"LLLLL", "a sec"}) {
			t.Errorf("read %q", got)
		}
		l.stop()
	})
}

func TestAppendsThatGiveUpWaitingLeaveTheirPlace(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, small(dir))
		l.fill()
		ctx, cancel := context.WithCancel(context.Background())
		gaveUp := make(chan error)
		go func() {
			gaveUp <- l.Append(ctx, []spool.Request{{Entries: []spool.Entry{{Lane: l.lane, Payload: make([]byte, 3900)}}}})
		}()
		synctest.Wait()
		behind := make(chan struct{})
		go func() { l.put("", "small"); close(behind) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("append: %v", err)
		}
		<-behind // nobody is before it any more
		l.stop()
	})
}

func TestCopiesOfAChunkThatWaitForRoomAreStoredOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, small(dir))
		l.fill()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { l.put("the same id", strings.Repeat("c", 800)) })
		}
		synctest.Wait()
		l.rest()
		if err := l.SetCursor(l.Head(), nil); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if got := len(l.rest()); got != 1 {
			t.Errorf("%d copies", got)
		}
		if pending := l.metric("tributary_spool_pending_bytes"); pending != 0 {
			t.Errorf("%v bytes pending", pending)
		}
		l.stop()
	})
}

func TestWhatCannotBeStoredIsRefusedAtOnce(t *testing.T) {
	l := start(t, small(t.TempDir()))
	entry := func(lane uint32, n int) []spool.Request {
		return []spool.Request{
			{Entries: []spool.Entry{{Lane: l.lane, Payload: []byte("fits")}}},
			{Entries: []spool.Entry{{Lane: lane, Payload: make([]byte, n)}}},
		}
	}
	if err := l.Append(t.Context(), entry(l.lane, 5000)); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("too large a request: %v", err)
	}
	if rest := l.rest(); len(rest) > 0 {
		t.Errorf("a refused append stored %q", payloads(rest))
	}
	if err := l.Append(t.Context(), entry(99, 1)); err == nil || !strings.Contains(err.Error(), "lane 99 is not open") {
		t.Errorf("unknown lane: %v", err)
	}
	if err := l.Mark(99, nil); err == nil || !strings.Contains(err.Error(), "lane 99 is not open") {
		t.Errorf("unknown lane: %v", err)
	}
	if err := l.Mark(l.lane, make([]byte, 5000)); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("too large a mark: %v", err)
	}
	for _, key := range []string{"", strings.Repeat("k", 257)} {
		if _, err := l.OpenLane(t.Context(), key); err == nil {
			t.Errorf("a key of %d bytes was taken", len(key))
		}
	}
	if err := l.SetCursor(l.Head()+1, nil); err == nil {
		t.Error("the cursor went beyond the head")
	}
	if err := l.SetCursor(l.Head(), make([]byte, 1<<20+1)); err == nil {
		t.Error("more than 1 MiB of state was taken")
	}
	if err := l.SetCursor(l.Head(), make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	if err := l.SetCursor(l.Head()-1, nil); err == nil {
		t.Error("the cursor went back")
	}
}

func TestADirectoryBelongsToOneSpoolAtATime(t *testing.T) {
	cfg := small(t.TempDir())
	l := start(t, cfg)
	if _, err := spool.Open(cfg, nil, quiet); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	l.stop()
	s, err := spool.Open(cfg, nil, quiet)
	if err != nil {
		t.Fatalf("open after stop: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("closed twice")
	}
	start(t, cfg).put("", "the lock is free again")
}

func TestAfterItsStopASpoolAnswersErrClosed(t *testing.T) {
	l := start(t, small(t.TempDir()))
	l.put("", "read by nobody")
	waiting := make(chan error)
	idle := start(t, small(t.TempDir()))
	go func() { _, err := idle.Next(context.Background()); waiting <- err }()
	idle.stop()
	if err := <-waiting; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("a waiting next: %v", err)
	}
	l.stop()
	_, nextErr := l.Next(context.Background())
	_, laneErr := l.OpenLane(context.Background(), "late")
	for call, err := range map[string]error{
		"append": l.tryPut("", "late"), "mark": l.Mark(l.lane, nil), "next": nextErr,
		"open lane": laneErr, "set cursor": l.SetCursor(l.Head(), nil), "run": l.Run(context.Background()),
	} {
		if !errors.Is(err, spool.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestCloseTellsWaitingAppends(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := spool.Open(small(dir), nil, quiet)
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error)
		go func() { _, err := s.OpenLane(context.Background(), "key"); waiting <- err }()
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, spool.ErrClosed) {
			t.Errorf("open lane: %v", err)
		}
	})
}

func TestValidateNamesEveryFault(t *testing.T) {
	if err := spool.DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	err := spool.Config{Ack: "maybe"}.Validate()
	for _, key := range []string{"dir", "max_bytes", "segment_bytes", "pending_bytes", "ack", "chunk_memory", "chunk_window"} {
		if c := (spool.Config{Ack: "maybe", MaxBytes: -1}); !strings.Contains(c.Validate().Error(), key) {
			t.Errorf("no word on %s: %v", key, err)
		}
	}
	if _, err := spool.Open(spool.Config{}, nil, quiet); err == nil {
		t.Error("opened with an invalid configuration")
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, ack := range []string{spool.AckSynced, spool.AckWritten} {
		b.Run(ack, func(b *testing.B) {
			cfg := spool.DefaultConfig()
			cfg.Dir, cfg.Ack = b.TempDir(), ack
			s, err := spool.Open(cfg, nil, quiet)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			lane, err := s.OpenLane(ctx, "key")
			if err != nil {
				b.Fatal(err)
			}
			line := make([]byte, 500)
			b.SetBytes(int64(len(line)))
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range work {
						if err := s.Append(ctx, []spool.Request{{Entries: []spool.Entry{{Lane: lane, Payload: line}}}}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}
