package logs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/deploy/local/logs"
)

// Batches with overlapping times, in small files and small pages: every event is read once, in the order of time and then of arrival.
func TestPagesHoldEveryEventOnceInOrderInBothDirections(t *testing.T) {
	for _, budget := range []int64{0, 1} { // 1: each call reads no more than it has to
		t.Run(fmt.Sprint("budget ", budget), func(t *testing.T) {
			w := open(t, func(o *logs.Options) { o.SegmentBytes, o.ScanBytes = 100<<10, budget })
			w.create()
			type stored struct {
				ts      int64
				message string
			}
			var want []stored
			random := rand.New(rand.NewPCG(1, 2))
			for batch := range 40 {
				var events []types.InputLogEvent
				at := now - random.Int64N(3000)
				for i := range 1 + random.IntN(60) {
					at += random.Int64N(20)
					message := fmt.Sprint(batch, " ", i, " ", strings.Repeat("x", random.IntN(2000)))
					events, want = append(events, line(at, message)), append(want, stored{at, message})
				}
				w.put(events...)
				if batch%10 == 0 {
					w.reopen()
				}
			}
			slices.SortStableFunc(want, func(a, b stored) int { return int(a.ts - b.ts) })
			var ordered []string
			for _, e := range want {
				ordered = append(ordered, e.message)
			}
			for _, limit := range []int32{1000, 77} {
				head := w.read(client.GetLogEventsInput{StartFromHead: aws.Bool(true), Limit: &limit})
				equal(t, "forward", head, ordered)
				var back []string
				in := client.GetLogEventsInput{Limit: &limit}
				for {
					out := w.get(in)
					back = append(texts(out), back...)
					if in.NextToken != nil && *in.NextToken == *out.NextBackwardToken {
						break
					}
					in.NextToken = out.NextBackwardToken
				}
				equal(t, "backward", back, ordered)
			}
			some := w.read(client.GetLogEventsInput{StartFromHead: aws.Bool(true), StartTime: aws.Int64(now - 1000), EndTime: aws.Int64(now - 500)})
			var inside []string
			for _, e := range want {
				if now-1000 <= e.ts && e.ts < now-500 {
					inside = append(inside, e.message)
				}
			}
			equal(t, "a time range, its end exclusive", some, inside)
		})
	}
}

func TestAPageHoldsOneMebibyteAtMost(t *testing.T) {
	w := open(t)
	w.create()
	for i := range 5 {
		w.put(line(now+int64(i), strings.Repeat(fmt.Sprint(i), 400_000)))
	}
	out := w.get(client.GetLogEventsInput{})
	if len(out.Events) != 2 || *out.Events[0].Timestamp != now+3 || *out.Events[1].Timestamp != now+4 {
		t.Errorf("%d events, want the newest two", len(out.Events))
	}
	if got := w.readAll(); len(got) != 5 {
		t.Errorf("%d events by pages", len(got))
	}
}

func TestTheForwardTokenStaysAtTheEndAndSeesWhatComes(t *testing.T) {
	head := aws.Bool(true)
	var w *world
	for title, in := range map[string]client.GetLogEventsInput{"from the head": {StartFromHead: head}, "from the tail": {}} {
		w = open(t)
		w.create()
		empty := w.get(in)
		again := w.get(client.GetLogEventsInput{StartFromHead: head, NextToken: empty.NextForwardToken})
		if len(again.Events) != 0 || *again.NextForwardToken != *empty.NextForwardToken {
			t.Errorf("%s: the token of an empty stream changed", title)
		}
		w.put(line(now, "one"))
		equal(t, title, texts(w.get(client.GetLogEventsInput{StartFromHead: head, NextToken: empty.NextForwardToken})), []string{"one"})
	}
	last := w.get(client.GetLogEventsInput{})
	w.put(line(now+1, "later"))
	next := w.get(client.GetLogEventsInput{StartFromHead: head, NextToken: last.NextForwardToken})
	equal(t, "behind the last page", texts(next), []string{"later"})
	equal(t, "and back", texts(w.get(client.GetLogEventsInput{NextToken: next.NextBackwardToken})), texts(last))
}

