package logtail_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/cmd/internal/logtail"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/logs"
)

// shop has four groups, two streams in one of them.
func shop(w *world) (at time.Time) {
	at = serviceNow().Add(-time.Minute)
	for _, g := range []string{"/tributary/condor", "/tributary/condor/errors", "/tributary/crane", "/other"} {
		w.createGroup(g)
	}
	w.put("/tributary/condor", "shardId-0", line(at, "0 ERROR disk"), line(at.Add(2*time.Second), "2 ok"), line(at.Add(6*time.Second), "6 ok"))
	w.put("/tributary/condor", "shardId-1", line(at.Add(time.Second), "1 ok"), line(at.Add(4*time.Second), "4 ERROR net"))
	w.put("/tributary/condor/errors", "shardId-0", line(at, "0 ERROR disk"))
	w.put("/tributary/crane", "shardId-0", line(at.Add(3*time.Second), "3 ok"), line(at.Add(5*time.Second), "5 ERROR disk"))
	w.put("/other", "x", line(at, "other"))
	return at
}

func TestASearchGoesAcrossStreamsAndGroupsInTheOrderOfTime(t *testing.T) {
	for _, scan := range []int64{0, 1} { // with 1 a page is empty although there is more
		t.Run(fmt.Sprint("scan ", scan), func(t *testing.T) {
			inWorld(t, logs.Options{ScanBytes: scan}, func(t *testing.T, w *world) {
				at := shop(w)
				const condor0, condor1, crane, errs = "/tributary/condor shardId-0 ", "/tributary/condor shardId-1 ", "/tributary/crane shardId-0 ", "/tributary/condor/errors shardId-0 "
				condor := []string{condor0 + "0 ERROR disk", condor1 + "1 ok", condor0 + "2 ok", condor1 + "4 ERROR net", condor0 + "6 ok"}
				both := []string{condor[0], condor[1], condor[2], crane + "3 ok", condor[3], crane + "5 ERROR disk", condor[4]}
				except := patterns(t, "/tributary/*")
				except[0].Except = "/errors"
				for title, c := range map[string]struct {
					q    logtail.Query
					want []string
				}{
					"one group":                       {logtail.Query{Groups: patterns(t, "/tributary/condor")}, condor},
					"two groups":                      {logtail.Query{Groups: patterns(t, "/tributary/crane", "/tributary/condor")}, both},
					"a group that is named twice":     {logtail.Query{Groups: patterns(t, "/tributary/condor", "/tributary/con*or", "/tributary/condor")}, condor},
					"all below a folder":              {logtail.Query{Groups: patterns(t, "/tributary/")}, slices.Concat([]string{both[0], errs + "0 ERROR disk"}, both[1:])},
					"all by a star, but for some":     {logtail.Query{Groups: except}, both},
					"all that begin and end so":       {logtail.Query{Groups: patterns(t, "/tributary/*/errors")}, []string{errs + "0 ERROR disk"}},
					"the same, by what lies below":    {logtail.Query{Groups: []logtail.Pattern{patterns(t, "/tributary/*")[0].Under("/errors")}}, []string{errs + "0 ERROR disk"}},
					"a group's errors":                {logtail.Query{Groups: []logtail.Pattern{patterns(t, "/tributary/condor")[0].Under("/errors")}}, []string{errs + "0 ERROR disk"}},
					"every group":                     {logtail.Query{Groups: patterns(t, "*"), Filter: "other"}, []string{"/other x other"}},
					"a filter, as it is":              {logtail.Query{Groups: patterns(t, "/tributary/condor", "/tributary/crane"), Filter: "ERROR -net"}, []string{both[0], both[5]}},
					"one shard":                       {logtail.Query{Groups: patterns(t, "/tributary/condor"), Streams: "shardId-1"}, []string{condor[1], condor[3]}},
					"a limit":                         {logtail.Query{Groups: patterns(t, "/tributary/condor", "/tributary/crane"), Limit: 4}, both[:4]},
					"the begin is in, the end is not": {logtail.Query{Groups: patterns(t, "/tributary/condor", "/tributary/crane"), Since: at.Add(time.Second), Until: at.Add(4 * time.Second)}, both[1:4]},
					"nothing":                         {logtail.Query{Groups: patterns(t, "/tributary/condor"), Since: at.Add(time.Hour)}, nil},
				} {
					found, err := w.search(c.q)
					if err != nil || !slices.Equal(found, c.want) {
						t.Errorf("%s: %v\n got %q\nwant %q", title, err, found, c.want)
					}
				}
			})
		})
	}
}

