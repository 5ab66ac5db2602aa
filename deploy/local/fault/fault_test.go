package fault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tributary/deploy/local/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRuleHitsEveryNthMatchingCall(t *testing.T) {
	tests := map[string]struct {
		rules []fault.Rule
		calls []string // service/operation
		want  []fault.Action
	}{
		"no rule does nothing": {nil, []string{"s3/PutObject"}, []fault.Action{""}},
		"a rule without Every hits each call": {
			[]fault.Rule{{Action: fault.Error}},
			[]string{"s3/PutObject", "kinesis/PutRecords"}, []fault.Action{fault.Error, fault.Error}},
		"Every 2 hits the second and the fourth": {
			[]fault.Rule{{Action: fault.Throttle, Every: 2}},
			[]string{"s3/A", "s3/A", "s3/A", "s3/A"}, []fault.Action{"", fault.Throttle, "", fault.Throttle}},
		"calls of other operations are not counted": {
			[]fault.Rule{{Service: "s3", Operation: "A", Action: fault.Throttle, Every: 2}},
			[]string{"s3/A", "s3/B", "kinesis/A", "s3/A"}, []fault.Action{"", "", "", fault.Throttle}},
		"a star matches any": {
			[]fault.Rule{{Service: "*", Operation: "*", Action: fault.Error}}, []string{"s3/A"}, []fault.Action{fault.Error}},
		"Count bounds the hits": {
			[]fault.Rule{{Action: fault.Error, Count: 1}}, []string{"s3/A", "s3/A"}, []fault.Action{fault.Error, ""}},
		"the first rule that hits decides and the later keeps its hit": {
			[]fault.Rule{{Action: fault.Error, Every: 2}, {Action: fault.Throttle, Count: 2}},
			[]string{"s3/A", "s3/A", "s3/A", "s3/A"}, []fault.Action{fault.Throttle, fault.Error, fault.Throttle, fault.Error}},
		"rules for records do not befall calls": {
			[]fault.Rule{{Action: fault.ThrottleRecords}, {Action: fault.FailRecords}, {Action: fault.Stale}}, []string{"s3/A"}, []fault.Action{""}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var set fault.Set
			if err := set.Replace(test.rules); err != nil {
				t.Fatal(err)
			}
			for i, call := range test.calls {
				service, operation, _ := strings.Cut(call, "/")
				if got := set.Next(service, operation).Action; got != test.want[i] {
					t.Errorf("call %d (%s): got %q, want %q", i, call, got, test.want[i])
				}
			}
		})
	}
}

func TestAShareIsHitAtRandomAndTheSameBySeed(t *testing.T) {
	const calls, share = 100_000, 0.02
	hits := func(seed uint64) (out []int) {
		var set fault.Set
		if err := set.Replace([]fault.Rule{{Action: fault.FailRecords, Share: share, Seed: seed}}); err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			if set.Strikes(fault.FailRecords, "kinesis", "PutRecords") {
				out = append(out, i)
			}
		}
		return out
	}
	first := hits(7)
	// Six deviations of a fair coin of this share are 266 calls.
	if n := len(first); n < 1734 || n > 2266 {
		t.Errorf("%d of %d calls are hit, want some %v", n, calls, share*calls)
	}
	if !slices.Equal(first, hits(7)) {
		t.Error("the same seed hits other calls")
	}
	var neighbours, far int // gaps of a fair coin: 2 % are 1, and 13 % above 100
	for i := range first[1:] {
		switch gap := first[i+1] - first[i]; {
		case gap == 1:
			neighbours++
		case gap > 100:
			far++
		}
	}
	if neighbours < 10 || neighbours > 90 || far < 180 || far > 360 {
		t.Errorf("of %d hits %d follow at once and %d after 100 calls", len(first), neighbours, far)
	}
	both, of := 0, make(map[int]bool)
	for _, i := range first {
		of[i] = true
	}
	for _, i := range hits(8) {
		if of[i] {
			both++
		}
	}
	if both > 90 {
		t.Errorf("%d calls are hit by either seed: they do not differ", both)
	}
}

