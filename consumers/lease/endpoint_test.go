package lease_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/consumers/lease"
	local "tributary/deploy/local/dynamodb"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct calls a handler without a network, so that the real client and the real
// endpoint run on a test's own clock.
type direct struct{ handler http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	// A server has its own copy of what came over the wire.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	received.Header = r.Header.Clone()
	answer := make(chan *http.Response, 1)
	go func() {
		defer close(answer)
		defer func() { _ = recover() }() // http.ErrAbortHandler: a lost response
		w := httptest.NewRecorder()
		d.handler.ServeHTTP(w, received)
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

type endpoint struct {
	*dynamodb.Client
	faults *fault.Set
}

func newEndpoint(t *testing.T) endpoint {
	t.Helper()
	faults := new(fault.Set)
	service, err := local.Open(t.TempDir(), faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Close() })
	client := dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String("http://dynamodb.test"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   direct{service},
		Retryer:      aws.NopRetryer{},
	})
	return endpoint{client, faults}
}

const shard0 stream.ShardID = "shardId-000000000000"

func (e endpoint) rules(t *testing.T, rules ...fault.Rule) {
	t.Helper()
	if err := e.faults.Replace(rules); err != nil {
		t.Fatal(err)
	}
}

// table opens the group's tables as one worker.
func (e endpoint) table(t *testing.T, worker string) *lease.Table {
	t.Helper()
	cfg := lease.DefaultConfig()
	cfg.Table, cfg.Worker = "leases", worker
	table, err := newTable(e, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return table
}

func item(t *testing.T, table *lease.Table) lease.Item {
	t.Helper()
	items, err := table.List(t.Context())
	if err != nil || len(items) != 1 {
		t.Fatalf("items %v, error %v", items, err)
	}
	return items[0]
}

// acquire creates the shard's item if need be and takes it.
func acquire(t *testing.T, table *lease.Table) *lease.Lease {
	t.Helper()
	must(t, table.Create(t.Context(), shard0, "", 0))
	l, err := table.Acquire(t.Context(), item(t, table))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wait(d time.Duration) { time.Sleep(d) } // on the test's own clock

var background = context.Background()

func newTable(e endpoint, cfg lease.Config) (*lease.Table, error) {
	return lease.New(e, cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
}
