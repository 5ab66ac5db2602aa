package logtail_test

import (
	"bytes"
	"context"
	"errors"
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
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"go.uber.org/goleak"

	"tributary/cmd/internal/logtail"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/logs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the embedded CloudWatch Logs, by the real client and without a network, on
// a clock of its own. That of the service is a quarter of a century ahead of the
// reader's.
type world struct {
	t       *testing.T
	client  *client.Client
	service *logs.Service
	faults  *fault.Set

	mu     sync.Mutex
	calls  map[string][]time.Time // by operation
	logged []string
	answer func(operation string) *http.Response // nil, or what it gives is: the service's own
}

const ahead = 27 * 366 * 24 * time.Hour

func serviceNow() time.Time { return time.Now().Add(ahead).Truncate(time.Millisecond) }

func inWorld(t *testing.T, o logs.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, faults: new(fault.Set), calls: map[string][]time.Time{}}
		o.Faults, o.Now = w.faults, serviceNow
		var err error
		if w.service, err = logs.Open(t.TempDir(), o); err != nil {
			t.Fatal(err)
		}
		w.client = client.NewFromConfig(aws.Config{
			Region: "us-east-1", BaseEndpoint: aws.String("http://logs.test"), HTTPClient: w,
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		})
		test(t, w)
		if err := w.service.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Do is the way to the service; a call takes a while.
func (w *world) Do(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.mu.Lock()
	w.calls[operation] = append(w.calls[operation], time.Now())
	answer := w.answer
	w.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(30 * time.Millisecond):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if answer != nil {
		if own := answer(operation); own != nil {
			return own, nil
		}
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header, in.ContentLength = r.Header.Clone(), int64(len(body))
	out := httptest.NewRecorder()
	w.service.ServeHTTP(out, in)
	time.Sleep(20 * time.Millisecond)
	response := out.Result()
	response.Header.Set("Date", serviceNow().UTC().Format(http.TimeFormat))
	return response, nil
}

// Handle keeps what is logged; Enabled, WithAttrs and WithGroup make the world a
// slog.Handler.
func (w *world) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logged = append(w.logged, r.Message)
	return nil
}
func (w *world) Enabled(context.Context, slog.Level) bool { return true }
func (w *world) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *world) WithGroup(string) slog.Handler            { return w }

func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logged
}

func (w *world) called(operation string) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[operation]
}

func (w *world) createGroup(name string) {
	w.t.Helper()
	if _, err := w.client.CreateLogGroup(w.t.Context(), &client.CreateLogGroupInput{LogGroupName: &name}); err != nil {
		w.t.Fatal(err)
	}
}

func line(at time.Time, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(at.UnixMilli()), Message: &message}
}

// put stores events in a stream, which it makes.
func (w *world) put(group, stream string, events ...types.InputLogEvent) {
	w.t.Helper()
	_, err := w.client.CreateLogStream(w.t.Context(), &client.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	var exists *types.ResourceAlreadyExistsException
	if err != nil && !errors.As(err, &exists) {
		w.t.Fatal(err)
	}
	out, err := w.client.PutLogEvents(w.t.Context(), &client.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events})
	if err != nil || out.RejectedLogEventsInfo != nil {
		w.t.Fatal(out, err)
	}
}

func patterns(t *testing.T, names ...string) (all []logtail.Pattern) {
	t.Helper()
	for _, name := range names {
		p, err := logtail.ParsePattern(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func (w *world) reader(q logtail.Query, change ...func(*logtail.Config)) *logtail.Reader {
	w.t.Helper()
	cfg := logtail.DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	r, err := logtail.New(cfg, q, w.client, slog.New(w))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// search gives "group stream message" of each event.
func (w *world) search(q logtail.Query, change ...func(*logtail.Config)) (found []string, err error) {
	w.t.Helper()
	err = w.reader(q, change...).Search(w.t.Context(), func(e logtail.Event) error {
		found = append(found, text(e))
		return nil
	})
	return found, err
}

func text(e logtail.Event) string { return e.Group + " " + e.Stream + " " + e.Message }

// followed is a Follow that runs.
type followed struct {
	w    *world
	stop func() error

	mu    sync.Mutex
	count map[string]int
	order []string
}

func (w *world) follow(q logtail.Query, change ...func(*logtail.Config)) *followed {
	w.t.Helper()
	f := &followed{w: w, count: map[string]int{}}
	r := w.reader(q, change...)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.Follow(ctx, func(e logtail.Event) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.count[text(e)]++
			f.order = append(f.order, text(e))
			return nil
		})
	}()
	f.stop = func() error { cancel(); return <-ended }
	return f
}

// want ends the following and compares.
func (f *followed) want(all map[string]bool) {
	f.w.t.Helper()
	if err := f.stop(); err != nil {
		f.w.t.Errorf("ended with %v", err)
	}
	for e := range all {
		if f.count[e] != 1 {
			f.w.t.Errorf("%q came %d times", e, f.count[e])
		}
	}
	if len(f.count) != len(all) {
		f.w.t.Errorf("%d events came, want %d", len(f.count), len(all))
	}
}