func TestStrikesCountsOnlyItsOwnAction(t *testing.T) {
	var set fault.Set
	if err := set.Replace([]fault.Rule{{Action: fault.ThrottleRecords, Every: 3}, {Action: fault.Stale}}); err != nil {
		t.Fatal(err)
	}
	var hits []int
	for i := range 7 {
		if set.Strikes(fault.ThrottleRecords, "kinesis", "PutRecords") {
			hits = append(hits, i)
		}
	}
	if len(hits) != 2 || hits[0] != 2 || hits[1] != 5 {
		t.Errorf("records hit: %v, want [2 5]", hits)
	}
	status := set.Rules()
	if status[0].Calls != 7 || status[0].Hits != 2 || status[1].Calls != 0 {
		t.Errorf("status %+v", status)
	}
	if (*fault.Set)(nil).Strikes(fault.Stale, "s3", "GetObject") {
		t.Error("a nil set hit something")
	}
}

func TestReplaceNamesEveryFaultAndChangesNothing(t *testing.T) {
	var set fault.Set
	if err := set.Replace([]fault.Rule{{Action: fault.Error}}); err != nil {
		t.Fatal(err)
	}
	err := set.Replace([]fault.Rule{
		{Action: "explode"}, {Action: fault.Delay}, {Action: fault.Throttle, Delay: time.Second},
		{Action: fault.Error, Status: 503}, {Service: "td", Action: fault.Throttle, Status: 429}, {Service: "td", Action: fault.Error, Status: 200},
		{Service: "kinesys", Action: fault.Error}, {Action: fault.Error, Every: -1}, {Action: fault.Error, Count: -1},
		{Action: fault.Error, Share: 1.5}, {Action: fault.Error, Share: math.NaN()}, {Action: fault.Error, Share: 0.5, Every: 2}, {Action: fault.Error, Seed: 3},
	})
	if err == nil {
		t.Fatal("wrong rules were taken")
	}
	for _, want := range []string{`"explode"`, "more than 0s", "does not wait", `"kinesys"`, "every -1", "count -1", "share 1.5", "share NaN", "every 2 and share 0.5", "seed 3", "status 503", "status 429", "status 200"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
	if set.Next("s3", "A").Action != fault.Error {
		t.Error("the earlier rule is gone")
	}
}

// endpoint is a service that remembers what was committed.
func endpoint(t *testing.T, set *fault.Set) (url string, commits *atomic.Int64) {
	commits = new(atomic.Int64)
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Context().Err() != nil || string(body) != "payload" {
			t.Errorf("service saw body %q, read error %v, context %v", body, err, r.Context().Err())
		}
		commits.Add(1)
		io.WriteString(w, "done")
	})
	throttle := func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) }
	operation := func(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }
	srv := httptest.NewServer(set.Handler("s3", operation, throttle, service))
	t.Cleanup(srv.Close)
	return srv.URL, commits
}

func post(ctx context.Context, url string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("payload"))
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestHandlerAppliesTheFault(t *testing.T) {
	tests := map[string]struct {
		rule    fault.Rule
		status  int // 0: the client sees an error
		commits int64
	}{
		"a throttled call is not done":             {fault.Rule{Action: fault.Throttle}, 400, 0},
		"a failed call is not done":                {fault.Rule{Action: fault.Error}, 500, 0},
		"a delayed call is done":                   {fault.Rule{Action: fault.Delay, Delay: time.Millisecond}, 200, 1},
		"a call whose response is lost is done":    {fault.Rule{Action: fault.LoseResponse}, 0, 1},
		"a call whose commit is delayed is done":   {fault.Rule{Action: fault.DelayCommit, Delay: time.Millisecond}, 200, 1},
		"a call that no rule hits goes right thru": {fault.Rule{Operation: "Other", Action: fault.Error}, 200, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var set fault.Set
			if err := set.Replace([]fault.Rule{test.rule}); err != nil {
				t.Fatal(err)
			}
			url, commits := endpoint(t, &set)
			status, body, err := post(t.Context(), url+"/Put")
			if status != test.status || (err != nil) != (test.status == 0) {
				t.Errorf("client saw status %d, error %v; want status %d", status, err, test.status)
			}
			if status == 200 && body != "done" {
				t.Errorf("answer %q", body)
			}
			if got := commits.Load(); got != test.commits {
				t.Errorf("%d commits, want %d", got, test.commits)
			}
		})
	}
}

