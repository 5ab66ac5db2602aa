package cloudwatch_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/logs"
	"tributary/schema"
	"tributary/schema/filter"
	"tributary/sinks/cloudwatch"
	"tributary/stream"
)

// heir is a sink of another worker that takes over behind the checkpoint: it is shown
// what arrived in the ten seconds before it.
func (w *world) heir(records []stream.Batch, checkpoint int) *cloudwatch.Sink {
	w.t.Helper()
	w.restart()
	s := w.open()
	since := time.Time{}
	if checkpoint > 0 {
		since = records[checkpoint-1].Arrival.Add(-10 * time.Second)
		for _, b := range records[:checkpoint] {
			if !b.Arrival.Before(since) {
				s.Recall(b)
			}
		}
	}
	s.Inherit(since, time.Now())
	return s
}

// seconds are n records of which each arrives a second after the one before and has
// lines of three services.
func seconds(now time.Time, n int, line func(record, i int) string) (records []stream.Batch) {
	for r := range n {
		var events []schema.Event
		for i := range 6 {
			at := now.Add(time.Duration(r)*time.Second + time.Duration(i)*100*time.Millisecond)
			events = append(events, eventOf([]string{"shop", "cart", "mail"}[i%3], at, line(r+1, i)))
		}
		records = append(records, record(r+1, events...))
	}
	return records
}

func unique(record, i int) string { return fmt.Sprintf("record %d line %d", record, i) }

// copies counts the messages of all groups.
func (w *world) copies(groups ...string) map[string]int {
	w.t.Helper()
	out := map[string]int{}
	for _, g := range groups {
		for _, m := range w.stored(g) {
			out[m]++
		}
	}
	return out
}

var three = []string{"/tributary/shop", "/tributary/cart", "/tributary/mail"}

// wantCopies wants each line of the records so often, from one record to another.
func (w *world) wantCopies(records []stream.Batch, from, to, want int) {
	w.t.Helper()
	have := w.copies(three...)
	for _, b := range records[from-1 : to] {
		for _, e := range b.Events {
			if got := have[string(e.Line)]; got != want {
				w.t.Errorf("%s: %d times, want %d", e.Line, got, want)
			}
		}
	}
}

func TestAfterATakeoverWhatIsThereIsSkipped(t *testing.T) {
	for name, c := range map[string]struct{ checkpoint, delivered int }{
		"nothing before the checkpoint":  {0, 8},
		"nothing behind the checkpoint":  {6, 6},
		"two records behind it":          {6, 8},
		"all that there is":              {3, 12},
		"a checkpoint long before":       {1, 12},
		"the earlier life delivered all": {12, 12},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			w := start(t)
			records := seconds(time.Now(), 14, unique)
			mustFlush(t, w.open(), records[:c.delivered]...)
			time.Sleep(20 * time.Second)
			s := w.heir(records, c.checkpoint)
			if s.Settled() {
				t.Error("settled at once")
			}
			for i := c.checkpoint; i < 14; i++ {
				mustFlush(t, s, records[i])
			}
			w.wantCopies(records, 1, 14, 1)
			if got := w.metric("skipped_events_total"); got != float64(6*(c.delivered-c.checkpoint)) {
				t.Errorf("%v skipped", got)
			}
		}))
	}
}

