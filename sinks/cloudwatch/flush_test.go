package cloudwatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"golang.org/x/sync/errgroup"

	"tributary/deploy/local/fault"
	"tributary/schema"
	"tributary/schema/filter"
	"tributary/stream"
)

func TestLinesLieInTheGroupOfTheirServiceInTheOrderOfTheirTimes(t *testing.T) {
	w, now := start(t), time.Now()
	s := w.open()
	mustFlush(t, s,
		record(1, event(now, `{"n":2}`), eventOf("cart", now, "cart"), event(now.Add(-time.Second), `{"n":1}`)),
		record(2, event(now, `{"n":3}`), event(now.Add(time.Second), "n 4 ✓")))
	wantLines(t, "shop", w.stored(group), []string{`{"n":1}`, `{"n":2}`, `{"n":3}`, "n 4 ✓"})
	wantLines(t, "cart", w.stored("/tributary/cart"), []string{"cart"})
	if s.Size() != 0 {
		t.Errorf("%d bytes held after a flush", s.Size())
	}
	puts := w.count("PutLogEvents", "")
	if err := s.Flush(t.Context(), rangeOf(1, 2)); err != nil || w.count("PutLogEvents", "") != puts {
		t.Errorf("the same range again: %v, %d puts more", err, w.count("PutLogEvents", "")-puts)
	}
	mustFlush(t, s, record(3, event(now.Add(2*time.Second), "later")))
	if got := w.stored(group); len(got) != 5 || got[4] != "later" {
		t.Errorf("after a second flush %q", got)
	}
	if got := w.metric("sent_bytes_total", "service", "shop"); got != float64(3*7+len("n 4 ✓")+len("later")+5*26) {
		t.Errorf("%v bytes sent for shop", got)
	}
}

func TestGroupsAreMadeWithRetentionAndLeftAloneWhenTheyAreThere(t *testing.T) {
	w, now := start(t, func(w *world, _ *logsOptions) { w.cfg.RetentionDays, w.cfg.Class = 7, "INFREQUENT_ACCESS" }), time.Now()
	if _, err := w.Client.CreateLogGroup(t.Context(), &sdk.CreateLogGroupInput{LogGroupName: aws.String("/tributary/cart")}); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, w.open(), record(1, event(now, "a"), eventOf("cart", now, "b")))
	out, err := w.DescribeLogGroups(t.Context(), &sdk.DescribeLogGroupsInput{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range out.LogGroups {
		got = append(got, fmt.Sprint(*g.LogGroupName, " ", g.LogGroupClass, " ", aws.ToInt32(g.RetentionInDays)))
	}
	wantLines(t, "groups", got, []string{"/tributary/cart STANDARD 0", "/tributary/shop INFREQUENT_ACCESS 7"})
}

func TestNewGroupsHaveKeyAndTags(t *testing.T) {
	key := "arn:aws:kms:us-east-1:000000000000:key/1234"
	w := start(t, func(w *world, _ *logsOptions) { w.cfg.KMSKey, w.cfg.Tags = key, map[string]string{"team": "shop"} })
	var made []*sdk.CreateLogGroupInput
	w.setHook(func(_, _ string, in any) error {
		if group, ok := in.(*sdk.CreateLogGroupInput); ok {
			made = append(made, group)
			return answered("LimitExceededException")
		}
		return nil
	})
	if err := flush(t, w.open(), record(1, event(time.Now(), "a"))); err == nil || !strings.Contains(err.Error(), "CreateLogGroup for log group /tributary/shop") {
		t.Errorf("got %v", err)
	}
	if len(made) != 1 || aws.ToString(made[0].KmsKeyId) != key || made[0].Tags["team"] != "shop" {
		t.Errorf("asked for %+v", made)
	}
}

func TestARetentionThatCouldNotBeSetIsSetBeforeTheFirstStreamIsMade(t *testing.T) {
	w, now := start(t), time.Now()
	w.setHook(func(action, _ string, _ any) error {
		if action == "PutRetentionPolicy" {
			return answered("AccessDeniedException")
		}
		return nil
	})
	s := w.open()
	err := flush(t, s, record(1, event(now, "a")))
	if err == nil || !strings.Contains(err.Error(), "logs:PutRetentionPolicy on log group /tributary/shop is not allowed") {
		t.Fatalf("got %v", err)
	}
	w.setHook(nil)
	if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	out, err := w.DescribeLogGroups(t.Context(), &sdk.DescribeLogGroupsInput{})
	if err != nil || aws.ToInt32(out.LogGroups[0].RetentionInDays) != 30 {
		t.Errorf("%+v, %v", out.LogGroups[0], err)
	}
	wantLines(t, "stored", w.stored(group), []string{"a"})
}

func TestAMissingPermissionIsOneErrorThatNamesActionAndResource(t *testing.T) {
	for action, want := range map[string]string{
		"PutLogEvents":    "logs:PutLogEvents on log group /tributary/s00, stream shardId-000000000002 is not allowed",
		"CreateLogGroup":  "logs:CreateLogGroup on log group /tributary/s00 is not allowed",
		"CreateLogStream": "logs:CreateLogStream on log group /tributary/s00, stream shardId-000000000002 is not allowed",
	} {
		t.Run(action, inBubble(func(t *testing.T) {
			w, now := start(t), time.Now()
			w.setHook(func(a, _ string, _ any) error {
				if a == action {
					return answered("AccessDeniedException")
				}
				return nil
			})
			var events []schema.Event
			for i := range 20 {
				events = append(events, eventOf(fmt.Sprintf("s%02d", i), now, "x"))
			}
			s := w.open()
			err := flush(t, s, record(1, events...))
			if err == nil || stream.IsPermanent(err) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "and 19 more log streams alike") || strings.Count(err.Error(), "is not allowed") != 1 {
				t.Errorf("got %v", err)
			}
			w.setHook(nil)
			if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
				t.Fatal(err)
			}
			wantLines(t, "stored", w.stored("/tributary/s19"), []string{"x"})
		}))
	}
}