func TestTwentyThousandEventsComeByPagesAtAPaceThatIsNotThrottled(t *testing.T) {
	inWorld(t, logs.Options{Limits: true, ScanBytes: 200 << 10}, func(t *testing.T, w *world) {
		at := serviceNow().Add(-time.Hour)
		const groups, streams, each = 2, 2, 5_000
		for g := range groups {
			name := fmt.Sprint("/tributary/", g)
			w.createGroup(name)
			for s := range streams {
				var events []types.InputLogEvent
				for n := range each {
					n = n*groups*streams + s*groups + g
					events = append(events, line(at.Add(time.Duration(n)*time.Millisecond), fmt.Sprint(n)+" of a line that is somewhat longer"))
				}
				for batch := range slices.Chunk(events, 500) {
					w.put(name, fmt.Sprint(s), batch...)
				}
			}
		}
		next := 0
		err := w.reader(logtail.Query{Groups: patterns(t, "/tributary/*"), Since: at}).Search(t.Context(), func(e logtail.Event) error {
			if !strings.HasPrefix(e.Message, fmt.Sprint(next, " ")) || e.Time != at.Add(time.Duration(next)*time.Millisecond).UTC() {
				return fmt.Errorf("event %d is %q of %s", next, e.Message, e.Time)
			}
			next++
			return nil
		})
		pages := len(w.called("FilterLogEvents"))
		if err != nil || next != groups*streams*each || pages < 6 {
			t.Fatalf("%d events in %d calls: %v", next, pages, err)
		}
		// All pages of it but the last are empty.
		last, err := w.search(logtail.Query{Groups: patterns(t, "/tributary/*"), Since: at, Filter: `"19999 of"`})
		calls := w.called("FilterLogEvents")
		if err != nil || len(last) != 1 || len(calls)-pages < 6 {
			t.Fatalf("%q in %d calls: %v", last, len(calls)-pages, err)
		}
		for i := range calls[1:] {
			if gap := calls[i+1].Sub(calls[i]); gap < time.Second/4 {
				t.Errorf("calls %s apart", gap)
			}
		}
		if len(w.told()) > 0 {
			t.Errorf("it logged %q", w.told())
		}
	})
}

func TestThrottledAndFailingCallsAreMadeAgainMoreAndMoreSlowly(t *testing.T) {
	for _, action := range []fault.Action{fault.Throttle, fault.Error} {
		t.Run(string(action), func(t *testing.T) {
			inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
				shop(w)
				if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "FilterLogEvents", Action: action, Count: 6}}); err != nil {
					t.Fatal(err)
				}
				found, err := w.search(logtail.Query{Groups: patterns(t, "/tributary/condor")})
				calls := w.called("FilterLogEvents")
				if err != nil || len(found) != 5 || len(calls) != 7 {
					t.Fatalf("%d events in %d calls: %v", len(found), len(calls), err)
				}
				if first, last := calls[1].Sub(calls[0]), calls[6].Sub(calls[5]); first < 250*time.Millisecond || last < 5*time.Second {
					t.Errorf("waited %s first and %s in the end", first, last)
				}
				if len(w.told()) != 1 {
					t.Errorf("it logged %q", w.told())
				}
			})
		})
	}
}

