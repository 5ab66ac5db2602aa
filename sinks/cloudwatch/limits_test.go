package cloudwatch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"tributary/deploy/local/logs"
	"tributary/schema"
	"tributary/stream"
)

// many makes n events of one text, a millisecond apart, in records of a thousand.
func many(from time.Time, n int, text string) (batches []stream.Batch) {
	for first := 0; first < n; first += 1000 {
		var events []schema.Event
		for i := first; i < min(first+1000, n); i++ {
			events = append(events, event(from.Add(time.Duration(i)*time.Millisecond), text))
		}
		batches = append(batches, record(first/1000+1, events...))
	}
	return batches
}

func TestBatchesKeepTheServicesLimits(t *testing.T) {
	now := time.Now().Add(-time.Hour)
	mega := strings.Repeat("m", 1<<20-26)
	for name, c := range map[string]struct {
		batches []stream.Batch
		puts    int
		events  int
	}{
		"10,000 events are one request":               {many(now, 10_000, "x"), 1, 10_000},
		"one more is another":                         {many(now, 10_001, "x"), 2, 10_001},
		"1 MiB, 26 bytes for each event, is one":      {many(now, 8, strings.Repeat("x", 1<<17-26)), 1, 8},
		"one byte more is another":                    {append(many(now, 7, strings.Repeat("x", 1<<17-26)), record(2, event(now.Add(time.Second), strings.Repeat("x", 1<<17-25)))), 2, 8},
		"the longest event goes alone":                {[]stream.Batch{record(1, event(now, mega), event(now, "x"))}, 2, 2},
		"a span of less than 24 h is one":             {[]stream.Batch{record(1, event(now, "x"), event(now.Add(time.Millisecond-24*time.Hour), "y"))}, 1, 2},
		"a span of 24 h is two":                       {[]stream.Batch{record(1, event(now, "x"), event(now.Add(-24*time.Hour), "y"), event(now.Add(-time.Minute), "z"))}, 2, 3},
		"events in any order are put in that of time": {[]stream.Batch{record(1, event(now, "x"), event(now.Add(-time.Hour), "y"), event(now.Add(-time.Minute), "z"))}, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			mustFlush(t, w.open(), c.batches...)
			if got := w.count("PutLogEvents", "") - 1; got != c.puts { // the first found no stream
				t.Errorf("%d requests, want %d", got, c.puts)
			}
			if got := len(w.stored(group)); got != c.events {
				t.Errorf("%d events, want %d", got, c.events)
			}
		})
	}
}

func TestALongLineComesInPartsThatAreTheLine(t *testing.T) {
	now := time.Now()
	for name, line := range map[string]string{
		"one byte too long":      strings.Repeat("a", 1<<20-25),
		"3 MB":                   strings.Repeat("0123456789", 300_000),
		"characters of 4 bytes":  "ab" + strings.Repeat("🙂", 300_000),
		"nothing but bad bytes":  strings.Repeat("\xffa", 300_000),
		"a cut at the last byte": strings.Repeat("a", 1<<20-26-39) + "é" + strings.Repeat("b", 100),
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			mustFlush(t, w.open(), record(1, event(now, "before"), event(now, line), event(now.Add(time.Millisecond), "after")))
			got := w.stored(group)
			if got[0] != "before" || got[len(got)-1] != "after" {
				t.Fatalf("%.20q … %.20q", got[0], got[len(got)-1])
			}
			if whole := strings.ToValidUTF8(line, "\uFFFD"); join(t, got[1:len(got)-1]) != whole {
				t.Error("the parts are another line")
			}
			if n := w.metric("changed_lines_total", "change", "split"); n != 1 {
				t.Errorf("%v lines split", n)
			}
		})
	}
}

// join puts the parts of a line together and wants one id and all numbers.
func join(t *testing.T, messages []string) string {
	t.Helper()
	var b strings.Builder
	id := ""
	for i, m := range messages {
		if len(m)+26 > 1<<20 {
			t.Fatalf("a part of %d bytes", len(m))
		}
		head, rest, _ := strings.Cut(m, "] ")
		var k, n int
		var own string
		if _, err := fmt.Sscanf(head, "[part %d/%d %16s", &k, &n, &own); err != nil || k != i+1 || n != len(messages) || id != "" && own != id {
			t.Fatalf("part %d of %d begins %.60q", i+1, len(messages), m)
		}
		id = own
		b.WriteString(rest)
	}
	return b.String()
}