func TestAStreamThatFailsHoldsUpNoOtherAndNothingIsSentTwice(t *testing.T) {
	w, now := start(t), time.Now()
	failing := true
	w.setHook(func(action, g string, _ any) error {
		if action == "PutLogEvents" && g == "/tributary/cart" && failing {
			return answered("InternalFailure")
		}
		return nil
	})
	s := w.open()
	if err := flush(t, s, record(1, eventOf("cart", now, "a"), event(now, "b"), eventOf("mail", now, "c"))); err == nil {
		t.Fatal("no error")
	}
	wantLines(t, "shop", w.stored(group), []string{"b"})
	for range 3 {
		if err := s.Flush(t.Context(), rangeOf(1, 1)); err == nil {
			t.Fatal("no error")
		}
	}
	w.setHook(nil)
	if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "shop", w.stored(group), []string{"b"})
	wantLines(t, "mail", w.stored("/tributary/mail"), []string{"c"})
	wantLines(t, "cart", w.stored("/tributary/cart"), []string{"a"})
	if s.Size() != 0 {
		t.Errorf("%d bytes held", s.Size())
	}
}

func TestWhatIsAppendedAfterAFailureIsSentBehindWhatWaits(t *testing.T) {
	w, now := start(t, func(w *world, _ *logsOptions) { w.cfg.MessageBytes = 1 << 19 }), time.Now()
	puts := 0
	w.setHook(func(action, g string, _ any) error {
		if action == "PutLogEvents" && g == group {
			if puts++; puts == 3 { // behind the one that found no stream and the first parts
				return answered("InternalFailure")
			}
		}
		return nil
	})
	long := strings.Repeat("0123456789", 250_000)
	s := w.open()
	if err := flush(t, s, record(1, event(now, long), event(now.Add(time.Second), "last"), eventOf("cart", now, "cart"))); err == nil {
		t.Fatal("no error")
	}
	appendAll(t, s, record(2, event(now.Add(-time.Second), "earlier"), event(now.Add(2*time.Second), "later"), eventOf("cart", now, "more")))
	if err := s.Flush(t.Context(), rangeOf(1, 2)); err != nil {
		t.Fatal(err)
	}
	got := w.stored(group)
	if n := len(got); n < 8 || got[0] != "earlier" || got[n-2] != "last" || got[n-1] != "later" || join(t, got[1:n-2]) != long {
		t.Errorf("%d messages", n)
	}
	wantLines(t, "cart", w.stored("/tributary/cart"), []string{"cart", "more"})
}

