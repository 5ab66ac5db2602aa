package spool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/stream/spool"
	"tributary/stream/spool/powercut"
)

// story is what a client and a reader know of a spool over several lives.
type story struct {
	t    *testing.T
	cfg  spool.Config
	disk *powercut.Disk

	acked map[string]bool
	// done is the highest cursor that was tried to be set; what lies before it may
	// be gone.
	done   uint64
	ctx    context.Context // ends with the process
	seenAt map[string]uint64
	epochs map[string]bool
}

func newStory(t *testing.T, ack string) *story {
	cfg := small(t.TempDir())
	cfg.Ack = ack
	return &story{t: t, cfg: cfg, disk: powercut.New(), acked: map[string]bool{}, seenAt: map[string]uint64{}, epochs: map[string]bool{}}
}

// open starts a life; nil when the disk refuses.
func (y *story) open() *life {
	s, err := spool.OpenOn(y.cfg, y.disk, nil, quiet)
	if err != nil {
		if !errors.Is(err, powercut.ErrDead) && !isFault(err) {
			y.t.Fatalf("open: %v", err)
		}
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var buried func()
	y.ctx, buried = untilDead(y.disk)
	l := &life{Spool: s, t: y.t, stop: func() { cancel(); <-done; buried() }}
	if y.epochs[s.Epoch().String()] {
		y.t.Fatal("two lives have one epoch")
	}
	y.epochs[s.Epoch().String()] = true
	if l.lane, err = s.OpenLane(y.ctx, "key of "+s.Epoch().String()); err != nil {
		l.stop()
		return nil
	}
	return l
}

// untilDead gives a context that ends with the process: the dead do not wait.
func untilDead(d *powercut.Disk) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-d.Died():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// live sends every chunk, those already acknowledged too, and reads and moves the
// cursor in between. It goes on after errors, as clients do.
func (y *story) live(l *life, chunks []string) {
	for i, chunk := range chunks {
		if l.tryPutUntil(y.ctx, chunk, chunk+strings.Repeat(".", 150)) == nil {
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
					y.disk.DieAt(step)
					if l := y.open(); l != nil {
						y.live(l, chunks)
						l.stop()
					}
					lived = lived && y.disk.Steps() < step
					if death == "power cut" {
						y.disk = y.disk.AfterPowerCut(rnd)
					} else {
						y.disk = y.disk.AfterKill()
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

// ops are the changes that a disk can refuse.
var ops = []string{"write", "sync", "truncate", "create", "rename", "syncdir", "remove"}

func TestADiskThatFailsNowAndThenLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	chunks := chunkNames(25)
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(2, seed))
		y := newStory(t, []string{spool.AckSynced, spool.AckWritten}[seed%2])
		synctest.Test(t, func(t *testing.T) {
			y.t, y.disk = t, powercut.New()
			bad := map[string]bool{}
			for _, op := range ops {
				bad[op] = rnd.IntN(2) == 0
			}
			for range 3 {
				l := y.open()
				y.disk.Fail(func(op, name string) error {
					if bad[op] && rnd.IntN(4) == 0 {
						return faults[rnd.IntN(len(faults))]
					}
					return nil
				})
				if l != nil {
					y.live(l, chunks)
					l.stop()
				}
				if seed%2 == 0 {
					y.disk = y.disk.AfterPowerCut(rnd)
				} else {
					y.disk = y.disk.AfterKill()
				}
			}
			y.end(chunks)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// TestRandomLivesLoseAndDoubleNothing has several clients at a time, requests of
// several entries, a reader that moves the cursor, a disk that refuses things, and
// lives that end at any step by a kill or a power cut.
func TestRandomLivesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			y := &crowd{t: t, rnd: rand.New(rand.NewPCG(3, seed)), disk: powercut.New(), cfg: small(dir), read: map[string]place{}, acked: map[string]bool{}}
			for range 4 {
				y.live()
			}
			y.judge()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// crowd is several clients of a spool over several lives.
type crowd struct {
	t    *testing.T
	rnd  *rand.Rand
	disk *powercut.Disk
	cfg  spool.Config

	mu      sync.Mutex
	acked   map[string]bool
	pending [4]int           // what each client sends next
	read    map[string]place // where each entry was seen
	passed  uint64           // the highest cursor that was tried to be set
}

// place is what names an entry for ever.
type place struct {
	epoch    string
	position uint64
	offset   uint64
}

// live is one life of the spool: clients send until the process dies.
func (y *crowd) live() {
	rnd := y.rnd
	flaky := rnd.IntN(2) == 0
	y.disk.DieAt(y.disk.Steps() + 5 + rnd.IntN(300))
	var faulty sync.Mutex
	faults := faults
	if flaky {
		y.disk.Fail(func(op, name string) error {
			faulty.Lock()
			defer faulty.Unlock()
			if rnd.IntN(12) == 0 {
				return faults[rnd.IntN(len(faults))]
			}
			return nil
		})
	}
	s, err := spool.OpenOn(y.cfg, y.disk, nil, quiet)
	if err == nil {
		ctx, dead := context.WithCancel(context.Background())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		var busy sync.WaitGroup
		if lane, err := y.openLane(s); err == nil {
			for c := range y.pending {
				busy.Go(func() { y.client(ctx, s, lane, c) })
			}
			busy.Go(func() { y.reader(ctx, s) })
			<-y.disk.Died()
		}
		dead()
		busy.Wait()
		<-ran
	} else if !errors.Is(err, powercut.ErrDead) && !isFault(err) {
		y.t.Fatalf("open: %v", err)
	}
	y.disk.Fail(nil)
	if rnd.IntN(2) == 0 {
		y.disk = y.disk.AfterPowerCut(rnd)
	} else {
		y.disk = y.disk.AfterKill()
	}
}

func (y *crowd) openLane(s *spool.Spool) (uint32, error) {
	ctx, stop := untilDead(y.disk)
	defer stop()
	return s.OpenLane(ctx, "key of "+s.Epoch().String())
}

// client sends its requests one after the other, and the one whose outcome it does
// not know again in the next life.
func (y *crowd) client(ctx context.Context, s *spool.Spool, lane uint32, c int) {
	for {
		y.mu.Lock()
		n := y.pending[c]
		y.mu.Unlock()
		chunk := fmt.Sprintf("%d-%04d", c, n)
		var entries []spool.Entry
		for k := range 1 + n%3 {
			entries = append(entries, spool.Entry{Lane: lane, Payload: fmt.Appendf(nil, "%s/%d%s", chunk, k, strings.Repeat(".", 60))})
		}
		if s.Append(ctx, []spool.Request{{Chunk: chunk, Entries: entries}}) != nil {
			return
		}
		y.mu.Lock()
		for k := range entries {
			y.acked[fmt.Sprintf("%s/%d", chunk, k)] = true
		}
		y.pending[c]++
		y.mu.Unlock()
	}
}

// reader reads and moves the cursor behind what it has read, mostly.
func (y *crowd) reader(ctx context.Context, s *spool.Spool) {
	last := make(map[string]uint64)
	done := uint64(0)
	for n := 1; ctx.Err() == nil; n++ {
		wait, cancel := context.WithTimeout(ctx, time.Second) // synctest's clock
		it, err := s.Next(wait)
		if err == nil {
			y.note(it, last)
			done = it.Position
		} else if !errors.Is(err, wait.Err()) && !errors.Is(err, spool.ErrClosed) {
			y.t.Errorf("next: %v", err) // reading never fails here
			cancel()
			return
		}
		if done > 0 && (n%7 == 0 || err != nil) {
			y.mu.Lock()
			y.passed = max(y.passed, done)
			y.mu.Unlock()
			_ = s.SetCursor(done, []byte("state")) // refused: the next one may not be
		}
		cancel()
	}
}

// note keeps where an entry is; last is the last offset of each lane's epoch.
func (y *crowd) note(it spool.Item, last map[string]uint64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	name := strings.TrimRight(string(it.Payload), ".")
	at := place{it.Epoch.String(), it.Position, it.Offset}
	if was, seen := y.read[name]; seen && was != at {
		y.t.Errorf("%s is at %v and at %v", name, was, at)
	}
	y.read[name] = at
	if it.Offset <= last[at.epoch] {
		y.t.Errorf("%s has offset %d behind %d", name, it.Offset, last[at.epoch])
	}
	last[at.epoch] = it.Offset
}

// judge reads what is left on a healthy disk and looks for what was acknowledged.
func (y *crowd) judge() {
	s, err := spool.OpenOn(y.cfg, y.disk, nil, quiet)
	if err != nil {
		y.t.Fatalf("a healthy disk does not open: %v", err)
	}
	l := run(y.t, s)
	there, last := map[string]int{}, map[string]uint64{}
	for _, it := range l.rest() {
		y.note(it, last)
		there[strings.TrimRight(string(it.Payload), ".")]++
	}
	l.stop()
	for name := range y.acked {
		at, seen := y.read[name]
		if !seen || at.position >= y.passed && there[name] == 0 {
			y.t.Errorf("%s was acknowledged and is lost (seen %v)", name, seen)
		}
		if there[name] > 1 {
			y.t.Errorf("%s is there %d times", name, there[name])
		}
	}
	// A client's requests lie in the log in the order in which they were sent.
	for c, sent := range y.pending {
		before := uint64(0)
		for n := range sent {
			at := y.read[fmt.Sprintf("%d-%04d/0", c, n)]
			if at.position <= before {
				y.t.Errorf("client %d: request %d lies at %d, the one before at %d", c, n, at.position, before)
			}
			before = at.position
		}
	}
}