func TestPartsAreTheSameInEveryReadAndGoOnWhereTheyStopped(t *testing.T) {
	w, now := start(t), time.Now()
	line := strings.Repeat("0123456789", 120_000)
	foreign := record(2, event(now, line))
	foreign.Epoch, foreign.Lane = schema.Epoch{}, 0
	for range 2 {
		s, puts := w.open(), 0
		w.setHook(func(action, _ string, _ any) error {
			if action == "PutLogEvents" {
				if puts++; puts == 3 {
					return answered("InternalFailure")
				}
			}
			return nil
		})
		if err := flush(t, s, record(1, event(now, line)), foreign); err == nil {
			t.Fatal("no error")
		}
		if err := s.Flush(t.Context(), rangeOf(1, 2)); err != nil {
			t.Fatal(err)
		}
		w.setHook(nil)
	}
	got := w.stored(group)
	if len(got) != 8 {
		t.Fatalf("%d parts of 2 lines sent twice", len(got))
	}
	seen := map[string]int{}
	for _, m := range got {
		head, _, _ := strings.Cut(m, "] ")
		seen[head]++
	}
	for head, n := range seen {
		if n != 2 {
			t.Errorf("%s] %d times, want 2", head, n)
		}
	}
}

func TestPartsOfAForwarderKeepTheirIDAndNumbers(t *testing.T) {
	w, now := start(t), time.Now()
	e := event(now, "the middle")
	e.Part = schema.Part{Line: [16]byte{0xab, 0xcd, 3: 1}, Number: 2, Count: 3}
	mustFlush(t, w.open(), record(1, e))
	wantLines(t, "stored", w.stored(group), []string{"[part 2/3 abcd000100000000] the middle"})
}

func TestWhatTheServiceWouldRefuseIsMended(t *testing.T) {
	w, now := start(t), time.Now()
	mustFlush(t, w.open(), record(1, event(now, ""), event(now, "a\xff\xfeb\xc3"), event(now, "fine")))
	wantLines(t, "stored", w.stored(group), []string{" ", "a\uFFFDb\uFFFD", "fine"})
	for change, want := range map[string]float64{"filled": 1, "mended": 1, "split": 0} {
		if got := w.metric("changed_lines_total", "change", change); got != want {
			t.Errorf("%v lines %s", got, change)
		}
	}
}

func TestEventsOfTheWrongAgeBecomeRejectsWithTheReason(t *testing.T) {
	w, now := start(t, func(w *world, _ *logs.Options) { w.cfg.RetentionDays = 3 }), time.Now()
	day := 24 * time.Hour
	late := event(time.Date(1969, 7, 21, 2, 56, 0, 0, time.UTC), "moon")
	b := record(1, event(now, "ok"), event(now.Add(-15*day), "old"), late, event(now.Add(-4*day), "expired"), event(now.Add(3*time.Hour), "ahead"), event(now.Add(-time.Hour), "ok too"))
	s := w.open()
	w.kept.fails = errors.New("no store today")
	if err := flush(t, s, b); err == nil || !strings.Contains(err.Error(), "no store today") {
		t.Fatalf("got %v", err)
	}
	puts := w.count("PutLogEvents", "")
	w.kept.fails = nil
	if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	if got := w.count("PutLogEvents", ""); got != puts {
		t.Errorf("%d requests more for what was accepted", got-puts)
	}
	wantLines(t, "stored", w.stored(group), []string{"ok too", "ok"})
	wantLines(t, "rejects", w.kept.lines(t), []string{
		"older than CloudWatch Logs takes (14 days): old",
		"older than CloudWatch Logs takes (14 days): moon",
		"older than the log group's retention: expired",
		"newer than CloudWatch Logs takes (2 hours ahead): ahead",
	})
	if got := w.metric("sent_bytes_total"); got != float64(len("ok")+len("ok too")+2*26) {
		t.Errorf("%v bytes billed", got)
	}
	decoded, _, _ := schema.NewDecoder().Decode(w.kept.items[0].Reject.Data, now)
	if e := decoded.Events[0]; decoded.Epoch != b.Epoch || decoded.Lane != b.Lane || e.Offset != 1001 || e.Origin.ContainerID != "c1" || !w.kept.items[0].Refused || w.kept.items[0].Reject.Index != 1 {
		t.Errorf("reject %+v of %+v", e, decoded)
	}
}

