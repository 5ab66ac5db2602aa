package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/spool"
	"tributary/stream/spool/powercut"
)

// faults are what disks answer.
var faults = []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS}

func isFault(err error) bool {
	return slices.ContainsFunc(faults, func(f error) bool { return errors.Is(err, f) })
}

// startOn is start on a disk in memory.
func startOn(t *testing.T, cfg spool.Config, d spool.Disk) *life {
	t.Helper()
	l := startLogging(t, cfg, d, quiet)
	var err error
	if l.lane, err = l.OpenLane(context.Background(), "key"); err != nil {
		t.Fatal(err)
	}
	return l
}

func startLogging(t *testing.T, cfg spool.Config, d spool.Disk, log *slog.Logger) *life {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := spool.OpenOn(cfg, d, reg, log)
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, s)
	l.reg = reg
	return l
}

// failing makes the named operations of d fail; none heals.
func failing(d *powercut.Disk, with error, ops ...string) {
	d.Fail(func(op, name string) error {
		if slices.Contains(ops, op) {
			return with
		}
		return nil
	})
}

// giveUp appends for two seconds of synctest's clock, in vain.
func (l *life) giveUp(chunk, payload string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.tryPutUntil(ctx, chunk, payload); !errors.Is(err, context.DeadlineExceeded) {
		l.t.Fatalf("append: %v", err)
	}
}

func TestAppendsWaitForADiskThatFailsAndGoOnByThemselves(t *testing.T) {
	for _, tt := range []struct {
		disk error
		want error
		log  string
	}{
		{syscall.ENOSPC, spool.ErrDiskFull, "disk is full"},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, spool.ErrDiskFull, "disk is full"},
		{syscall.EROFS, spool.ErrReadOnly, "disk is read-only"},
		{syscall.EIO, spool.ErrDisk, "disk fails"},
	} {
		for _, ops := range [][]string{
			{"write"}, {"sync"}, {"write", "truncate"}, {"sync", "truncate"},
			{"write", "truncate", "create"}, {"sync", "truncate", "rename"}, {"sync", "syncdir"}, ops,
		} {
			name, dir := fmt.Sprint(tt.want, " at ", strings.Join(ops, " and ")), t.TempDir()
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var said strings.Builder
					d := powercut.New()
					l := startLogging(t, roomy(dir), d, slog.New(slog.NewTextHandler(&said, nil)))
					l.lane, _ = l.OpenLane(context.Background(), "key")
					l.put("a", "before")
					said.Reset()
					failing(d, tt.disk, ops...)
					for range 3 {
						l.giveUp("b", "sent again")
					}
					waiting := make(chan error)
					go func() { waiting <- l.tryPut("c", "waits") }()
					time.Sleep(time.Hour)
					if err := l.Usable(); !errors.Is(err, tt.want) || !errors.Is(err, tt.disk) {
						t.Errorf("usable says %v", err)
					}
					if got := l.metric("tributary_spool_usable"); got != 0 {
						t.Errorf("usable is shown as %v", got)
					}
					if got := payloads(l.rest()); !slices.Equal(got, []string{"before"}) {
						t.Errorf("read %q", got)
					}
					failing(d, nil)
					if err := <-waiting; err != nil {
						t.Errorf("a waiting append: %v", err)
					}
					if err := l.Usable(); err != nil {
						t.Errorf("usable says %v", err)
					}
					if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !strings.Contains(said.String(), tt.log) || strings.Count(said.String(), "stores again") != 1 {
						t.Errorf("the log says %s", said.String())
					}
					l.put("b", "sent again")
					l.put("d", "after")
					want := []string{"before", "sent again", "waits", "after"}
					if got := payloads(l.rest()); !slices.Equal(got, want[1:]) {
						t.Errorf("read %q", got)
					}
					l.stop()
					for name, next := range map[string]*powercut.Disk{"kill": d.AfterKill(), "power cut": d.AfterPowerCut(rand.New(rand.NewPCG(1, 1)))} {
						l = startOn(t, roomy(dir), next)
						l.put("b", "sent again")
						if got := payloads(l.rest()); !slices.Equal(got, want) {
							t.Errorf("read %q after a %s", got, name)
						}
						l.stop()
					}
				})
			})
		}
	}
}

func TestASegmentIsNotWrittenToOnceItsSuccessorMayExist(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := roomy(dir)
		d := powercut.New()
		l := startOn(t, cfg, d)
		l.put("", strings.Repeat("x", 3000))
		failing(d, syscall.EIO, "syncdir") // after the rename of the new segment
		l.giveUp("", strings.Repeat("y", 3000))
		failing(d, nil)
		l.put("", "small enough for the old segment")
		l.stop()
		l = startOn(t, cfg, d.AfterKill())
		got := payloads(l.rest())
		if len(got) != 3 || got[1][0] != 'y' || got[2] != "small enough for the old segment" {
			t.Errorf("read %.40q", got)
		}
		l.stop()
	})
}

