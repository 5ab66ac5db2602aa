package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tributary/stream/spool"
	"tributary/stream/spool/powercut"
)

// dropper is what the owner of the cursor does in drop_oldest.
func (l *life) dropper(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.Full():
			}
			if _, err := l.DropOldest(func(pos uint64) []byte { return fmt.Append(nil, pos) }); err != nil {
				l.t.Error(err)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func dropping(dir string) spool.Config {
	cfg := small(dir)
	cfg.OnFull = spool.OnFullDropOldest
	return cfg
}

func line(i int) string { return fmt.Sprintf("%03d%s", i, strings.Repeat("x", 500)) }

func TestAFullSpoolDropsItsOldestSegmentsAndCountsThem(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		l := startLogging(t, dropping(dir), spool.LocalDisk, slog.New(slog.NewTextHandler(&said, nil)))
		l.lane, _ = l.OpenLane(t.Context(), "key")
		stop := l.dropper(t.Context())
		for i := range 10 {
			l.put("", line(i))
		}
		first := l.next() // from here on the reader is within the oldest segment
		payload := string(first.Payload)
		for i := 10; i < 100; i++ {
			l.put("", line(i))
		}
		items := l.rest()
		stop()
		if payload != line(0) || first.Gap || !items[0].Gap {
			t.Errorf("the first item is %.10q, gap %v, the next has gap %v", payload, first.Gap, items[0].Gap)
		}
		dropped := 100 - 1 - len(items)
		if dropped < 60 {
			t.Errorf("only %d dropped", dropped)
		}
		for i, it := range items {
			if string(it.Payload) != line(1+dropped+i) || it.Gap != (i == 0) {
				t.Fatalf("item %d of %d is %.10q, gap %v", i, len(items), it.Payload, it.Gap)
			}
		}
		if n, size := l.metric("tributary_spool_dropped_entries_total"), l.metric("tributary_spool_dropped_bytes_total"); n != float64(dropped) || size != float64(dropped*503) {
			t.Errorf("counted %v entries and %v bytes, %d are missing", n, size, dropped)
		}
		if n := strings.Count(said.String(), "level=WARN"); n != 1 {
			t.Errorf("warned %d times within no time: %s", n, said.String())
		}
		l.stop()

		// What was dropped stays dropped, and the state is that of the gap.
		l = startOn(t, dropping(dir), spool.LocalDisk)
		pos, state := l.Start()
		if string(state) != fmt.Sprint(pos) {
			t.Errorf("cursor %d, state %s", pos, state)
		}
		if again := l.rest(); len(again) != len(items) || again[0].Position != items[0].Position {
			t.Errorf("%d entries after a restart, %d before", len(again), len(items))
		}
		l.stop()
	})
}

func TestDropsAreWarnedOfEveryTenSeconds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		l := startLogging(t, dropping(dir), spool.LocalDisk, slog.New(slog.NewTextHandler(&said, nil)))
		l.lane, _ = l.OpenLane(t.Context(), "key")
		stop := l.dropper(t.Context())
		for i := range 250 { // 25 seconds
			l.put("", line(i))
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		if n := strings.Count(said.String(), "oldest entries are dropped"); n < 2 || n > 3 {
			t.Errorf("warned %d times: %s", n, said.String())
		}
		l.stop()
	})
}

func TestAFullSpoolThatMayDropNothingBlocks(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, small(dir))
		stop := l.dropper(t.Context())
		l.fill()
		if err := l.Usable(); err != nil {
			t.Errorf("nobody waits, and usable says %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() { l.tryPutUntil(ctx, "", strings.Repeat("L", 3900)); close(gone) }()
		synctest.Wait()
		if err := l.Usable(); !errors.Is(err, spool.ErrFull) {
			t.Errorf("usable says %v", err)
		}
		cancel()
		<-gone
		stop()
		if n := l.metric("tributary_spool_dropped_entries_total"); n != 0 {
			t.Errorf("%v entries dropped", n)
		}
		l.stop()
	})
}

func TestAFullDiskDropsTheOldestToo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := dropping(dir)
		cfg.MaxBytes = 1 << 30
		d := powercut.New()
		l := startOn(t, cfg, d)
		for i := range 30 {
			l.put("", line(i))
		}
		full := true
		d.Fail(func(op, name string) error {
			switch {
			case op == "remove" && strings.HasSuffix(name, ".seg"):
				full = false
			case full && (op == "create" || op == "write" && strings.Contains(name, ".seg")):
				return syscall.ENOSPC
			}
			return nil
		})
		stop := l.dropper(t.Context())
		l.put("", "goes on")
		stop()
		got := payloads(l.rest())
		dropped := int(l.metric("tributary_spool_dropped_entries_total"))
		if dropped == 0 || dropped > 15 || len(got)+dropped != 31 || got[len(got)-1] != "goes on" {
			t.Errorf("%d dropped, %d left", dropped, len(got))
		}
		l.stop()
	})
}

func TestADropThatTheDiskRefusesDropsNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := powercut.New()
		l := startOn(t, dropping(dir), d)
		l.fill()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.tryPutUntil(ctx, "", strings.Repeat("L", 3900)) }()
		synctest.Wait()
		d.Fail(func(op, name string) error {
			if strings.HasPrefix(name, "cursor") { // it was made under a temporary name
				return syscall.EIO
			}
			return nil
		})
		if _, err := l.DropOldest(func(uint64) []byte { return nil }); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v", err)
		}
		if it := l.next(); it.Gap {
			t.Error("dropped all the same")
		}
		d.Fail(nil)
		if _, err := l.DropOldest(func(uint64) []byte { return nil }); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
		if items := l.rest(); !items[0].Gap || !slices.Contains(payloads(items), strings.Repeat("L", 3900)) {
			t.Errorf("read %.20q", payloads(items))
		}
		l.stop()
	})
}

func TestTheAgeOfTheOldestEntryIsShown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, roomy(dir))
		age := func(want time.Duration) {
			t.Helper()
			if got := l.metric("tributary_spool_oldest_entry_seconds"); got < want.Seconds() || got > want.Seconds()+1 {
				t.Errorf("%v seconds, want %v", got, want)
			}
		}
		age(0)
		for range 6000 { // more than are remembered
			l.put("", "x")
			time.Sleep(time.Second)
		}
		age(6000 * time.Second)
		items := l.rest()
		if err := l.SetCursor(items[5900].Position, nil); err != nil {
			t.Fatal(err)
		}
		if got := l.metric("tributary_spool_oldest_entry_seconds"); got < 100 || got > 104 {
			t.Errorf("%v seconds, want 100", got)
		}
		if err := l.SetCursor(l.Head(), nil); err != nil {
			t.Fatal(err)
		}
		age(0)
		for name, want := range map[string]float64{"sync_seconds": 6001, "ack_seconds": 6000, "segments": 1, "usable": 1} {
			if got := l.metric("tributary_spool_" + name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		l.stop()
	})
}
