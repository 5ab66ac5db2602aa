package cloudwatch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/logs"
	"tributary/schema"
	"tributary/sinks/cloudwatch"
	"tributary/sinks/rejects"
	"tributary/stream"
)

const (
	shard = stream.ShardID("shardId-000000000002")
	group = "/tributary/shop"
)

// world is an endpoint of CloudWatch Logs with a worker in front of it. Requests go
// through the real client and reach the endpoint without a network, so that all of it
// runs in a bubble of synctest.
type world struct {
	*sdk.Client
	t      testing.TB
	faults *fault.Set
	log    *lines
	kept   *keeper
	cfg    cloudwatch.Config
	// hook sees each call before it happens; an error is the answer in its place.
	hook func(action, group string, in any) error

	mu    sync.Mutex
	calls []string // action and group

	reg *prometheus.Registry
	cw  *cloudwatch.CloudWatch
}

// start runs an endpoint and a worker on it.
func start(t testing.TB, change ...func(*world, *logs.Options)) *world {
	t.Helper()
	w := &world{t: t, faults: &fault.Set{}, log: &lines{}, kept: &keeper{}, cfg: cloudwatch.DefaultConfig()}
	w.cfg.RequestsPerSecond, w.cfg.CreateRate = 10_000, 50
	o := logs.Options{Faults: w.faults}
	for _, c := range change {
		c(w, &o)
	}
	service, err := logs.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://logs.invalid"),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:  &http.Client{Transport: inProcess{service}},
	})
	w.restart()
	return w
}