func TestAnEventThatTheServiceCallsInvalidIsFoundAndKept(t *testing.T) {
	for name, bad := range map[string][]int{
		"the first": {0}, "the last": {499}, "one in the middle": {250}, "two neighbours": {77, 78}, "ten": {5, 40, 80, 160, 161, 162, 320, 400, 498, 499},
	} {
		t.Run(name, func(t *testing.T) {
			w, now := start(t), time.Now()
			w.setHook(func(action, _ string, in any) error {
				if put, ok := in.(*sdk.PutLogEventsInput); ok {
					for _, e := range put.LogEvents {
						if strings.Contains(*e.Message, "bad") {
							return answered("InvalidParameterException")
						}
					}
				}
				return nil
			})
			events := make([]schema.Event, 500)
			for i := range events {
				events[i] = event(now, fmt.Sprintf("line %d", i))
			}
			var want []string
			for _, i := range bad {
				events[i].Line = fmt.Appendf(nil, "bad %d", i)
				want = append(want, "invalid, says CloudWatch Logs: "+string(events[i].Line))
			}
			mustFlush(t, w.open(), record(1, events...))
			got := w.stored(group)
			if len(got) != 500-len(bad) {
				t.Errorf("%d lines stored", len(got))
			}
			last := -1
			for _, line := range got {
				var n int
				if _, err := fmt.Sscanf(line, "line %d", &n); err != nil || n <= last {
					t.Fatalf("%q after %d", line, last)
				}
				last = n
			}
			wantLines(t, "rejects", w.kept.lines(t), want)
			if n := w.count("PutLogEvents", ""); n > 12+20*len(bad) {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestAStreamOfWhichAllIsInvalidEndsWithAllInTheRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		outage(t, w, "InvalidParameterException", group)
		s, batches := w.open(), many(time.Now(), 300, "x")
		err := flush(t, s, batches...)
		for tries := 0; err != nil; tries++ {
			if tries == 30 {
				t.Fatal(err)
			}
			err = s.Flush(t.Context(), rangeOf(1, 1))
		}
		if got := len(w.kept.lines(t)); got != 300 {
			t.Errorf("%d rejects", got)
		}
	})
}

func TestBeyondMaxGroupsServicesShareOne(t *testing.T) {
	w, now := start(t, func(w *world, _ *logs.Options) { w.cfg.MaxGroups = 2 }), time.Now()
	s := w.open()
	mustFlush(t, s, record(1, eventOf("a", now, "1"), eventOf("b", now, "2"), eventOf("c", now, "3"), eventOf("d", now, "4"), eventOf("a", now, "5")))
	mustFlush(t, s, record(2, eventOf("c", now, "6")))
	wantLines(t, "a", w.stored("/tributary/a"), []string{"1", "5"})
	wantLines(t, "other", w.stored("/tributary/other"), []string{"3", "4", "6"})
	if n := w.log.count("too many log groups"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if n := w.metric("overflow_lines_total"); n != 3 {
		t.Errorf("%v lines counted", n)
	}
}

func TestThePaceOfRequestsLearnsFromThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(w *world, _ *logs.Options) { w.cfg.RequestsPerSecond, w.cfg.Parallel = 10, 1 })
		s := w.open()
		n := 0
		put := func(times int) time.Duration {
			began := time.Now()
			for range times {
				n++
				for flush(t, s, record(n, event(time.Now(), "x"))) != nil {
					if err := s.Flush(t.Context(), rangeOf(n, n)); err == nil {
						break
					}
				}
			}
			return time.Since(began)
		}
		put(1)
		if d := put(100); d < 9*time.Second || d > 10*time.Second {
			t.Errorf("100 requests in %v, want ten a second", d)
		}
		throttle := true
		w.setHook(func(action, _ string, _ any) error {
			if action == "PutLogEvents" && throttle {
				throttle = false
				return answered("ThrottlingException")
			}
			return nil
		})
		put(1)
		if rate := w.metric("requests_per_second"); rate < 5 || rate > 5.1 {
			t.Errorf("%v a second after a throttle", rate)
		}
		if d := put(20); d < 3*time.Second || d > 5*time.Second {
			t.Errorf("20 requests in %v, want five a second", d)
		}
		for w.metric("requests_per_second") < 10 {
			put(10)
		}
		w.setHook(func(action, _ string, _ any) error { return answered("ThrottlingException") })
		for range 8 {
			n++
			_ = flush(t, w.open(), record(n, event(time.Now(), "x")))
		}
		if rate := w.metric("requests_per_second"); rate != 1 {
			t.Errorf("%v a second after many throttles, want 1", rate)
		}
	})
}

func TestCreationKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(w *world, _ *logs.Options) { w.cfg.CreateRate = 5 })
		var events []schema.Event
		for i := range 20 {
			events = append(events, eventOf(fmt.Sprint(i), time.Now(), "x"))
		}
		began := time.Now()
		mustFlush(t, w.open(), record(1, events...))
		// Of each the stream, the group, its retention, and the stream again.
		if d := time.Since(began); d < 15*time.Second || d > 17*time.Second {
			t.Errorf("80 requests in %v, want five a second", d)
		}
	})
}