func TestOfEqualLinesAsManyAreThereAsThereWere(t *testing.T) {
	for _, before := range []int{0, 1, 250, 499} {
		for _, beyond := range []int{0, 1, 100, 250, 500} {
			beyond := min(beyond, 500-before)
			t.Run(fmt.Sprintf("%d before the checkpoint and %d behind it", before, beyond), inBubble(func(t *testing.T) {
				w, at := start(t), time.Now()
				var records []stream.Batch
				for i := range 50 {
					events := make([]schema.Event, 10)
					for j := range events {
						events[j] = event(at, "the same")
					}
					b := record(i+1, events...)
					b.Arrival = at.Add(time.Duration(i) * 10 * time.Millisecond)
					records = append(records, b)
				}
				// A record is cut where the checkpoint and the delivery end, for the test.
				var cut []stream.Batch
				n := 0
				for _, b := range records {
					rest := b
					for _, end := range []int{before, before + beyond} {
						if k := end - n; k > 0 && k < len(rest.Events) {
							head := rest
							head.Events = rest.Events[:k]
							head.Sequence = sequence(len(cut) + 1)
							cut = append(cut, head)
							rest.Events = rest.Events[k:]
							n += k
						}
					}
					rest.Sequence = sequence(len(cut) + 1)
					cut = append(cut, rest)
					n += len(rest.Events)
				}
				place := func(end int) (i int) {
					for n := 0; n < end; i++ {
						n += len(cut[i].Events)
					}
					return i
				}
				if to := place(before + beyond); to > 0 {
					mustFlush(t, w.open(), cut[:to]...)
				}
				time.Sleep(5 * time.Second)
				checkpoint := place(before)
				s := w.heir(cut, checkpoint)
				for i := checkpoint; i < len(cut); i += 3 {
					mustFlush(t, s, cut[i:min(i+3, len(cut))]...)
				}
				if got := len(w.stored(group)); got != 500 {
					t.Errorf("%d of 500", got)
				}
			}))
		}
	}
}

// People who search the logs use up the account's GetLogEvents for a while.
func TestALookThatIsThrottledIsMadeAgainWhileItsTimeLasts(t *testing.T) {
	t.Run("two reads", inBubble(func(t *testing.T) {
		w := start(t)
		records := seconds(time.Now(), 12, unique)
		mustFlush(t, w.open(), records[:9]...)
		time.Sleep(20 * time.Second)
		if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "GetLogEvents", Action: fault.Throttle, Count: 2}}); err != nil {
			t.Fatal(err)
		}
		s := w.heir(records, 6)
		for i := 6; i < 12; i++ {
			mustFlush(t, s, records[i])
		}
		if err := w.faults.Replace(nil); err != nil {
			t.Fatal(err)
		}
		w.wantCopies(records, 1, 12, 1)
	}))
}

func TestInDoubtALineIsSentTwice(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		hook   func(action string) error
		faults []fault.Rule
		log    string
	}{
		"no calls are allowed":                 {change: func(w *world) { w.cfg.ReadBack.Calls = 0 }},
		"no time is allowed":                   {change: func(w *world) { w.cfg.ReadBack.Time = 0 }},
		"reads are throttled":                  {faults: []fault.Rule{{Service: "logs", Operation: "GetLogEvents", Action: fault.Throttle}}},
		"reads fail":                           {faults: []fault.Rule{{Service: "logs", Operation: "GetLogEvents", Action: fault.Error}}},
		"reads hang":                           {faults: []fault.Rule{{Service: "logs", Operation: "GetLogEvents", Action: fault.Delay, Delay: time.Minute}}},
		"more is to be remembered than may be": {change: func(w *world) { w.cfg.ReadBack.Bytes = 1000 }},
		"the class of the groups forbids it": {
			change: func(w *world) { w.cfg.Class = "INFREQUENT_ACCESS" }, log: "log group cannot be read back",
		},
		"reading is not allowed": {
			hook: func(action string) error {
				if action == "GetLogEvents" {
					return answered("AccessDeniedException")
				}
				return nil
			},
			log: "logs:GetLogEvents on log group",
		},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			w := start(t, func(w *world, _ *logs.Options) {
				if c.change != nil {
					c.change(w)
				}
			})
			records := seconds(time.Now(), 12, unique)
			mustFlush(t, w.open(), records[:9]...)
			time.Sleep(20 * time.Second)
			if err := w.faults.Replace(c.faults); err != nil {
				t.Fatal(err)
			}
			s := w.heir(records, 6)
			if c.hook != nil {
				w.setHook(func(action, _ string, _ any) error { return c.hook(action) })
			}
			for i := 6; i < 12; i++ {
				mustFlush(t, s, records[i])
			}
			w.setHook(nil)
			if err := w.faults.Replace(nil); err != nil {
				t.Fatal(err)
			}
			if w.cfg.Class == "STANDARD" {
				w.wantCopies(records, 1, 6, 1)
				w.wantCopies(records, 7, 9, 2)
				w.wantCopies(records, 10, 12, 1)
			} else if got := w.metric("events_total"); got != 36 {
				t.Errorf("%v events sent", got)
			}
			if s.Settled() {
				t.Error("settled, though nothing behind until was seen")
			}
			if c.log != "" {
				if n := w.log.count(c.log); n != 3 {
					t.Errorf("said %d times of 3 groups", n)
				}
				if n := w.metric("lookups_total"); n != 3 {
					t.Errorf("%v lookups", n)
				}
			}
		}))
	}
}

func TestALineOlderThanWhatWasShownIsSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		records := seconds(time.Now(), 30, unique)
		// One arrived late, its twin long before what is shown.
		records[2].Events[0].Line = []byte("twin")
		records[25].Events = append(records[25].Events, records[2].Events[0])
		mustFlush(t, w.open(), records[:25]...)
		time.Sleep(time.Minute)
		s := w.heir(records, 20)
		mustFlush(t, s, records[20:]...)
		if got := w.copies(group)["twin"]; got != 2 {
			t.Errorf("%d of two twins", got)
		}
		w.wantCopies(records, 4, 25, 1)
	})
}

func TestWhatIsNotVisibleYetIsSentTwiceAndLaterSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(_ *world, o *logs.Options) { o.VisibilityDelay = 2 * time.Second })
		records := seconds(time.Now(), 12, unique)
		time.Sleep(12 * time.Second)
		mustFlush(t, w.open(), records[:9]...)
		s := w.heir(records, 3)
		mustFlush(t, s, records[3:5]...) // invisible
		time.Sleep(3 * time.Second)
		mustFlush(t, s, records[5:]...)
		time.Sleep(3 * time.Second)
		w.wantCopies(records, 1, 3, 1)
		w.wantCopies(records, 4, 5, 2)
		w.wantCopies(records, 6, 12, 1)
	})
}

func TestDoubtEndsBehindUntilOrWhenNothingIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		if s := w.open(); !s.Settled() {
			t.Error("a sink that inherits nothing is unsettled")
		}
		records := seconds(time.Now(), 12, unique)
		mustFlush(t, w.open(), records[:6]...)
		time.Sleep(11 * time.Second)

		s := w.heir(records, 6)
		mustFlush(t, s, records[6:8]...)
		if s.Settled() {
			t.Error("settled before what was accepted can be seen")
		}
		time.Sleep(6 * time.Second)
		mustFlush(t, s, records[8:10]...)
		if !s.Settled() {
			t.Error("unsettled though nothing was there")
		}
		lookups := w.metric("lookups_total")
		mustFlush(t, s, records[10:]...)
		if got := w.metric("lookups_total"); got != lookups {
			t.Errorf("%v lookups of a settled sink", got-lookups)
		}

		s = w.heir(records, 10)
		mustFlush(t, s, records[10])
		if s.Settled() {
			t.Error("settled after a skip")
		}
		empty := record(100)
		empty.Arrival = time.Now().Add(time.Millisecond)
		mustFlush(t, s, records[11], empty)
		if !s.Settled() {
			t.Error("unsettled behind until")
		}
		w.wantCopies(records, 1, 12, 1)
	})
}

func TestPartsAndErrorsThatAreThereAreSkippedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(w *world, _ *logs.Options) { w.cfg.MessageBytes = 1024 })
		records := seconds(time.Now(), 4, func(r, i int) string {
			return fmt.Sprintf(`{"level":"ERROR","record":%d,"i":%d,"long":"%s"}`, r, i, strings.Repeat("€", 1000*(i%2)))
		})
		mustFlush(t, w.open(), records[:3]...)
		before := w.copies(append([]string{"/tributary/shop/errors", "/tributary/cart/errors"}, three...)...)
		time.Sleep(10 * time.Second)
		s := w.heir(records, 1)
		mustFlush(t, s, records[1:3]...)
		after := w.copies(append([]string{"/tributary/shop/errors", "/tributary/cart/errors"}, three...)...)
		for m, n := range after {
			if before[m] != n {
				t.Errorf("%.60s: %d times, was %d", m, n, before[m])
			}
		}
	})
}