// restart is another worker, which knows nothing of the one before.
func (w *world) restart() {
	w.t.Helper()
	w.reg = prometheus.NewRegistry()
	cw, err := cloudwatch.New(w.cfg, schema.DefaultRules(), w, w.kept, w.reg, slog.New(slog.NewTextHandler(w.log, nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.cw = cw
}

func (w *world) open() *cloudwatch.Sink { return w.openShard(shard) }

func (w *world) openShard(id stream.ShardID) *cloudwatch.Sink {
	w.t.Helper()
	s, err := w.cw.Open(w.t.Context(), id, w.cw.Plan())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// inProcess serves requests without a network.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	defer func() {
		if cut := recover(); cut == http.ErrAbortHandler {
			answer, err = nil, errors.New("connection cut")
		} else if cut != nil {
			panic(cut)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// call notes a call and asks the hook.
func (w *world) call(action string, group *string, in any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, action+" "+aws.ToString(group))
	if w.hook != nil {
		return w.hook(action, aws.ToString(group), in)
	}
	return nil
}

// deaf makes a put whose answer nobody sees.
func (w *world) deaf(in any) {
	put := in.(*sdk.PutLogEventsInput)
	_, _ = w.Client.PutLogEvents(w.t.Context(), put)
}

// count is how often an action was called for a group; empty stands for any.
func (w *world) count(action, group string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		a, g, _ := strings.Cut(c, " ")
		if (action == "" || a == action) && (group == "" || g == group) {
			n++
		}
	}
	return n
}

func (w *world) setHook(hook func(action, group string, in any) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// The calls of a sink, which pass the hook.
func (w *world) PutLogEvents(ctx context.Context, in *sdk.PutLogEventsInput, o ...func(*sdk.Options)) (*sdk.PutLogEventsOutput, error) {
	if err := w.call("PutLogEvents", in.LogGroupName, in); err != nil {
		return nil, err
	}
	return w.Client.PutLogEvents(ctx, in, o...)
}

func (w *world) CreateLogGroup(ctx context.Context, in *sdk.CreateLogGroupInput, o ...func(*sdk.Options)) (*sdk.CreateLogGroupOutput, error) {
	if err := w.call("CreateLogGroup", in.LogGroupName, in); err != nil {
		return nil, err
	}
	return w.Client.CreateLogGroup(ctx, in, o...)
}

func (w *world) CreateLogStream(ctx context.Context, in *sdk.CreateLogStreamInput, o ...func(*sdk.Options)) (*sdk.CreateLogStreamOutput, error) {
	if err := w.call("CreateLogStream", in.LogGroupName, in); err != nil {
		return nil, err
	}
	return w.Client.CreateLogStream(ctx, in, o...)
}

func (w *world) PutRetentionPolicy(ctx context.Context, in *sdk.PutRetentionPolicyInput, o ...func(*sdk.Options)) (*sdk.PutRetentionPolicyOutput, error) {
	if err := w.call("PutRetentionPolicy", in.LogGroupName, in); err != nil {
		return nil, err
	}
	return w.Client.PutRetentionPolicy(ctx, in, o...)
}

func (w *world) GetLogEvents(ctx context.Context, in *sdk.GetLogEventsInput, o ...func(*sdk.Options)) (*sdk.GetLogEventsOutput, error) {
	if err := w.call("GetLogEvents", in.LogGroupName, in); err != nil {
		return nil, err
	}
	return w.Client.GetLogEvents(ctx, in, o...)
}

// answered is an answer of the service with an error's code.
func answered(code string) error {
	return &smithy.GenericAPIError{Code: code, Message: "says the test", Fault: smithy.FaultClient}
}

// stored is what a log stream of the shard holds, in the order of the times.
func (w *world) stored(group string) (messages []string) {
	w.t.Helper()
	in := &sdk.GetLogEventsInput{LogGroupName: &group, LogStreamName: aws.String(string(shard)), StartFromHead: aws.Bool(true)}
	for {
		out, err := w.Client.GetLogEvents(w.t.Context(), in)
		if err != nil {
			var missing smithy.APIError
			if errors.As(err, &missing) && missing.ErrorCode() == "ResourceNotFoundException" {
				return nil
			}
			w.t.Fatal(err)
		}
		for _, e := range out.Events {
			messages = append(messages, *e.Message)
		}
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			return messages
		}
		in.NextToken = out.NextForwardToken
	}
}

// metric is the sum of a metric's values over those of its labels that match.
func (w *world) metric(name string, labels ...string) (sum float64) {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "tributary_cloudwatch_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			fits := true
			for i := 0; i < len(labels); i += 2 {
				fits = fits && have[labels[i]] == labels[i+1]
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// keeper is a store of rejects.
type keeper struct {
	mu    sync.Mutex
	items []rejects.Item
	fails error
	puts  int
}

func (k *keeper) Put(_ context.Context, _ stream.Range, items []rejects.Item) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.puts++
	if k.fails != nil {
		return k.fails
	}
	k.items = append(k.items, items...)
	return nil
}

// lines of the rejects, each with its reason in front.
func (k *keeper) lines(t testing.TB) (out []string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, it := range k.items {
		b, bad, _ := schema.NewDecoder().Decode(it.Reject.Data, it.Arrival)
		if len(bad) > 0 || len(b.Events) != 1 {
			t.Fatalf("a reject is no record: %+v", bad)
		}
		out = append(out, it.Reject.Reason+": "+string(b.Events[0].Line))
	}
	return out
}

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// sequence is the nth number of a stream, as long as Kinesis makes them.
func sequence(n int) stream.SequenceNumber {
	return stream.SequenceNumber(fmt.Sprintf("49590338271490256608559692538361571095921575989136588%04d", n))
}

func rangeOf(first, last int) stream.Range {
	return stream.Range{Shard: shard, First: sequence(first), Last: sequence(last)}
}

// record makes the nth batch, which arrives with its last event.
func record(n int, events ...schema.Event) stream.Batch {
	b := stream.Batch{Shard: shard, Sequence: sequence(n), Epoch: schema.Epoch{1}, Lane: 7}
	for i, e := range events {
		e.Index, e.Offset = uint32(i), uint64(n*1000+i)
		b.Events = append(b.Events, e)
		b.Bytes += int64(schema.EventSize(&e))
		b.Arrival = time.Unix(0, e.Time)
	}
	return b
}

var shop = &schema.Origin{Service: "shop", ContainerID: "c1", ContainerName: "web-1", Source: "stdout", Host: "ip-10-0-0-1", Tag: "docker.c1"}

func event(at time.Time, line string) schema.Event {
	return schema.Event{Time: at.UnixNano(), Kind: schema.KindApp, Origin: shop, Line: []byte(line)}
}

func eventOf(service string, at time.Time, line string) schema.Event {
	e := event(at, line)
	e.Origin = &schema.Origin{Service: service}
	return e
}

func appendAll(t testing.TB, s *cloudwatch.Sink, batches ...stream.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
	}
}

// flush sends the batches as one range.
func flush(t testing.TB, s *cloudwatch.Sink, batches ...stream.Batch) error {
	t.Helper()
	appendAll(t, s, batches...)
	return s.Flush(t.Context(), stream.Range{Shard: shard, First: batches[0].Sequence, Last: batches[len(batches)-1].Sequence})
}

func mustFlush(t testing.TB, s *cloudwatch.Sink, batches ...stream.Batch) {
	t.Helper()
	if err := flush(t, s, batches...); err != nil {
		t.Fatal(err)
	}
}

func wantLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d %.300q, want %d %.300q", what, len(got), got, len(want), want)
	}
}

type logsOptions = logs.Options

// inBubble makes a test in which waiting takes no time.
func inBubble(f func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}