func TestWhatFailedIsTriedAgainInOrder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := powercut.New()
		l := startOn(t, roomy(dir), d)
		failing(d, syscall.EIO, "write")
		for _, p := range []string{"first", "second"} {
			if err := l.Mark(l.lane, []byte(p)); err != nil {
				t.Fatal(err)
			}
			l.giveUp("", "behind "+p)
		}
		failing(d, nil)
		if err := l.Mark(l.lane, []byte("third")); err != nil {
			t.Fatal(err)
		}
		var got []string
		var offset uint64
		for range 5 {
			it := l.next()
			got = append(got, string(it.Payload))
			if it.Offset <= offset || it.Mark == strings.HasPrefix(string(it.Payload), "behind") {
				t.Errorf("offset %d after %d, mark %v", it.Offset, offset, it.Mark)
			}
			offset = it.Offset
		}
		if want := []string{"first", "behind first", "second", "behind second", "third"}; !slices.Equal(got, want) {
			t.Errorf("read %q", got)
		}

		// Without anything else to commit, time is enough.
		failing(d, syscall.EIO, "sync")
		l.Mark(l.lane, []byte("alone"))
		time.Sleep(10 * time.Second) // synctest's clock
		if l.Pending() {
			t.Fatal("committed on a broken disk")
		}
		failing(d, nil)
		if got := string(l.next().Payload); got != "alone" {
			t.Errorf("read %q", got)
		}
		if pending := l.metric("tributary_spool_pending_bytes"); pending != 0 {
			t.Errorf("%v bytes pending", pending)
		}
		l.stop()
	})
}

// TestAFullDiskOpensAndIsEmptied: what fills the disk is the log itself.
func TestAFullDiskOpensAndIsEmptied(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := roomy(dir)
		d := powercut.New()
		l := startOn(t, cfg, d)
		for i := range 20 {
			l.put("", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		l.stop()
		full := true
		d.Fail(func(op, name string) error {
			switch {
			case op == "remove" && strings.HasSuffix(name, ".seg"):
				full = false
			case full && op == "create":
				return syscall.ENOSPC
			}
			return nil
		})
		l = startLogging(t, cfg, d, quiet)
		opened := make(chan error)
		go func() {
			var err error
			l.lane, err = l.OpenLane(context.Background(), "key")
			opened <- err
		}()
		time.Sleep(time.Minute)
		if err := l.Usable(); !errors.Is(err, spool.ErrDiskFull) {
			t.Fatalf("usable says %v", err)
		}
		items := l.rest()
		if len(items) != 20 {
			t.Fatalf("%d entries", len(items))
		}
		if err := l.SetCursor(items[10].Position, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		l.put("", "there is room")
		if got := payloads(l.rest()); !slices.Equal(got, []string{"there is room"}) {
			t.Errorf("read %.20q", got)
		}
		l.stop()
		l = startOn(t, cfg, d.AfterPowerCut(rand.New(rand.NewPCG(1, 1))))
		if got := payloads(l.rest()); len(got) != 11 || got[10] != "there is room" {
			t.Errorf("read %.20q after a restart", got)
		}
		l.stop()
	})
}

func TestAFullDiskIsEmptiedByTheCursor(t *testing.T) {
	cfg := roomy(t.TempDir())
	d := powercut.New()
	l := startOn(t, cfg, d)
	for i := range 20 {
		l.put("", fmt.Sprint(i, strings.Repeat("x", 1000)))
	}
	items := l.rest()
	failing(d, syscall.ENOSPC, "create")
	if err := l.SetCursor(items[19].Position, []byte("state")); err != nil {
		t.Errorf("a disk without room for a new file: %v", err)
	}
	names, _ := d.List(cfg.Dir)
	if len(names) != 2 { // the newest segment and the cursor
		t.Errorf("left: %q", names)
	}
}

func TestACopySentMeanwhileSharesTheOutcome(t *testing.T) {
	for _, outcome := range []error{nil, syscall.EIO} {
		dir := t.TempDir()
		t.Run(fmt.Sprint("outcome ", outcome), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := powercut.New()
				l := startOn(t, roomy(dir), d)
				syncing, release := make(chan struct{}), make(chan struct{})
				first := true
				d.Fail(func(op, name string) error {
					if op != "sync" || !first {
						return nil
					}
					first = false
					close(syncing)
					<-release
					return outcome
				})
				results := make(chan error, 2)
				go func() { results <- l.tryPut("id", "payload") }()
				<-syncing
				go func() { results <- l.tryPut("id", "payload") }()
				synctest.Wait()
				if hits := l.metric("tributary_spool_chunk_hits_total"); hits != 1 {
					t.Errorf("%v hits", hits)
				}
				select {
				case err := <-results:
					t.Errorf("answered before the outcome was known: %v", err)
				default:
				}
				close(release)
				for range 2 {
					if err := <-results; err != nil {
						t.Errorf("append: %v", err)
					}
				}
				l.put("id", "payload")
				if got := len(l.rest()); got != 1 {
					t.Errorf("%d copies", got)
				}
				l.stop()
			})
		})
	}
}

func TestAnUnreadableSegmentDoesNotKeepTheSpoolFromStarting(t *testing.T) {
	cfg := roomy(t.TempDir())
	d := powercut.New()
	l := startOn(t, cfg, d)
	l.put("", "unreadable for now")
	l.stop()
	d.FailReads(func(name string, off int64) error {
		if off >= 52 && strings.HasSuffix(name, ".seg") {
			return syscall.EIO
		}
		return nil
	})
	l = startOn(t, cfg, d)
	l.put("", "taken meanwhile")
	if _, err := l.Next(t.Context()); !isFault(err) {
		t.Errorf("next: %v", err)
	}
	d.FailReads(nil)
	if got := payloads(l.rest()); !slices.Equal(got, []string{"unreadable for now", "taken meanwhile"}) {
		t.Errorf("read %q", got)
	}
}
