package forwarder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/stream"
	"tributary/stream/fluent"
	"tributary/stream/refused"
	"tributary/stream/spool"
	"tributary/stream/spool/powercut"
)

const poison = "poison"

// poisoned refuses records in which any line has poison.
func poisoned(b *schema.Batch, _ int) bool {
	for i := range b.Events {
		if bytes.Contains(b.Events[i].Line, []byte(poison)) {
			return true
		}
	}
	return false
}

// kept are the lines in the reject file of a spool, how often each.
func (s *station) kept() map[string]int {
	s.t.Helper()
	d := s.disk
	if d == nil {
		d = spool.LocalDisk
	}
	f, err := refused.Open(s.dir, math.MaxUint64, s.cfg.Rejects, d, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	lot, err := f.Turn()
	if err != nil {
		s.t.Fatal(err)
	}
	out, decoder := map[string]int{}, schema.NewDecoder()
	for _, ref := range lot.Refs {
		r, err := f.Read(ref)
		if err != nil {
			s.t.Fatal(err)
		}
		b, _, _ := decoder.Decode(r.Record, time.Now())
		if len(b.Events) != 1 || b.Epoch != ref.Epoch || b.Lane != ref.Lane || b.Events[0].Offset != ref.Offset {
			s.t.Fatalf("a reject of %+v holds %+v", ref, b)
		}
		out[string(b.Events[0].Line)]++
	}
	return out
}

// refusedAs is how many refusals had an outcome.
func (s *station) refusedAs(outcome string) int {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tributary_forwarder_refused_records_total" && m.GetLabel()[0].GetValue() == outcome {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	s.t.Fatal("no metric for ", outcome)
	return 0
}

func TestOneRefusedLineHoldsUpNoOther(t *testing.T) {
	var noise strings.Builder
	for i := 0; noise.Len() < 3<<20; i++ {
		fmt.Fprintf(&noise, "%x", schemaNoise(i))
	}
	const some = 1000
	for name, c := range map[string]struct {
		lines   func() []string
		refuses func(*schema.Batch, int) bool
		aside   int // lines or parts
		count   map[string]int
	}{
		"one of a thousand in a record is set aside": {
			lines: func() (out []string) {
				for i := range some {
					out = append(out, "line "+strconv.Itoa(i))
				}
				out[617] += poison
				return out
			},
			refuses: poisoned, aside: 1, count: map[string]int{"halved": 10, "set_aside": 1, "parts": 0, "waiting": 0},
		},
		"twenty in a row are set aside when the stream takes others": {
			lines: func() (out []string) {
				for i := range some {
					out = append(out, "line "+strconv.Itoa(i))
					if i >= 500 && i < 520 {
						out[i] += poison
					}
				}
				return out
			},
			refuses: poisoned, aside: 20, count: map[string]int{"set_aside": 20, "waiting": 0},
		},
		"records that are too long for it are cut, and nothing is set aside": {
			lines: func() (out []string) {
				for i := range some {
					out = append(out, "line "+strconv.Itoa(i))
				}
				return out
			},
			refuses: func(_ *schema.Batch, bytes int) bool { return bytes > 2000 }, aside: 0, count: map[string]int{"set_aside": 0},
		},
		"of a line that goes in parts one part is set aside": {
			lines:   func() []string { return []string{noise.String(), "behind it"} },
			refuses: func(b *schema.Batch, _ int) bool { return len(b.Events) == 1 && b.Events[0].Part.Number == 2 },
			aside:   1, count: map[string]int{"set_aside": 1, "parts": 0},
		},
		"a long line that was to go whole goes in parts": {
			lines: func() []string { return []string{strings.Repeat("a", 3<<20), "behind it"} },
			refuses: func(b *schema.Batch, _ int) bool {
				return len(b.Events) > 0 && len(b.Events[0].Line) > partBytes
			},
			aside: 0, count: map[string]int{"parts": 1, "set_aside": 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStation(t)
			s.cfg.Linger = time.Minute // the stop sends all that came, in one record where it fits
			s.out.refuses = c.refuses
			client := dial(t, s.start())
			lines := c.lines()
			bytes := 0
			for _, l := range lines {
				post(t, client, map[string]string{"container_id": "c1", "log": l})
				bytes += len(l)
			}
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			kept := s.kept()
			if len(kept) != c.aside {
				t.Errorf("%d set aside, want %d", len(kept), c.aside)
			}
			arrived, before := 0, uint64(0)
			for _, e := range s.out.events {
				if e.Offset <= before {
					t.Fatalf("offset %d after %d", e.Offset, before)
				}
				before = e.Offset
				arrived += len(e.Line)
				if kept[string(e.Line)] > 0 {
					t.Errorf("%.20q arrived and is kept", e.Line)
				}
			}
			for l, n := range kept {
				arrived += n * len(l)
			}
			if arrived != bytes {
				t.Errorf("%d bytes arrived or are kept, want %d", arrived, bytes)
			}
			if n := s.out.lines()[lines[len(lines)-1]]; n != 1 {
				t.Errorf("the last line came %d times", n)
			}
			for outcome, want := range c.count {
				if got := s.refusedAs(outcome); got != want {
					t.Errorf("%d %s, want %d", got, outcome, want)
				}
			}
			r, err := spool.Inspect(s.dir)
			if err != nil || r.Left.Entries != 0 || len(r.Segments) != 1 {
				t.Errorf("the spool still holds %+v in %d segments, %v", r.Left, len(r.Segments), err)
			}
		})
	}
}

// critic is a publisher in a bubble of time.
type critic struct {
	mu      sync.Mutex
	refuses bool
	offered int
	shelf   *shelf
}

func (c *critic) Run(context.Context) error { return nil }
func (c *critic) Called() time.Time         { return time.Now() }
func (c *critic) Known() bool               { return true }
func (c *critic) MaxRecordBytes() int64     { return SmallRecordBytes }
func (c *critic) Publish(ctx context.Context, r stream.Record) error {
	c.mu.Lock()
	c.offered++
	no := c.refuses
	c.mu.Unlock()
	if no {
		return stream.Permanent(errors.New("no record is taken"))
	}
	return c.shelf.Publish(ctx, r)
}

func TestAStreamThatRefusesEverythingIsWaitedFor(t *testing.T) {
	disk := powercut.New()
	synctest.Test(t, func(t *testing.T) {
		file, err := refused.Open("spool", 0, refused.DefaultConfig(), disk, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		out := &critic{refuses: true, shelf: newShelf()}
		cfg := DefaultConfig()
		f := &Forwarder{cfg: cfg, out: out}
		f.vitals.phase.Store(phaseServing)
		f.vitals.spool = &diskOf{}
		var log bytes.Buffer
		tracker, m, shared := newTracker(0, nil), newMetrics(prometheus.NewRegistry()), &aside{file: file}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		const lanes, lines = 3, 40
		for n := range uint32(lanes) {
			l := newLane(schema.Epoch{1}, n, "key", cfg, out, tracker, m, &f.vitals, newEncoders(1), shared, slog.New(slog.NewTextHandler(&lockedBuffer{b: &log}, nil)))
			for i := range lines {
				index := tracker.add(uint64(n)*1000+uint64(i), uint64(n)*1000+uint64(i)+1)
				e := schema.Event{Kind: schema.KindRaw, Origin: &schema.Origin{}, Line: fmt.Appendf(nil, "%d of lane %d", i, n), Offset: uint64(i+1) * spool.OffsetStride}
				if err := l.put(ctx, e, []uint64{index}, uint64(n)*1000+uint64(i)); err != nil {
					t.Fatal(err)
				}
			}
			l.end()
			running.Go(func() {
				if err := l.run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := shared.rejects.Load(); n != refusalsInRow || tracker.undone() != lanes*lines-refusalsInRow {
			t.Errorf("%d set aside, %d entries not done", n, tracker.undone())
		}
		if out.offered > 3000 {
			t.Errorf("%d offers in an hour", out.offered)
		}
		if err := f.Ready(); err == nil || err.Error() != "the stream refuses every record: no record is taken" {
			t.Errorf("readiness is %v", err)
		}
		if err := f.Healthy(); err != nil {
			t.Errorf("a new start would not help, but: %v", err)
		}
		if n := strings.Count(log.String(), "\n"); n < 60 || n > 400 {
			t.Errorf("%d messages in an hour", n)
		}
		out.mu.Lock()
		out.refuses = false
		out.mu.Unlock()
		time.Sleep(refusedWait)
		running.Wait()
		if n := shared.rejects.Load(); n != refusalsInRow || tracker.undone() != 0 || len(out.shelf.lines()) != lanes*lines-refusalsInRow {
			t.Errorf("when it takes records again: %d set aside, %d entries not done, %d arrived", n, tracker.undone(), len(out.shelf.lines()))
		}
		if err := f.Ready(); err != nil {
			t.Errorf("readiness is %v", err)
		}
		cancel()
		file.Close()
	})
	s := &station{t: t, dir: "spool", cfg: DefaultConfig(), disk: disk}
	if kept := s.kept(); len(kept) != refusalsInRow {
		t.Errorf("%d rejects are kept", len(kept))
	}
}

// diskOf is a spool in good order.
type diskOf struct{ disk }

type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestADeathAtAnyStepOfARejectLosesAndDoublesNothing kills the process, or cuts its
// power, at each change of the reject file in turn, and lets the stream think better of
// half of the refused lines meanwhile.
func TestADeathAtAnyStepOfARejectLosesAndDoublesNothing(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "syncdir", "nothing"} {
		for _, death := range []string{"kill", "power cut"} {
			t.Run(death+" at "+op, func(t *testing.T) {
				t.Parallel() // each waits for a drain that cannot succeed
				s := newStation(t)
				s.cfg.DrainTimeout = time.Second
				s.ack, s.unix = spool.AckSynced, true
				rnd := rand.New(rand.NewPCG(5, 5))
				disk := powercut.New()
				s.disk = disk
				s.out.refuses = poisoned
				s.start()
				client := s.unixClient()
				const lines = 30
				var mu sync.Mutex
				seen := 0
				disk.Fail(func(what, name string) error {
					mu.Lock()
					defer mu.Unlock()
					if what == op && (strings.HasSuffix(name, ".rej") || what == "syncdir" && name == "rejects") {
						if seen++; seen == 1 {
							disk.Kill()
							return powercut.ErrDead
						}
					}
					return nil
				})
				for i := range lines {
					text := "line " + strconv.Itoa(i)
					if i%10 == 3 {
						text += poison
					}
					s.say(client, text)
				}
				s.await("what can come", func() bool {
					select {
					case <-disk.Died():
						return true
					default:
						return op == "nothing" && len(s.out.lines()) == lines-3
					}
				})
				if op == "nothing" {
					disk.Kill() // the cursor may be behind
				}
				_ = s.stop()
				if death == "kill" {
					disk = disk.AfterKill()
				} else {
					disk = disk.AfterPowerCut(rnd)
				}
				s.disk = disk
				before := s.kept()
				s.out.mu.Lock()
				s.out.refuses = nil // the cause is gone
				s.out.mu.Unlock()
				s.start()
				s.await("the rest", func() bool { return len(s.out.lines()) >= lines-len(before) })
				if err := s.stop(); err != nil {
					t.Fatal(err)
				}
				kept := s.kept()
				for i := range lines {
					text := "line " + strconv.Itoa(i)
					if i%10 == 3 {
						text += poison
					}
					if n := s.out.lines()[text] + kept[text]; n != 1 {
						t.Errorf("%q is there %d times", text, n)
					}
				}
				if op == "nothing" && len(kept) != 3 {
					t.Errorf("%d rejects, 3 were durable", len(kept))
				}
			})
		}
	}
}

// unixClient sends until the lines are acked; it ends with the test.
func (s *station) unixClient() *fluent.Client {
	s.t.Helper()
	d := &dockers{t: s.t, addr: "unix://" + s.socket()}
	c := d.client()
	s.t.Cleanup(func() { c.Close(); d.wg.Wait() })
	return c
}

func (s *station) say(c *fluent.Client, line string) {
	s.t.Helper()
	chunk := fluent.Chunk{Tag: "app", Entries: fluent.AppendEntry(nil, time.Now().UnixNano(), fluent.Field{Name: "container_id", Value: []byte("c1")}, fluent.Field{Name: "log", Value: []byte(line)}), Events: 1, Acked: func() {}}
	if err := c.Send(s.t.Context(), chunk); err != nil {
		s.t.Error(err)
	}
}

func TestADiskThatTakesNoRejectHoldsTheLaneUntilItDoes(t *testing.T) {
	s := newStation(t)
	disk := powercut.New()
	s.disk = disk
	s.out.refuses, s.out.known = poisoned, true
	disk.Fail(func(op, name string) error {
		if strings.HasSuffix(name, ".rej") {
			return errors.New("no space left")
		}
		return nil
	})
	client := dial(t, s.start())
	for _, l := range []string{poison, "behind it"} {
		post(t, client, map[string]string{"container_id": "c1", "log": l})
	}
	s.await("the trouble", func() bool {
		err := s.f.Ready()
		return err != nil && strings.Contains(err.Error(), "no space left")
	})
	if err := s.f.Healthy(); err != nil {
		t.Error(err)
	}
	if n := s.out.lines()["behind it"]; n != 0 {
		t.Error("the line behind it went on, though the reject is not safe")
	}
	disk.Fail(nil)
	s.await("the line behind it", func() bool { return s.out.lines()["behind it"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if kept := s.kept(); len(kept) != 1 || kept[poison] != 1 {
		t.Errorf("kept %v", kept)
	}
}

// withRejects is a station that has stopped, with n lines in the stream and as many
// rejects.
func withRejects(t *testing.T, n int) *station {
	s := newStation(t)
	s.out.refuses = poisoned
	client := dial(t, s.start())
	for i := range n {
		post(t, client, map[string]string{"container_id": "c" + strconv.Itoa(i%3), "log": "line " + strconv.Itoa(i)})
		post(t, client, map[string]string{"container_id": "c" + strconv.Itoa(i%3), "log": poison + strconv.Itoa(i)})
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if kept := s.kept(); len(kept) != n {
		t.Fatalf("%d rejects, want %d", len(kept), n)
	}
	return s
}

func TestRejectsAreSentOnce(t *testing.T) {
	const rejects = 12
	for name, c := range map[string]struct {
		// send sends, and says how many are to arrive and how many to stay.
		send func(*testing.T, *station) (arrive, stay int)
	}{
		"at once": {func(t *testing.T, s *station) (int, int) {
			s.out.refuses = nil
			s.demandSent(s.out, Sending{Sent: rejects})
			s.demandSent(s.out, Sending{})
			return rejects, 0
		}},
		"cut off behind each of them": {func(t *testing.T, s *station) (int, int) {
			s.out.refuses = nil
			s.cfg.RecordBytes = 1 << 10 // several records
			for i := range 4 {
				if _, err := s.drainer(s.out).SendRejects(t.Context()); i < 3 && err != nil {
					t.Fatal(err)
				}
				s.restore()
			}
			return rejects, rejects
		}},
		"those that are refused again stay, and do not hold up the others": {func(t *testing.T, s *station) (int, int) {
			s.out.refuses = func(b *schema.Batch, _ int) bool {
				for i := range b.Events {
					if string(b.Events[i].Line) == poison+"2" || string(b.Events[i].Line) == poison+"5" {
						return true
					}
				}
				return false
			}
			s.demandSent(s.out, Sending{Sent: rejects - 2, Refused: 2})
			s.demandSent(s.out, Sending{Refused: 2})
			return rejects - 2, 2
		}},
		"also after they were refused again": {func(t *testing.T, s *station) (int, int) {
			s.out.refuses = func(b *schema.Batch, _ int) bool { return len(b.Events) > 0 && string(b.Events[0].Line) == poison+"0" }
			s.demandSent(s.out, Sending{Sent: rejects - 1, Refused: 1})
			s.restoreBeside()
			s.out.refuses = nil
			s.demandSent(s.out, Sending{Sent: rejects})
			return rejects, 0
		}},
		"a stream that still refuses everything loses none": {func(t *testing.T, s *station) (int, int) {
			s.out.refuses = func(*schema.Batch, int) bool { return true }
			if _, err := s.drainer(s.out).SendRejects(t.Context()); err == nil || !strings.Contains(err.Error(), "the stream refuses every record: ValidationException: 1 validation error") {
				t.Errorf("sending ended with %v", err)
			}
			return 0, rejects
		}},
		"a producer that ends loses none": {func(t *testing.T, s *station) (int, int) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			s.out.block = make(chan struct{})
			if _, err := s.drainer(s.out).SendRejects(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("sending ended with %v", err)
			}
			return 0, rejects
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := withRejects(t, rejects)
			if err := os.CopyFS(s.dir+"-copy", os.DirFS(filepath.Join(s.dir, "rejects"))); err != nil {
				t.Fatal(err)
			}
			arrive, stay := c.send(t, s)
			arrived := 0
			for line, n := range s.out.lines() {
				if n != 1 {
					t.Errorf("%q came %d times", line, n)
				}
				if strings.HasPrefix(line, poison) {
					arrived++
				}
			}
			if arrived != arrive || len(s.kept()) != stay {
				t.Errorf("%d arrived, %d stay, want %d and %d", arrived, len(s.kept()), arrive, stay)
			}
			for lane, keys := range s.out.keys {
				if len(keys) != 1 {
					t.Errorf("lane %s used %d partition keys", lane, len(keys))
				}
			}
		})
	}
}

func (s *station) demandSent(out *shelf, want Sending) {
	s.t.Helper()
	got, err := s.drainer(out).SendRejects(s.t.Context())
	if err != nil || got != want {
		s.t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// restore brings back the rejects of before they were sent, as if the process had died
// before it removed them.
func (s *station) restore() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "rejects")); err != nil {
		s.t.Fatal(err)
	}
	s.restoreBeside()
}

// restoreBeside leaves there what was added since.
func (s *station) restoreBeside() {
	s.t.Helper()
	if err := os.CopyFS(filepath.Join(s.dir, "rejects"), os.DirFS(s.dir+"-copy")); err != nil {
		s.t.Fatal(err)
	}
}

func TestRejectsThatTheSpoolStillHasAreNotSent(t *testing.T) {
	s := newStation(t)
	s.cfg.PartialTimeout, s.cfg.PartialMaxAge = time.Minute, time.Hour
	s.out.refuses = poisoned
	client := dial(t, s.start())
	post(t, client, pieceOf("p", 1, false, "be")) // holds the cursor
	post(t, client, map[string]string{"container_id": "c2", "log": poison})
	s.await("the reject", func() bool { return s.refusedAs("set_aside") == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.out.refuses = nil
	s.demandSent(s.out, Sending{Waiting: 1})
	if n := s.out.lines()[poison]; n != 0 {
		t.Error("it was sent")
	}
	// Its spool goes on without it: the decision was made.
	client = dial(t, s.start())
	post(t, client, pieceOf("p", 2, true, "gin"))
	s.await("the line", func() bool { return s.out.lines()["begin"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.demandSent(s.out, Sending{Sent: 1})
	if n := s.out.lines()[poison]; n != 1 {
		t.Errorf("it came %d times", n)
	}
}

// A line's parts are decided one by one, and the life after a death goes on with them.
func TestALineOfWhichAPartWasSetAsideGoesInPartsAgain(t *testing.T) {
	const parts = 4
	for _, part := range []uint32{1, 2, parts} {
		t.Run(fmt.Sprintf("part %d of %d", part, parts), func(t *testing.T) {
			t.Parallel() // each waits for a drain that cannot succeed
			s := newStation(t)
			s.cfg.DrainTimeout = time.Second
			s.out.refuses = func(b *schema.Batch, _ int) bool {
				return len(b.Events) == 1 && (b.Events[0].Part.Number == part || len(b.Events[0].Line) > partBytes)
			}
			s.out.hangs = func(b *schema.Batch) bool { // what comes behind it
				return len(b.Events) > 0 && (b.Events[0].Part.Number > part || string(b.Events[0].Line) == "behind it")
			}
			client := dial(t, s.start())
			line := strings.Repeat("0123456789abcdef", 200_000)
			post(t, client, map[string]string{"container_id": "c1", "log": line})
			post(t, client, map[string]string{"container_id": "c1", "log": "behind it"})
			s.await("the reject", func() bool { return s.refusedAs("set_aside") == 1 })
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			s.out.refuses, s.out.hangs = nil, nil // whole, it would go now
			s.start()
			s.await("the line behind it", func() bool { return s.out.lines()["behind it"] == 1 })
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			s.demandSent(s.out, Sending{Sent: 1})
			var arrived [parts][]byte
			for _, e := range s.out.events {
				if e.Part.Number > 0 {
					if arrived[e.Part.Number-1] != nil {
						t.Errorf("part %d comes twice", e.Part.Number)
					}
					arrived[e.Part.Number-1] = e.Line
				}
			}
			if got := string(bytes.Join(arrived[:], nil)); got != line || s.out.lines()[line] != 0 {
				t.Errorf("%d bytes arrived in parts of %d, and %d times the whole", len(got), len(line), s.out.lines()[line])
			}
		})
	}
}