func TestTokensAreHeldToWhatTheyAreFor(t *testing.T) {
	w := open(t)
	w.create()
	w.createStream("other")
	w.put(line(now, "x"))
	page := w.get(client.GetLogEventsInput{})
	for title, in := range map[string]client.GetLogEventsInput{
		"a forward token without startFromHead": {NextToken: page.NextForwardToken},
		"a token of another stream":             {NextToken: page.NextBackwardToken, LogStreamName: aws.String("other")},
		"a made-up token":                       {NextToken: aws.String("f/abc"), StartFromHead: aws.Bool(true)},
		"a token without direction":             {NextToken: aws.String("abc")},
		"a limit of 0":                          {Limit: aws.Int32(0)},
		"a limit of 10,001":                     {Limit: aws.Int32(10_001)},
	} {
		t.Run(title, func(t *testing.T) {
			in.LogGroupName = group
			if in.LogStreamName == nil {
				in.LogStreamName = stream
			}
			_, err := w.GetLogEvents(t.Context(), &in)
			wantCode(t, err, "InvalidParameterException")
		})
	}
	_, err := w.GetLogEvents(t.Context(), &client.GetLogEventsInput{LogGroupName: group, LogGroupIdentifier: group, LogStreamName: stream})
	wantCode(t, err, "InvalidParameterException")
}

func TestEventsAreSeenAfterTheVisibilityDelay(t *testing.T) {
	w := open(t, func(o *logs.Options) { o.VisibilityDelay = 2 * time.Second })
	w.create()
	w.put(line(now, "one"))
	w.clock.advance(time.Second)
	w.put(line(now, "two"))
	early := w.get(client.GetLogEventsInput{})
	equal(t, "before the delay", texts(early), []string{})
	w.clock.advance(time.Second)
	equal(t, "after the first one's", w.readAll(), []string{"one"})
	equal(t, "by search", w.search(client.FilterLogEventsInput{}), []string{"one"})
	w.clock.advance(time.Second)
	equal(t, "after both", w.readAll(), []string{"one", "two"})
	equal(t, "on from the empty page", texts(w.get(client.GetLogEventsInput{StartFromHead: aws.Bool(true), NextToken: early.NextForwardToken})), []string{"one", "two"})
}

// The newest block holds only what is not seen yet, and the call may read no other: the empty page lies between the two blocks.
func TestAnEmptyPageStandsWhereReadingStopped(t *testing.T) {
	w := open(t, func(o *logs.Options) { o.VisibilityDelay, o.ScanBytes = 2*time.Second, 1 })
	w.create()
	large := strings.Repeat("x", 70<<10)
	w.put(line(now, "one"+large))
	w.clock.advance(3 * time.Second)
	w.put(line(now+1, "two"+large))
	page := w.get(client.GetLogEventsInput{})
	equal(t, "page", texts(page), []string{})
	equal(t, "before it", texts(w.get(client.GetLogEventsInput{NextToken: page.NextBackwardToken})), []string{"one" + large})
	w.clock.advance(3 * time.Second)
	equal(t, "behind it", texts(w.get(client.GetLogEventsInput{StartFromHead: aws.Bool(true), NextToken: page.NextForwardToken})), []string{"two" + large})
}

func TestExpiredEventsAreOutOfSightAndTheirFilesGo(t *testing.T) {
	w := open(t, func(o *logs.Options) { o.SegmentBytes = 1000 })
	w.create()
	w.retain(1)
	for i := range 10 {
		w.put(line(now+int64(i), fmt.Sprint(i, strings.Repeat("x", 600))))
	}
	w.clock.advance(24*time.Hour + time.Millisecond)
	if got := w.readAll(); len(got) != 9 {
		t.Errorf("%d events a day later, want 9", len(got))
	}
	before := len(segments(t, w.dir))
	w.clock.advance(time.Hour)
	equal(t, "an hour later", w.readAll(), nil)
	if after := len(segments(t, w.dir)); before < 5 || after != 1 {
		t.Errorf("%d files became %d, want one", before, after)
	}
	at := now + 26*hour
	w.clock.advance(time.Hour)
	w.put(line(at, "new"))
	w.reopen()
	equal(t, "events", w.readAll(), []string{"new"})
}

func TestTheInfrequentAccessClassHasNoReads(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	if _, err := w.CreateLogGroup(ctx, &client.CreateLogGroupInput{LogGroupName: group, LogGroupClass: types.LogGroupClassInfrequentAccess}); err != nil {
		t.Fatal(err)
	}
	w.createStream(*stream)
	w.put(line(now, "x"))
	_, err := w.GetLogEvents(ctx, &client.GetLogEventsInput{LogGroupName: group, LogStreamName: stream})
	wantCode(t, err, "InvalidOperationException")
	_, err = w.FilterLogEvents(ctx, &client.FilterLogEventsInput{LogGroupName: group})
	wantCode(t, err, "InvalidOperationException")
}