func TestWhatDoesNotAnswerIsGivenUp(t *testing.T) {
	inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
		shop(w)
		if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "FilterLogEvents", Action: fault.Error}}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := w.search(logtail.Query{Groups: patterns(t, "/tributary/condor")})
		if err == nil || errors.Is(err, logtail.ErrRefused) || !strings.Contains(err.Error(), "FilterLogEvents of /tributary/condor, tried ") || time.Since(began) > 31*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestAnAnswerThatWouldStayTheSameIsOneClearError(t *testing.T) {
	deny := func(action string) func(string) *http.Response {
		return func(operation string) *http.Response {
			if operation != action {
				return nil
			}
			body := `{"__type":"AccessDeniedException","message":"User: arn:aws:iam::1:user/x is not authorized"}`
			return &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body))}
		}
	}
	for title, c := range map[string]struct {
		groups []string
		filter string
		answer func(string) *http.Response
		want   string
	}{
		"a group that is not there":           {groups: []string{"/tributary/condr"}, want: "log group /tributary/condr does not exist; the nearest: /tributary/condor, /tributary/crane, /tributary/condor/errors"},
		"nor its folder":                      {groups: []string{"/tribtary/crane"}, want: "log group /tribtary/crane does not exist; the nearest: /tributary/crane, "},
		"a star that fits nothing":            {groups: []string{"/tributary/z*"}, want: "there is no log group /tributary/z*; the nearest: /tributary/"},
		"no right to read":                    {groups: []string{"/tributary/crane"}, answer: deny("FilterLogEvents"), want: "not allowed to call logs:FilterLogEvents on log group /tributary/crane: User: arn:aws:iam::1:user/x is not authorized"},
		"no right to list":                    {groups: []string{"/tributary/*"}, answer: deny("DescribeLogGroups"), want: "not allowed to call logs:DescribeLogGroups on log group /tributary/*: User"},
		"no right to look for what was meant": {groups: []string{"/nowhere/x"}, answer: deny("DescribeLogGroups"), want: "log group /nowhere/x does not exist"},
		"a filter nobody understands":         {groups: []string{"/tributary/crane"}, filter: `"open`, want: "logs:FilterLogEvents on log group /tributary/crane is refused: InvalidParameterException: "},
		"a class without searches":            {groups: []string{"/rare"}, want: "is of log-group-class INFREQUENT_ACCESS"},
		"more groups than are read at once":   {groups: []string{"/tributary/*", "/o*", "/rare"}, want: "/tributary/*, /o*, /rare names more than 4 log groups: name fewer"},
	} {
		t.Run(title, func(t *testing.T) {
			inWorld(t, logs.Options{}, func(t *testing.T, w *world) {
				shop(w)
				rare := "/rare"
				if _, err := w.client.CreateLogGroup(t.Context(), &client.CreateLogGroupInput{LogGroupName: &rare, LogGroupClass: types.LogGroupClassInfrequentAccess}); err != nil {
					t.Fatal(err)
				}
				w.mu.Lock()
				w.answer = c.answer
				w.mu.Unlock()
				began := time.Now()
				_, err := w.search(logtail.Query{Groups: patterns(t, c.groups...), Filter: c.filter}, func(cfg *logtail.Config) { cfg.MaxGroups = 4 })
				if !errors.Is(err, logtail.ErrRefused) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got  %v\nwant %s", err, c.want)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestAPatternIsReadOrRefused(t *testing.T) {
	for text, want := range map[string]string{"/a/b": "/a/b", "/a/": "/a/*", "/a/*": "/a/*", "*": "*", "/a*b": "/a*b", "": "", "/a/**": "", "a b": "", "arn:aws:logs:x": "", "/ä": ""} {
		p, err := logtail.ParsePattern(text)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

func TestWrongConfigurationsAndQueriesAreRefusedAsAWhole(t *testing.T) {
	_, err := logtail.New(logtail.Config{}, logtail.Query{Limit: -1, Since: time.Unix(2, 0), Until: time.Unix(1, 0)}, nil, nil)
	for _, want := range []string{"calls per second", "attempt timeout", "interval", "relist", "groups are 0", "remembered", "no log group", "limit is -1", "not after its begin"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
