package spool_test

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/spool"
)

// startOn is start on a disk in memory.
func startOn(t *testing.T, cfg spool.Config, d *memDisk) *life {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := spool.OpenOn(cfg, reg, quiet, d, time.Now, crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := run(t, s)
	l.reg = reg
	if l.lane, err = s.OpenLane(context.Background(), "key"); err != nil {
		t.Fatal(err)
	}
	return l
}

// failing makes the named operations fail; none heals.
func (d *memDisk) failing(ops ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = func(op, name string) error {
		if slices.Contains(ops, op) {
			return errFault
		}
		return nil
	}
}

func TestWhatFailedIsNotStoredAndCanBeSentAgain(t *testing.T) {
	for _, ops := range [][]string{
		{"write"}, {"sync"}, {"write", "truncate"}, {"sync", "truncate"},
		{"write", "truncate", "create"}, {"sync", "truncate", "rename"}, {"sync", "syncdir"},
	} {
		t.Run(strings.Join(ops, " and "), func(t *testing.T) {
			cfg := roomy(t.TempDir())
			d := newMemDisk()
			l := startOn(t, cfg, d)
			l.put("a", "before")
			d.failing(ops...)
			for range 3 {
				if err := l.tryPut("b", "sent again"); !errors.Is(err, errFault) {
					t.Fatalf("append: %v", err)
				}
			}
			d.failing()
			if got := payloads(l.rest()); !slices.Equal(got, []string{"before"}) {
				t.Errorf("read %q", got)
			}
			l.put("b", "sent again")
			l.put("c", "after")
			l.stop()
			l = startOn(t, cfg, d.afterKill())
			if got := payloads(l.rest()); !slices.Equal(got, []string{"before", "sent again", "after"}) {
				t.Errorf("read %q after a restart", got)
			}
		})
	}
}

func TestASegmentIsNotWrittenToOnceItsSuccessorMayExist(t *testing.T) {
	cfg := roomy(t.TempDir())
	d := newMemDisk()
	l := startOn(t, cfg, d)
	l.put("", strings.Repeat("x", 3000))
	d.failing("syncdir") // after the rename of the new segment
	if err := l.tryPut("", strings.Repeat("y", 3000)); !errors.Is(err, errFault) {
		t.Fatalf("append: %v", err)
	}
	d.failing()
	l.put("", "small enough for the old segment")
	l.stop()
	l = startOn(t, cfg, d.afterKill())
	got := payloads(l.rest())
	if len(got) != 2 || got[1] != "small enough for the old segment" {
		t.Errorf("read %.40q", got)
	}
}

func TestMarksOfAFailedCommitAreTriedAgainInOrder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk()
		l := startOn(t, roomy(dir), d)
		d.failing("write")
		for _, p := range []string{"first", "second"} {
			if err := l.Mark(l.lane, []byte(p)); err != nil {
				t.Fatal(err)
			}
			if err := l.tryPut("", "lost"); !errors.Is(err, errFault) {
				t.Fatalf("append: %v", err)
			}
		}
		d.failing()
		if err := l.Mark(l.lane, []byte("third")); err != nil {
			t.Fatal(err)
		}
		var got []string
		var offset uint64
		for range 3 {
			it := l.next()
			got = append(got, string(it.Payload))
			if it.Offset <= offset || !it.Mark {
				t.Errorf("offset %d after %d, mark %v", it.Offset, offset, it.Mark)
			}
			offset = it.Offset
		}
		if want := []string{"first", "second", "third"}; !slices.Equal(got, want) {
			t.Errorf("read %q", got)
		}

		// Without anything else to commit, time is enough.
		d.failing("sync")
		l.Mark(l.lane, []byte("alone"))
		time.Sleep(10 * time.Second) // synctest's clock
		if l.Pending() {
			t.Fatal("committed on a broken disk")
		}
		d.failing()
		if got := string(l.next().Payload); got != "alone" {
			t.Errorf("read %q", got)
		}
		if pending := l.metric("tributary_spool_pending_bytes"); pending != 0 {
			t.Errorf("%v bytes pending", pending)
		}
		l.stop()
	})
}

func TestAFullDiskIsEmptiedByTheCursor(t *testing.T) {
	cfg := roomy(t.TempDir())
	d := newMemDisk()
	l := startOn(t, cfg, d)
	for i := range 20 {
		l.put("", fmt.Sprint(i, strings.Repeat("x", 1000)))
	}
	items := l.rest()
	d.failing("create")
	if err := l.SetCursor(items[19].Position, []byte("state")); err != nil {
		t.Errorf("a disk without room for a new file: %v", err)
	}
	names, _ := d.List(cfg.Dir)
	if len(names) != 2 { // the newest segment and the cursor
		t.Errorf("left: %q", names)
	}
}

func TestACopySentMeanwhileSharesTheOutcome(t *testing.T) {
	for _, outcome := range []error{nil, errFault} {
		t.Run(fmt.Sprint("outcome ", outcome), func(t *testing.T) {
			d := newMemDisk()
			l := startOn(t, roomy(t.TempDir()), d)
			syncing, release := make(chan struct{}), make(chan struct{})
			first := true
			d.mu.Lock()
			d.fault = func(op, name string) error {
				if op != "sync" || !first {
					return nil
				}
				first = false
				close(syncing)
				<-release
				return outcome
			}
			d.mu.Unlock()
			results := make(chan error, 2)
			go func() { results <- l.tryPut("id", "payload") }()
			<-syncing
			go func() { results <- l.tryPut("id", "payload") }()
			for l.metric("tributary_spool_chunk_hits_total") == 0 {
				runtime.Gosched()
			}
			select {
			case err := <-results:
				t.Errorf("answered before the outcome was known: %v", err)
			default:
			}
			close(release)
			for range 2 {
				if err := <-results; !errors.Is(err, outcome) {
					t.Errorf("append: %v", err)
				}
			}
			l.put("id", "payload")
			if got := len(l.rest()); got != 1 {
				t.Errorf("%d copies", got)
			}
		})
	}
}

func TestAnUnreadableSegmentDoesNotKeepTheSpoolFromStarting(t *testing.T) {
	cfg := roomy(t.TempDir())
	d := newMemDisk()
	l := startOn(t, cfg, d)
	l.put("", "unreadable for now")
	l.stop()
	d.mu.Lock()
	d.unreadable = true
	d.mu.Unlock()
	l = startOn(t, cfg, d)
	l.put("", "taken meanwhile")
	if _, err := l.Next(t.Context()); !errors.Is(err, errFault) {
		t.Errorf("next: %v", err)
	}
	d.mu.Lock()
	d.unreadable = false
	d.mu.Unlock()
	if got := payloads(l.rest()); !slices.Equal(got, []string{"unreadable for now", "taken meanwhile"}) {
		t.Errorf("read %q", got)
	}
}
