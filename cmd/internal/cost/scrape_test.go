package cost_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/cmd/internal/cost"
)

const gib = "1.073741824e+09"

func TestWorkersSayWhatTheyHaveSentSinceTheyWereStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Truncate(time.Second)
		f := fleet{
			"one": {text: metrics(now.Add(-73*time.Hour),
				`sent_bytes_total{service="shop"} `+gib, `sent_bytes_total{service="pay"} 3`, `saved_bytes_total{service="shop"} 2.147483648e+09`,
				`lines_total{level="INFO",service="shop"} 70`, `lines_total{level="ERROR",service="shop"} 5`, `lines_total{level="FATAL",service="pay"} 1`,
				`lines_total{level="NONE",service="mail"} 9`, `saved_bytes_total{service="mail"} 900`,
				`sent_cost_total{currency="JPY",price_date="2026-01-01",service="shop"} 1`)},
			"two": {text: metrics(now.Add(-730*time.Hour),
				`sent_bytes_total{service="shop"} `+gib, `lines_total{level="WARN",service="shop"} 30`,
				`sent_cost_total{currency="USD",price_date="2026-06-01",service="shop"} 0.5`)},
		}
		r, err := f.scraper(t).SinceStart(t.Context(), []string{"http://one/metrics", "http://two/metrics"})
		if err != nil {
			t.Fatal(err)
		}
		const want = "shop 105 5 2147483648 2147483648 1.00 1.00 5.50 10.00 100.0%\n" + // ten times one, and once two
			"pay 1 1 3 0 <0.01 0.00 <0.01 0.00 0.0%\n" +
			"mail 9 0 0 900 0.00 <0.01 0.00 <0.01 0.0%\n" +
			" 115 6 2147483651 2147484548 1.00 1.00 5.50 10.00 100.0%\n"
		if got := short(r); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if len(r.Workers) != 2 || r.Workers[0].Seconds != 73*3600 || r.Workers[0].OtherPrice != "JPY of 2026-01-01" || r.Workers[1].OtherPrice != "" {
			t.Errorf("%+v", r.Workers)
		}
		const line = " events errors sent_bytes saved_bytes sent_money saved_money sent_money_per_month saved_money_per_month share"
		if got, want := names(t, r), "price per_gb currency date workers url seconds other_price url seconds services"+strings.Repeat(" service"+line, 3)+" total"+line; got != want {
			t.Errorf("the names of JSON are\n%s\nwant\n%s", got, want)
		}
	})
}

func TestTwoLooksTellWhatWasSentBetweenThem(t *testing.T) {
	started := time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC)
	look := func(sent, lines string) string {
		return metrics(started, `sent_bytes_total{service="shop"} `+sent, `lines_total{level="ERROR",service="shop"} `+lines)
	}
	const again = "started again between the two looks"
	for name, c := range map[string]struct{ then, want, fails string }{
		"more":            {look("1073742824", "25"), "shop 15 15 1073741824 0 0.50 0.00 18,000.00 0.00 100.0%\n 15 15 1073741824 0 0.50 0.00 18,000.00 0.00 100.0%\n", ""}, // 730 h are 36,000 times 73 s
		"nothing more":    {look("1000", "10"), "shop 0 0 0 0 0.00 0.00 0.00 0.00 0.0%\n 0 0 0 0 0.00 0.00 0.00 0.00 0.0%\n", ""},
		"another start":   {metrics(started.Add(time.Second), `sent_bytes_total{service="shop"} 2000`), "", again},
		"fewer lines":     {look("2000", "9"), "", again},
		"no service":      {metrics(started), "", again},
		"not its metrics": {"go_goroutines 1\n", "", "nothing of tributary is there"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, began := fleet{"one": {text: look("1000", "10"), then: c.then}}, time.Now()
				r, err := f.scraper(t).Over(t.Context(), []string{"http://one/metrics"}, 73*time.Second)
				if took := time.Since(began); took != 73*time.Second {
					t.Errorf("it took %v", took)
				}
				if c.fails != "" {
					if err == nil || !strings.Contains(err.Error(), c.fails) {
						t.Error(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := short(r); got != c.want {
					t.Errorf("got\n%swant\n%s", got, c.want)
				}
			})
		})
	}
}