// traffic has n numbered lines of four services, in records of 100. They are twenty
// minutes apart, so that a log stream needs many batches.
func traffic(now time.Time, n int) (batches []stream.Batch) {
	for first := 0; first < n; first += 100 {
		var events []schema.Event
		for i := first; i < min(first+100, n); i++ {
			at := now.Add(time.Duration(i-n) * 20 * time.Minute)
			events = append(events, eventOf([]string{"shop", "cart", "mail", "auth"}[i%4], at, fmt.Sprintf("line %06d", i)))
		}
		batches = append(batches, record(first/100+1, events...))
	}
	return batches
}

// The faults do not strike every second or third call: these are what a flush makes
// until it has a new group, and it would never have one.
func TestFaultsLoseAndReorderNothing(t *testing.T) {
	for name, rules := range map[string][]fault.Rule{
		"throttled":               {{Service: "logs", Operation: "*", Action: fault.Throttle, Every: 4}},
		"failing":                 {{Service: "logs", Operation: "*", Action: fault.Error, Every: 5}},
		"failing and throttled":   {{Service: "logs", Operation: "PutLogEvents", Action: fault.Error, Every: 2}, {Service: "logs", Operation: "*", Action: fault.Throttle, Every: 5}},
		"slower than the timeout": {{Service: "logs", Operation: "PutLogEvents", Action: fault.Delay, Every: 3, Delay: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t)
				if err := w.faults.Replace(rules); err != nil {
					t.Fatal(err)
				}
				s, batches := w.open(), traffic(time.Now(), 800)
				appendAll(t, s, batches...)
				for try := 1; ; try++ {
					if err := s.Flush(t.Context(), rangeOf(1, len(batches))); err == nil {
						break
					} else if try == 100 {
						t.Fatal(err)
					}
				}
				for g := range 4 {
					got := w.stored("/tributary/" + []string{"shop", "cart", "mail", "auth"}[g])
					if len(got) != 200 {
						t.Fatalf("%d lines of 200", len(got))
					}
					for i, line := range got {
						if want := fmt.Sprintf("line %06d", 4*i+g); line != want {
							t.Fatalf("%s at the place of %s", line, want)
						}
					}
				}
				for _, r := range w.faults.Rules() {
					if r.Hits == 0 {
						t.Errorf("the endpoint never did %+v", r.Rule)
					}
				}
			})
		})
	}
}

func TestAnAnswerThatWasLostDoublesAndLosesNothing(t *testing.T) {
	w := start(t)
	if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "PutLogEvents", Action: fault.LoseResponse, Every: 2, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	s, now := w.open(), time.Now()
	if err := flush(t, s, record(1, event(now, "a"))); err == nil {
		t.Fatal("no error")
	}
	if err := s.Flush(t.Context(), rangeOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "stored", w.stored(group), []string{"a", "a"})
}

func TestAFlushEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "PutLogEvents", Action: fault.Delay, Delay: time.Minute}}); err != nil {
			t.Fatal(err)
		}
		lost := errors.New("lease lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(lost) })
		s, began := w.open(), time.Now()
		appendAll(t, s, record(1, event(began, "a")))
		if err := s.Flush(ctx, rangeOf(1, 1)); !errors.Is(err, lost) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestRecordsThatDoNotBelongAreRefused(t *testing.T) {
	w, now := start(t), time.Now()
	s := w.open()
	appendAll(t, s, record(2, event(now, "a")))
	other := record(3, event(now, "a"))
	other.Shard = "shardId-000000000009"
	for name, b := range map[string]stream.Batch{"of another shard": other, "before the last": record(1, event(now, "a"))} {
		if err := s.Append(b); err == nil {
			t.Errorf("a record %s was taken", name)
		}
	}
	for name, r := range map[string]stream.Range{
		"of another shard":       {Shard: "shardId-000000000009", First: sequence(2), Last: sequence(2)},
		"that ends before":       rangeOf(1, 1),
		"that begins behind":     rangeOf(3, 4),
		"without a first record": {Shard: shard, Last: sequence(2)},
	} {
		if err := s.Flush(t.Context(), r); err == nil {
			t.Errorf("a range %s was flushed", name)
		}
	}
	if n := w.count("", ""); n > 0 {
		t.Errorf("%d calls", n)
	}
	if err := s.Flush(t.Context(), rangeOf(2, 2)); err != nil {
		t.Error(err)
	}
	if err := s.Flush(t.Context(), rangeOf(3, 3)); err != nil {
		t.Errorf("an empty range: %v", err)
	}
}

func TestShardsThatMeetInANewGroupMakeItOnceAndWriteSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		var g errgroup.Group
		for i := range 8 {
			id := stream.ShardID(fmt.Sprintf("shardId-%012d", i))
			s := w.openShard(id)
			b := record(1, event(time.Now(), "x"), event(time.Now(), `{"level":"ERROR"}`))
			b.Shard = id
			appendAll(t, s, b)
			g.Go(func() error {
				return s.Flush(t.Context(), stream.Range{Shard: id, First: b.Sequence, Last: b.Sequence})
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		out, err := w.DescribeLogStreams(t.Context(), &sdk.DescribeLogStreamsInput{LogGroupName: aws.String(group + "/errors")})
		if err != nil || len(out.LogStreams) != 8 {
			t.Errorf("%d log streams, %v", len(out.LogStreams), err)
		}
		if n := w.metric("created_total", "action", "CreateLogGroup"); n != 2 {
			t.Errorf("%v groups made", n)
		}
	})
}

func TestAGroupThatSomebodyDeletesIsMadeAgain(t *testing.T) {
	w, now := start(t), time.Now()
	s := w.open()
	mustFlush(t, s, record(1, event(now, "a")))
	if _, err := w.DeleteLogGroup(t.Context(), &sdk.DeleteLogGroupInput{LogGroupName: aws.String(group)}); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s, record(2, event(now, "b")))
	wantLines(t, "stored", w.stored(group), []string{"b"})
}

func TestAnswersAboutSequenceTokens(t *testing.T) {
	for code, fails := range map[string]bool{"DataAlreadyAcceptedException": false, "InvalidSequenceTokenException": true} {
		w, now := start(t), time.Now()
		w.setHook(func(action, _ string, _ any) error {
			if action == "PutLogEvents" {
				return answered(code)
			}
			return nil
		})
		if err := flush(t, w.open(), record(1, event(now, "a"))); (err != nil) != fails {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestSizeCountsWhatIsHeld(t *testing.T) {
	w, now := start(t, func(w *world, _ *logsOptions) {
		w.cfg.Filter.Rules = []filter.Rule{{Action: filter.Exclude, Condition: filter.Condition{Services: []string{"noise"}}}}
	}), time.Now()
	s := w.open()
	appendAll(t, s, record(1, eventOf("noise", now, strings.Repeat("x", 100_000))))
	if got := s.Size(); got > 4096 {
		t.Errorf("%d bytes held for a record that is not sent", got)
	}
	appendAll(t, s, record(2, event(now, strings.Repeat("x", 100_000)), eventOf("noise", now, "y")))
	if got := s.Size(); got < 100_000 || got > 110_000 {
		t.Errorf("%d bytes held for a line of 100,000", got)
	}
	if err := s.Flush(t.Context(), rangeOf(1, 2)); err != nil || s.Size() != 0 {
		t.Errorf("%d bytes held after a flush, %v", s.Size(), err)
	}
	if got := w.metric("unsent_lines_total"); got != 2 {
		t.Errorf("%v lines kept back", got)
	}
}
