package consumers_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers"
	"tributary/consumers/lease"
	"tributary/deploy/local"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

// bubble is a stream and a group's workers on a clock of their own: the real
// clients and the real endpoints, without a network between them. What takes
// seconds there says nothing about this machine, and takes none here.
type bubble struct {
	t        *testing.T
	endpoint *local.Endpoint
	faults   *fault.Set
	lake     *lake
	aws      aws.Config    // of no worker
	site     *site         // to send lines by
	behind   time.Duration // the services' clock, as their answers tell it; set before the first start

	mu      sync.Mutex
	members []*mate
	logged  map[string]int // messages of all workers
}

// Handle counts what the workers log.
func (b *bubble) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logged[r.Message]++
	return nil
}

// Enabled, WithAttrs and WithGroup make the bubble a slog.Handler.
func (b *bubble) Enabled(context.Context, slog.Level) bool { return true }
func (b *bubble) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *bubble) WithGroup(string) slog.Handler            { return b }

// count is how often a message was logged since the last reset.
func (b *bubble) count(message string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logged[message]
}

func (b *bubble) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logged = map[string]int{}
}

// inBubble runs a test over a new stream of some shards.
func inBubble(t *testing.T, shards int32, test func(*bubble)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := local.DefaultConfig()
		cfg.Dir = t.TempDir()
		b := &bubble{t: t, faults: new(fault.Set), lake: newLake(), logged: map[string]int{}}
		var err error
		if b.endpoint, err = local.Open(cfg, slog.New(slog.DiscardHandler), local.WithFaults(b.faults)); err != nil {
			t.Fatal(err)
		}
		b.aws = b.through(&line{b: b})
		b.site = &site{t: t, aws: b.aws, lake: b.lake, sent: map[string]bool{}}
		b.site.create(shards)
		defer func() {
			for _, m := range b.members {
				m.line.heal()
				_ = m.stop()
			}
			if err := b.endpoint.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(b)
	})
}

func (b *bubble) through(l *line) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://endpoints.test"),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:  l,
	}
}

// line is one worker's way to the endpoints.
type line struct {
	b *bubble

	mu       sync.Mutex
	cut      bool
	frozen   chan struct{} // closed when it thaws
	requests map[string]int
	answer   func(operation string, body []byte) []byte // nil: as it is
	throttle func(operation string) bool
}

// latency of one request, as of DynamoDB within a region.
const latency = 5 * time.Millisecond

