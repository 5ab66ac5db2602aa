package logs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
	"tributary/deploy/local/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A clock that moves only when told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// now is where the clock starts.
const now = int64(1_795_000_000_123)

// world is a service with the real client in front of it.
type world struct {
	*client.Client
	t      *testing.T
	dir    string
	opts   logs.Options
	clock  *clock
	faults *fault.Set
	close  func()
}

func open(t *testing.T, change ...func(*logs.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &clock{at: time.UnixMilli(now)}, faults: new(fault.Set)}
	w.opts = logs.Options{Faults: w.faults, Now: w.clock.now}
	for _, c := range change {
		c(&w.opts)
	}
	w.start()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	service, err := logs.Open(w.dir, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	srv := httptest.NewServer(service)
	w.Client = client.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), HTTPClient: &http.Client{Transport: localtest.PlainBodies(transport)},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1,
	})
	w.close = sync.OnceFunc(func() {
		if err := w.faults.Drain(context.Background()); err != nil {
			w.t.Error(err)
		}
		transport.CloseIdleConnections()
		srv.Close()
		if err := service.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

// reopen is what a restart of the process does; the files are left as they are.
func (w *world) reopen() {
	w.t.Helper()
	w.close()
	w.start()
}

var (
	group  = aws.String("/tributary/shop")
	stream = aws.String("shardId-000000000000")
)

// create makes the group and its stream.
func (w *world) create() {
	w.t.Helper()
	if _, err := w.CreateLogGroup(w.t.Context(), &client.CreateLogGroupInput{LogGroupName: group}); err != nil {
		w.t.Fatal(err)
	}
	w.createStream(*stream)
}

func (w *world) createStream(name string) {
	w.t.Helper()
	if _, err := w.CreateLogStream(w.t.Context(), &client.CreateLogStreamInput{LogGroupName: group, LogStreamName: &name}); err != nil {
		w.t.Fatal(err)
	}
}

func line(ts int64, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: &ts, Message: &message}
}

func (w *world) putInto(name string, events ...types.InputLogEvent) (*client.PutLogEventsOutput, error) {
	return w.PutLogEvents(w.t.Context(), &client.PutLogEventsInput{LogGroupName: group, LogStreamName: &name, LogEvents: events})
}

func (w *world) put(events ...types.InputLogEvent) {
	w.t.Helper()
	out, err := w.putInto(*stream, events...)
	if err != nil || out.RejectedLogEventsInfo != nil {
		w.t.Fatal(out, err)
	}
}

func (w *world) get(in client.GetLogEventsInput) *client.GetLogEventsOutput {
	w.t.Helper()
	in.LogGroupName, in.LogStreamName = group, stream
	out, err := w.GetLogEvents(w.t.Context(), &in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// read gives all messages by pages in one direction, each page as it came, until the token stays as it is.
func (w *world) read(in client.GetLogEventsInput) (messages []string) {
	w.t.Helper()
	for {
		out := w.get(in)
		messages = append(messages, texts(out)...)
		next := out.NextBackwardToken
		if aws.ToBool(in.StartFromHead) {
			next = out.NextForwardToken
		}
		if in.NextToken != nil && *in.NextToken == *next {
			return messages
		}
		in.NextToken = next
	}
}

func (w *world) readAll() []string {
	w.t.Helper()
	return w.read(client.GetLogEventsInput{StartFromHead: aws.Bool(true)})
}

func texts(out *client.GetLogEventsOutput) []string {
	messages := []string{}
	for _, e := range out.Events {
		messages = append(messages, *e.Message)
	}
	return messages
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