func TestTheWaitForTheSecondLookEndsByCtrlC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := fleet{"one": {text: metrics(time.Now())}}
		if _, err := f.scraper(t).Over(ctx, []string{"http://one/metrics"}, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestWhatIsNoWorkerOfCloudWatchLogsIsToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		worker *worker
		want   string
		unfit  bool
	}{
		"nobody there":            {nil, "connection refused", false},
		"a forwarder":             {&worker{text: "tributary_forwarder_lines_total 1\ntributary_spool_bytes 2\n"}, "a forwarder was asked", true},
		"a worker of the lake":    {&worker{text: "tributary_lake_rows_total 1\n"}, "a worker of the lake was asked", true},
		"another part of it":      {&worker{text: "tributary_else 1\n"}, "another process of tributary was asked", true},
		"another program":         {&worker{text: "go_goroutines 1\n"}, "nothing of tributary is there", true},
		"a page":                  {&worker{text: "<html>\n"}, "text format parsing error", true},
		"a page that is missing":  {&worker{status: http.StatusNotFound}, "answers 404 Not Found", true},
		"more than anybody holds": {&worker{text: strings.Repeat("# much of nothing\n", 2<<20)}, "more than 32 MiB", true},
		"a count of half":         {&worker{text: metrics(time.Now(), `sent_bytes_total{service="x"} 0.5`)}, "sent_bytes_total: 0.5 is no count", true},
		"a count below zero":      {&worker{text: metrics(time.Now(), `lines_total{service="x"} -1`)}, "-1 is no count", true},
		"no number":               {&worker{text: metrics(time.Now(), `saved_bytes_total{service="x"} NaN`)}, "NaN is no count", true},
		"more than there is":      {&worker{text: metrics(time.Now(), `saved_bytes_total{service="x"} +Inf`)}, "+Inf is no count", true},
		"no start":                {&worker{text: "tributary_cloudwatch_puts_total 0\n"}, "look twice, with --over", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := fleet{}
			if c.worker != nil {
				f["one"] = c.worker
			}
			_, err := f.scraper(t).SinceStart(t.Context(), []string{"http://one/metrics"})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "http://one/metrics") || errors.Is(err, cost.ErrUnfit) != c.unfit {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAWorkerThatHasJustBeenStartedSaysNothingOfAMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet{"one": {text: metrics(time.Now().Add(time.Minute), `sent_bytes_total{service="a"} 1`, `sent_bytes_total{service="b"} `+gib)}}
		r, err := f.scraper(t).SinceStart(t.Context(), []string{"http://one/metrics"})
		if err != nil {
			t.Fatal(err)
		}
		const want = "b 0 0 1073741824 0 0.50 0.00 - - 100.0%\na 0 0 1 0 <0.01 0.00 - - 0.0%\n 0 0 1073741825 0 0.50 0.00 - - 100.0%\n"
		if got := short(r); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if text, err := json.Marshal(r.Total); err != nil || !strings.Contains(string(text), `"sent_money":0.500000,"saved_money":0.000000,"sent_money_per_month":null`) {
			t.Errorf("%v %s", err, text)
		}
	})
}

func TestAddressesOfMetrics(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:8080":           "http://127.0.0.1:8080/metrics",
		"worker":                   "http://worker/metrics",
		"https://worker:1/":        "https://worker:1/metrics",
		"http://worker/own?x=1":    "http://worker/own?x=1",
		"ftp://worker":             "",
		"http://":                  "",
		"http://a b":               "",
		"":                         "",
		"http://[::1]:8080/metric": "http://[::1]:8080/metric",
	} {
		got, err := cost.MetricsURL(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func FuzzAnyAnswerIsReadOrRefused(f *testing.F) {
	f.Add(metrics(time.Unix(1e9, 0), `sent_bytes_total{service="a\"\\\n"} 1`, `lines_total{service="a",level="ERROR"} 2`, `saved_bytes_total{} 1e300`))
	f.Add("# TYPE tributary_cloudwatch_puts_total histogram\ntributary_cloudwatch_puts_total_bucket{le=\"x\"} 1\n")
	f.Add("# TYPE process_start_time_seconds counter\nprocess_start_time_seconds 1e400\ntributary_cloudwatch_puts_total 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		w := fleet{"one": {text: text}}
		r, err := w.scraper(t).SinceStart(t.Context(), []string{"http://one/metrics"})
		if err != nil {
			if !errors.Is(err, cost.ErrUnfit) {
				t.Fatal(err)
			}
			return
		}
		var sum int64
		for _, l := range r.Services {
			sum += l.SentBytes
		}
		if sum != r.Total.SentBytes || sum < 0 {
			t.Fatalf("%d of %d", sum, r.Total.SentBytes)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
	})
}