func (l *line) Do(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	l.mu.Lock()
	if l.requests == nil {
		l.requests = map[string]int{}
	}
	l.requests[operation]++
	cut, frozen, answer, throttle := l.cut, l.frozen, l.answer, l.throttle
	l.mu.Unlock()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	switch {
	case cut:
		return nil, errCut
	case frozen != nil:
		<-frozen // a process that is stopped looks at no deadline
		// and what it had sent before is done, whatever it thinks of it by then.
		return l.serve(r.WithContext(context.WithoutCancel(r.Context())), body)
	case throttle != nil && throttle(operation):
		return throttled(), nil
	}
	select {
	case <-time.After(latency):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	response, err := l.serve(r, body)
	if err == nil {
		response.Header.Set("Date", time.Now().Add(-l.b.behind).UTC().Format(http.TimeFormat))
	}
	if err == nil && answer != nil {
		data, _ := io.ReadAll(response.Body)
		response.Body = io.NopCloser(bytes.NewReader(answer(operation, data)))
		response.ContentLength = -1
		response.Header.Del("X-Amz-Crc32")
	}
	return response, err
}

// serve hands a call over as a server receives it: what was sent is done, also when
// the caller has left.
func (l *line) serve(r *http.Request, body []byte) (*http.Response, error) {
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	received.Header, received.ContentLength = r.Header.Clone(), int64(len(body))
	answer := make(chan *http.Response, 1)
	go func() {
		defer close(answer)
		defer func() { _ = recover() }() // http.ErrAbortHandler: a lost response
		w := httptest.NewRecorder()
		l.b.endpoint.Handler().ServeHTTP(w, received)
		answer <- w.Result()
	}()
	select {
	case response, ok := <-answer:
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func throttled() *http.Response {
	const body = `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"The level of configured provisioned throughput for the table was exceeded."}`
	return &http.Response{
		StatusCode: http.StatusBadRequest,
		Header:     http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

func (l *line) set(change func(*line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *line) requestsOf(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests[operation]
}

// freeze stops what the worker does, as SIGSTOP would, from its next request on.
func (l *line) freeze() { l.set(func(l *line) { l.frozen = make(chan struct{}) }) }

func (l *line) thaw() {
	l.set(func(l *line) {
		if l.frozen != nil {
			close(l.frozen)
			l.frozen = nil
		}
	})
}

func (l *line) heal() {
	l.thaw()
	l.set(func(l *line) { l.cut, l.answer, l.throttle = false, nil, nil })
}

// mate is one worker in a bubble.
type mate struct {
	*consumers.Group
	name string
	line *line
	stop func() error
	wait func() error // until it ends by itself
	reg  *prometheus.Registry
}

// sum adds up a metric of the worker over its labels.
func (m *mate) sum(t *testing.T, name string) (total float64) {
	t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, v := range f.GetMetric() {
			if f.GetName() == name {
				total += v.GetCounter().GetValue() + v.GetGauge().GetValue()
			}
		}
	}
	return total
}

// bubbleConfig is production's, without a random name.
func bubbleConfig(worker string) consumers.Config {
	cfg := consumers.DefaultConfig()
	cfg.Name, cfg.Worker = "lake", worker
	cfg.Policy.MaxAge = time.Second
	return cfg
}

func (b *bubble) start(cfg consumers.Config) *mate { return b.startInto(cfg, b.lake.destination()) }

func (b *bubble) startInto(cfg consumers.Config, dest consumers.Destination) *mate {
	b.t.Helper()
	m := &mate{name: cfg.Worker, line: &line{b: b}, reg: prometheus.NewRegistry()}
	own := b.through(m.line)
	var err error
	m.Group, err = consumers.New(cfg, dest, b.lake, kinesis.NewFromConfig(own), dynamodb.NewFromConfig(own),
		stream.Ref{Name: streamName}, m.reg, slog.New(b))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.wait = sync.OnceValue(func() error { return <-done })
	m.stop = func() error { cancel(); return m.wait() }
	b.members = append(b.members, m)
	return m
}

// until waits for what the test is about and returns how long it took. More than
// limit fails the test.
func (b *bubble) until(what string, limit time.Duration, ok func() bool) time.Duration {
	b.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			b.t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

func (b *bubble) rules(rules ...fault.Rule) {
	b.t.Helper()
	if err := b.faults.Replace(rules); err != nil {
		b.t.Fatal(err)
	}
}

// held are the shards that a worker holds and reads.
func (m *mate) held() (ids []stream.ShardID) {
	for _, s := range m.Status() {
		if s.State == consumers.StateReading || s.State == consumers.StateFlushing {
			ids = append(ids, s.Shard)
		}
	}
	return ids
}

// balanced is true when the workers read all of some shards, each its share.
func balanced(shards int, workers ...*mate) bool {
	total, least, most := 0, shards, 0
	for _, w := range workers {
		n := len(w.held())
		total, least, most = total+n, min(least, n), max(most, n)
	}
	return total == shards && most-least <= 1
}

// tableOf is the group's tables as a worker without a group sees them.
func (b *bubble) tableOf(worker string) *lease.Table {
	b.t.Helper()
	cfg := lease.DefaultConfig()
	cfg.Table, cfg.Worker = "lake", worker
	table, err := lease.New(dynamodb.NewFromConfig(b.aws), cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	return table
}

func (b *bubble) items() []lease.Item {
	b.t.Helper()
	items, err := b.tableOf("onlooker").List(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return items
}
