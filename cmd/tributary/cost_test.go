package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/app"
)

// costWorker serves metrics at a moment that is two days and a half after its start.
func costWorker(t *testing.T, metrics string) (address string) {
	t.Helper()
	started := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", started.Add(60*time.Hour).Format(http.TimeFormat))
		fmt.Fprintf(w, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %d\n", started.Unix())
		_, _ = io.WriteString(w, metrics)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

const sinkMetrics = `# TYPE tributary_cloudwatch_puts_total counter
tributary_cloudwatch_puts_total 9
# TYPE tributary_cloudwatch_lines_total counter
tributary_cloudwatch_lines_total{level="INFO",service="condor"} 1.2e+08
tributary_cloudwatch_lines_total{level="ERROR",service="condor"} 34567
tributary_cloudwatch_lines_total{level="NONE",service="batch\\x"} 9.000001e+06
tributary_cloudwatch_lines_total{level="INFO",service="a-service-with-a-name-that-nobody-would-write-by-hand"} 3
# TYPE tributary_cloudwatch_sent_bytes_total counter
tributary_cloudwatch_sent_bytes_total{service="condor"} 6.4424509440e+10
tributary_cloudwatch_sent_bytes_total{service="batch\\x"} 1.073741824e+09
tributary_cloudwatch_sent_bytes_total{service="a-service-with-a-name-that-nobody-would-write-by-hand"} 300
# TYPE tributary_cloudwatch_saved_bytes_total counter
tributary_cloudwatch_saved_bytes_total{service="condor"} 2.147483648e+09
# TYPE tributary_cloudwatch_sent_cost_total counter
tributary_cloudwatch_sent_cost_total{currency="JPY",price_date="2025-01-01",service="condor"} 1
`

func TestCostOfWorkers(t *testing.T) {
	worker := costWorker(t, sinkMetrics)
	out, err := execute(t, "cost", "--metrics", worker)
	if err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "cost_workers.txt", strings.ReplaceAll(out, worker, "worker:8080"))
	for _, l := range strings.Split(out, "\n") {
		if len([]rune(l)) > columns {
			t.Errorf("more than %d columns: %s", columns, l)
		}
	}
	own, err := execute(t, "cost", "--set", "admin.listen="+worker, "--json")
	if err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "cost_workers.json", strings.ReplaceAll(own, worker, "worker:8080"))
}

var update = flag.Bool("update", false, "write the golden files anew")

func wantGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

const costRules = `realtime:
  price: {per_gb: 0, currency: USD, date: "2026-06-01"}
  filter:
    rules:
      - {name: errors, action: include, levels: [">=ERROR"]}
      - {name: debug, action: exclude, levels: ["<=DEBUG"]}
      - {name: health, action: exclude, fields: [{path: path, equals: [/health]}]}
      - {name: cart, action: exclude, services: [cart]}
`

func TestCostOfRulesThatNoWorkerHas(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	for range 3 {
		a.put(`{"service":"shop","level":"INFO","path":"/health"}`, `{"service":"shop","level":"DEBUG"}`, `{"service":"shop","level":"INFO","path":"/pay"}`)
	}
	a.put(`{"service":"cart","level":"INFO"}`, `{"service":"cart","level":"ERROR","path":"/health"}`, "a line of text")
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(costRules), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := execute(t, a.args("cost", "--sample", "10m", "--config", file, "--json")...)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Sample struct{ Stream string }
		Total  struct {
			Events     int `json:"events"`
			SavedBytes int `json:"saved_bytes"`
		}
		Rules []struct {
			Rule     string
			KeptBack int `json:"kept_back_events"`
		}
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(out))).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Sample.Stream != "logs" || r.Total.Events != 11 || r.Total.SavedBytes != 180+228+59 || len(r.Rules) != 4 || r.Rules[2].KeptBack != 3 {
		t.Errorf("%+v of %s", r, out)
	}
	out, err = execute(t, a.args("cost", "--sample", "10m", "--config", file)...)
	if err != nil {
		t.Fatal(err)
	}
	// The stream is as old as this test, more than the second that the first sample took.
	wantGolden(t, "cost_sample.txt", regexp.MustCompile(`in [0-9.m]+s, on`).ReplaceAllString(out, "in 5s, on"))
}

func TestWrongWaysToAskForCostAreToldInOneLine(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	forwarder := costWorker(t, "# TYPE tributary_forwarder_lines_total counter\ntributary_forwarder_lines_total 1\n")
	s := httptest.NewServer(nil)
	gone := s.Listener.Addr().String()
	s.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nobody there":          {[]string{"--metrics", gone}, "connection refused (is a worker running there? --metrics names another)"},
		"a forwarder":           {[]string{"--metrics", forwarder}, "a forwarder was asked, which writes to the stream alone"},
		"a worker twice":        {[]string{"--metrics", "w:1,http://w:1/metrics"}, "names http://w:1/metrics twice"},
		"no address":            {[]string{"--metrics", "ftp://w"}, "no address of metrics"},
		"no worker":             {[]string{"--set", "admin.listen="}, "no worker is named: set --metrics"},
		"both ways":             {[]string{"--sample", "10m", "--over", "1m"}, "leave one or the other out"},
		"a bound on nothing":    {[]string{"--max-bytes", "1GiB"}, "--sample reads, which is not set"},
		"no bound":              {[]string{"--sample", "10m", "--max-bytes", "much"}, `"much" is not a size`},
		"too little":            {[]string{"--sample", "10m", "--max-bytes", "1kB"}, "max-bytes is 1000, want 1MiB or more"},
		"no time":               {[]string{"--sample", "0s"}, "sample is 0s, want 1s to 8760h"},
		"more than is kept":     {[]string{"--sample", "72h"}, "stream logs keeps records for 24h"},
		"two looks in no time":  {[]string{"--over", "1ms"}, "--over is 1ms, want 1s to 24h"},
		"a stream that is none": {[]string{"--sample", "10m", "--stream", "sgol"}, "stream sgol cannot be read in us-east-1"},
		"a price that is none":  {[]string{"--sample", "10m", "--set", "realtime.price.per_gb=-1"}, "realtime.price.per_gb -1 is no price"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := execute(t, append(a.args("cost"), c.args...)...)
			if got := app.OneLine(err); app.Code(err) != 2 || !strings.Contains(got, c.want) {
				t.Errorf("exit %d: %s\nwant %q", app.Code(err), got, c.want)
			}
		})
	}
}