func TestDelayedCommitHappensAfterTheClientGaveUp(t *testing.T) {
	var set fault.Set
	if err := set.Replace([]fault.Rule{{Action: fault.DelayCommit, Delay: maxWait}}); err != nil {
		t.Fatal(err)
	}
	url, commits := endpoint(t, &set)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, _, err := post(ctx, url+"/Put"); err == nil {
		t.Fatal("the client got an answer in time")
	}
	if commits.Load() != 0 {
		t.Fatal("committed before the delay was over")
	}
	if err := set.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if commits.Load() != 1 {
		t.Errorf("%d commits after the drain, want 1", commits.Load())
	}
}

const maxWait = 5 * time.Minute // never reached: Drain ends the wait

func TestDelayIsAsLongAsTheRuleSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set fault.Set
		if err := set.Replace([]fault.Rule{{Action: fault.DelayCommit, Delay: 3 * time.Second}}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var committed time.Duration
		h := set.Handler("s3", func(*http.Request) string { return "Put" }, nil,
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) { committed = time.Since(start) }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "PUT", "/", strings.NewReader("x")))
		if committed != 3*time.Second {
			t.Errorf("committed after %s, want 3s", committed)
		}
	})
}

func TestAdminShowsReplacesAndRemovesRules(t *testing.T) {
	var set fault.Set
	srv := httptest.NewServer(set.Admin())
	defer srv.Close()
	do := func(method, body string) (int, string) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, srv.URL, strings.NewReader(body))
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(bytes.TrimSpace(b))
	}
	const rule = `{"service":"kinesis","operation":"PutRecords","action":"delay","every":50,"delay":"3s"}`
	if code, got := do("GET", ""); code != 200 || got != "[]" {
		t.Errorf("GET without rules: %d %s", code, got)
	}
	if code, got := do("PUT", "["+rule+"]"); code != 200 || got != "["+strings.TrimSuffix(rule, "}")+`,"calls":0,"hits":0}]` {
		t.Errorf("PUT: %d %s", code, got)
	}
	for _, wrong := range []string{`{}`, `[{"action":"delay","dealy":"3s"}]`, `[{"action":"delay","delay":"3 s"}]`, `[] []`, `[{"action":"no"}]`} {
		if code, _ := do("PUT", wrong); code != 400 {
			t.Errorf("PUT %s: %d, want 400", wrong, code)
		}
	}
	if got := set.Rules(); len(got) != 1 || got[0].Every != 50 || got[0].Delay != 3*time.Second {
		t.Errorf("rules after refused changes: %+v", got)
	}
	if code, got := do("DELETE", ""); code != 200 || got != "[]" {
		t.Errorf("DELETE: %d %s", code, got)
	}
	if code, _ := do("POST", "[]"); code != 405 {
		t.Errorf("POST: %d, want 405", code)
	}
}

func TestRuleSurvivesJSON(t *testing.T) {
	for _, want := range []fault.Rule{
		{Service: "s3", Operation: "PutObject", Action: fault.DelayCommit, Every: 7, Count: 2, Delay: 1500 * time.Millisecond},
		{Service: "td", Action: fault.Error, Status: 503},
		{Operation: "PutRecords", Action: fault.FailRecords, Share: 0.02, Seed: 1<<64 - 1},
	} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got fault.Rule
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("got %+v, %v from %s", got, err, text)
		}
	}
}