func TestWhatRulesWouldNotSendAnyMoreIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		at := time.Now()
		same := make([]schema.Event, 100)
		for i := range same {
			same[i] = event(at, `{"level":"ERROR"}`)
		}
		records := []stream.Batch{record(1, same...), record(2, same...)}
		mustFlush(t, w.open(), records[0])
		time.Sleep(10 * time.Second)
		w.cfg.Filter.Rules = []filter.Rule{{Action: filter.Sample, Rate: 0.5}}
		s := w.heir(records, 1)
		mustFlush(t, s, records[1])
		sent := w.metric("lines_total") - w.metric("unsent_lines_total")
		for _, g := range []string{group, group + "/errors"} {
			if got := float64(len(w.stored(g))); got != 100+sent {
				t.Errorf("%s: %v lines, want 100 and %v", g, got, sent)
			}
		}
	})
}

func TestAFailedFlushDecidesOnceWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		records := seconds(time.Now(), 6, unique)
		mustFlush(t, w.open(), records[:4]...)
		time.Sleep(10 * time.Second)
		s := w.heir(records, 2)
		failing := true
		w.setHook(func(action, g string, _ any) error {
			if failing && action == "PutLogEvents" && g == "/tributary/cart" {
				return answered("InternalFailure")
			}
			return nil
		})
		if err := flush(t, s, records[2:]...); err == nil {
			t.Fatal("no error")
		}
		failing = false
		lookups := w.metric("lookups_total")
		if err := s.Flush(t.Context(), rangeOf(3, 6)); err != nil {
			t.Fatal(err)
		}
		if got := w.metric("lookups_total"); got != lookups {
			t.Errorf("%v lookups more", got-lookups)
		}
		w.wantCopies(records, 1, 6, 1)
	})
}

// life is a worker that dies somewhere: its call before or after the put that it makes
// then. It returns the checkpoint it leaves.
func (w *world) life(rng *rand.Rand, records []stream.Batch, checkpoint int, last bool) int {
	s := w.heir(records, checkpoint)
	dies := errors.New("dies here")
	left, after := rng.IntN(12), rng.IntN(2) == 0
	dead := last
	w.setHook(func(action, _ string, in any) error {
		if last || action != "PutLogEvents" {
			return nil
		}
		if left--; left > 0 {
			return nil
		}
		if !dead && after {
			w.deaf(in)
		}
		dead = true
		return dies
	})
	for at := checkpoint; at < len(records); {
		to := min(len(records), at+1+rng.IntN(6))
		if err := flush(w.t, s, records[at:to]...); err != nil {
			break
		}
		if at = to; rng.IntN(3) == 0 {
			checkpoint = at
		}
		if last {
			checkpoint = at
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	}
	w.setHook(nil)
	return checkpoint
}

var seeds = flag.Uint64("seeds", 12, "how many seeds TestWorkersThatDieAnywhereLoseNothing tries")

// TestWorkersThatDieAnywhereLoseNothing: equal lines are there as often as they came
// or oftener, others exactly once.
func TestWorkersThatDieAnywhereLoseNothing(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), inBubble(func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			w := start(t, func(w *world, _ *logs.Options) { w.cfg.RequestsPerSecond = 1000 })
			few := seed%2 == 1
			records := seconds(time.Now(), 30, func(r, i int) string {
				if few {
					return fmt.Sprint("line ", rng.IntN(3))
				}
				return unique(r, i)
			})
			if few { // many in one millisecond, over several records
				for i := range records {
					for j := range records[i].Events {
						records[i].Events[j].Time = records[i/3*3].Events[0].Time
					}
				}
			}
			time.Sleep(time.Minute)
			checkpoint := 0
			for lives := 0; checkpoint < len(records); lives++ {
				checkpoint = w.life(rng, records, checkpoint, lives == 15)
				time.Sleep(6 * time.Second)
			}
			want := map[string]int{}
			for _, b := range records {
				for _, e := range b.Events {
					want[string(e.Line)]++
				}
			}
			have := w.copies(three...)
			lines := slices.Sorted(func(yield func(string) bool) {
				for line := range want {
					if !yield(line) {
						return
					}
				}
			})
			for _, line := range lines {
				if have[line] < want[line] || !few && have[line] != want[line] {
					t.Errorf("%s: %d times, came %d times", line, have[line], want[line])
				}
			}
			if len(have) != len(want) {
				t.Errorf("%d different lines, want %d", len(have), len(want))
			}
		}))
	}
}
