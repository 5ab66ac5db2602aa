package spool_test

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tributary/stream/spool"
)

// story is what a client and a reader know of a spool over several lives.
type story struct {
	t    *testing.T
	cfg  spool.Config
	disk *memDisk

	acked map[string]bool
	// done is the highest cursor that was tried to be set; what lies before it may
	// be gone.
	done   uint64
	seenAt map[string]uint64
	epochs map[string]bool
}

func newStory(t *testing.T, ack string) *story {
	cfg := small(t.TempDir())
	cfg.Ack = ack
	return &story{t: t, cfg: cfg, disk: newMemDisk(), acked: map[string]bool{}, seenAt: map[string]uint64{}, epochs: map[string]bool{}}
}

// open starts a life; nil when the disk refuses.
func (y *story) open() *life {
	s, err := spool.OpenOn(y.cfg, nil, quiet, y.disk, time.Now, crand.Reader)
	if err != nil {
		if !errors.Is(err, errDead) && !errors.Is(err, errFault) {
			y.t.Fatalf("open: %v", err)
		}
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	l := &life{Spool: s, t: y.t, stop: func() { cancel(); <-done }}
	if y.epochs[s.Epoch().String()] {
		y.t.Fatal("two lives have one epoch")
	}
	y.epochs[s.Epoch().String()] = true
	if l.lane, err = s.OpenLane(ctx, "key of "+s.Epoch().String()); err != nil {
		l.stop()
		return nil
	}
	return l
}

// live sends every chunk, those already acknowledged too, and reads and moves the
// cursor in between. It goes on after errors, as clients do.
func (y *story) live(l *life, chunks []string) {
	for i, chunk := range chunks {
		if l.tryPut(chunk, chunk+strings.Repeat(".", 150)) == nil {
			y.acked[chunk] = true
		}
		if i%5 == 4 {
			items := l.rest()
			y.check(l, items)
			if len(items) > 3 {
				at := items[len(items)-2].Position
				y.done = max(y.done, at)
				l.SetCursor(at, []byte(chunk))
			}
		}
	}
	y.check(l, l.rest())
}

// check notes what was read: an entry has one place in the log for ever, and its
// lane's key is known.
func (y *story) check(l *life, items []spool.Item) {
	for _, it := range items {
		chunk := strings.TrimRight(string(it.Payload), ".")
		if at, seen := y.seenAt[chunk]; seen && at != it.Position {
			y.t.Fatalf("%s is in the log at %d and at %d", chunk, at, it.Position)
		}
		y.seenAt[chunk] = it.Position
		if key, ok := l.LaneKey(it.Epoch, it.Lane); !ok || key != "key of "+it.Epoch.String() {
			y.t.Fatalf("%s: lane %d of epoch %v has key %q %v", chunk, it.Lane, it.Epoch, key, ok)
		}
	}
}

// end opens a healthy disk, sends everything again and demands each chunk once.
func (y *story) end(chunks []string) {
	y.t.Helper()
	l := y.open()
	if l == nil {
		y.t.Fatal("a healthy disk does not open")
	}
	defer l.stop()
	begin, _ := l.Start()
	if begin > y.done {
		begin = min(begin, l.Head())
	}
	before := len(y.seenAt)
	items := l.rest()
	y.check(l, items)
	there := make(map[string]int)
	count := func(items []spool.Item) {
		for _, it := range items {
			there[strings.TrimRight(string(it.Payload), ".")]++
		}
	}
	count(items)
	for chunk := range y.acked {
		at, seen := y.seenAt[chunk]
		if there[chunk] == 0 && (!seen || at >= y.done) {
			y.t.Fatalf("%s was acknowledged and is lost (%d chunks seen before, cursor %d)", chunk, before, begin)
		}
	}
	for _, chunk := range chunks {
		if err := l.tryPut(chunk, chunk); err != nil {
			y.t.Fatalf("%s: %v", chunk, err)
		}
		items := l.rest()
		y.check(l, items)
		count(items)
		if err := l.SetCursor(l.Head(), nil); err != nil {
			y.t.Fatal(err)
		}
	}
	for _, chunk := range chunks {
		_, seen := y.seenAt[chunk]
		if there[chunk] > 1 || !seen {
			y.t.Fatalf("%s is there %d times (seen: %v)", chunk, there[chunk], seen)
		}
	}
}

func chunkNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("chunk-%02d", i))
	}
	return names
}

func TestADeathAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	chunks := chunkNames(25)
	for _, death := range []string{"power cut", "kill"} {
		t.Run(death, func(t *testing.T) {
			t.Parallel()
			for step := 1; ; step++ {
				ack := spool.AckSynced
				if death == "kill" && step%2 == 0 {
					ack = spool.AckWritten
				}
				y := newStory(t, ack)
				rnd := rand.New(rand.NewPCG(1, uint64(step)))
				lived := true
				for range 2 { // the second life dies as well, during recovery or later
					y.disk.dieAt = step
					if l := y.open(); l != nil {
						y.live(l, chunks)
						l.stop()
					}
					lived = lived && y.disk.steps < step
					if death == "power cut" {
						y.disk = y.disk.afterPowerCut(rnd)
					} else {
						y.disk = y.disk.afterKill()
					}
				}
				y.end(chunks)
				if t.Failed() {
					t.Fatalf("died at step %d", step)
				}
				if lived {
					if step < 50 {
						t.Fatalf("only %d steps were tried", step)
					}
					return
				}
			}
		})
	}
}

func TestADiskThatFailsNowAndThenLosesAndDoublesNothing(t *testing.T) {
	chunks := chunkNames(25)
	t.Parallel()
	ops := []string{"write", "sync", "truncate", "create", "rename", "syncdir", "remove"}
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(2, seed))
		y := newStory(t, []string{spool.AckSynced, spool.AckWritten}[seed%2])
		bad := map[string]bool{}
		for _, op := range ops {
			bad[op] = rnd.IntN(2) == 0
		}
		for range 3 {
			l := y.open()
			y.disk.mu.Lock()
			y.disk.fault = func(op, name string) error {
				if bad[op] && rnd.IntN(4) == 0 {
					return errFault
				}
				return nil
			}
			y.disk.mu.Unlock()
			if l != nil {
				y.live(l, chunks)
				l.stop()
			}
			if seed%2 == 0 {
				y.disk = y.disk.afterPowerCut(rnd)
			} else {
				y.disk = y.disk.afterKill()
			}
		}
		y.end(chunks)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
