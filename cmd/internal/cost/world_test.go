package cost_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"tributary/cmd/internal/cost"
	"tributary/deploy/local"
	"tributary/deploy/local/fault"
	"tributary/schema"
	"tributary/sinks/cloudwatch"
	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inProcess serves requests without a network.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	defer func() {
		if cut := recover(); cut == http.ErrAbortHandler {
			answer, err = nil, io.ErrUnexpectedEOF
		} else if cut != nil {
			panic(cut)
		}
	}()
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), nil)
	if r.Body != nil {
		received.Body = r.Body
	}
	received.Header, received.ContentLength = r.Header.Clone(), r.ContentLength
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, received)
	answer = rec.Result()
	if answer.Header.Get("Date") == "" {
		answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return answer, r.Context().Err()
}

// world is a stream on a clock of its own, by the real client and without a network.
type world struct {
	t      *testing.T
	api    *kinesis.Client
	faults *fault.Set
	dest   cloudwatch.Config
	cfg    cost.SampleConfig
}

const name = "logs"

// inBubble runs a test over a stream that was created an hour ago.
func inBubble(t *testing.T, shards int32, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := local.DefaultConfig()
		cfg.Dir = t.TempDir()
		w := &world{t: t, faults: new(fault.Set), dest: cloudwatch.DefaultConfig(), cfg: cost.DefaultSampleConfig()}
		endpoint, err := local.Open(cfg, slog.New(slog.DiscardHandler), local.WithFaults(w.faults))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := endpoint.Close(); err != nil {
				t.Error(err)
			}
		}()
		w.api = kinesis.NewFromConfig(aws.Config{
			Region: "us-east-1", BaseEndpoint: aws.String("http://endpoints.test"),
			Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
			HTTPClient:  &http.Client{Transport: inProcess{endpoint.Handler()}},
		})
		if _, err := w.api.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(name), ShardCount: &shards}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		test(w)
	})
}

// pass lets time pass; none does on a real clock.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// put puts a line n times, each as a record of its own, into the shard of a hash.
func (w *world) put(hash, line string, n int) {
	w.t.Helper()
	for range n {
		if _, err := w.api.PutRecord(w.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String(name), PartitionKey: aws.String("k"), ExplicitHashKey: &hash, Data: []byte(line)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// The hashes of the first shard and the last.
const (
	first = "0"
	last  = "340282366920938463463374607431768211455"
)

// addressed is a record of ours with one event for a group.
func (w *world) addressed(to, line string) string {
	w.t.Helper()
	e := schema.Event{Time: time.Now().UnixNano(), Kind: schema.KindApp, Origin: &schema.Origin{Service: "shop"}, Line: []byte(line)}
	data, err := schema.NewEncoder().Append(nil, &schema.Batch{Epoch: schema.Epoch{1}, To: to, Events: []schema.Event{e}})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

func (w *world) sampler() *cost.Sampler {
	w.t.Helper()
	s, err := cost.NewSampler(w.cfg, w.dest, schema.DefaultRules(), "tributary-realtime", w.api, stream.Ref{Name: name}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) sample() *cost.Report {
	w.t.Helper()
	r, err := w.sampler().Sample(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// worker serves metrics: at the second look those of then, if there are any.
type worker struct {
	text, then string
	status     int
	looks      int
}

func (m *worker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.status != 0 {
		w.WriteHeader(m.status)
	}
	m.looks++
	text := m.text
	if m.looks > 1 && m.then != "" {
		text = m.then
	}
	if r.URL.Path == "/metrics" {
		_, _ = io.WriteString(w, text)
	}
}

// fleet is a network of workers by host.
type fleet map[string]*worker

func (f fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	if f[r.URL.Host] == nil {
		return nil, errors.New("connection refused")
	}
	return inProcess{f[r.URL.Host]}.RoundTrip(r)
}

func (f fleet) scraper(t *testing.T) *cost.Scraper {
	t.Helper()
	s, err := cost.NewScraper(&http.Client{Transport: f}, cloudwatch.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// metrics is what a worker says that was started at a moment.
func metrics(started time.Time, lines ...string) string {
	text := fmt.Sprintf("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.2f\n# TYPE tributary_cloudwatch_puts_total counter\ntributary_cloudwatch_puts_total 7\n",
		float64(started.UnixMilli())/1000)
	typed := map[string]bool{}
	for _, l := range lines {
		if name, _, _ := strings.Cut(l, "{"); !typed[name] {
			text += "# TYPE tributary_cloudwatch_" + name + " counter\n"
			typed[name] = true
		}
		text += "tributary_cloudwatch_" + l + "\n"
	}
	return text
}

// short is what matters of a report: of each line service, events, errors, bytes sent
// and saved, and money as it is printed.
func short(r *cost.Report) string {
	var out strings.Builder
	for _, l := range append(r.Services, r.Total) {
		fmt.Fprintf(&out, "%s %d %d %d %d %s %s %s %s %.1f%%\n", l.Service, l.Events, l.Errors, l.SentBytes, l.SavedBytes,
			l.SentMoney, l.SavedMoney, l.SentPerMonth, l.SavedPerMonth, 100*l.Share)
	}
	return out.String()
}

// names is a report's JSON without its values.
func names(t *testing.T, r *cost.Report) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for at := text; ; {
		i := bytes.Index(at, []byte(`":`))
		if i < 0 {
			return strings.Join(all, " ")
		}
		from := bytes.LastIndexByte(at[:i], '"')
		all = append(all, string(at[from+1:i]))
		at = at[i+2:]
	}
}
