package stream_test

import (
	"context"
	"fmt"
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
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	local "tributary/deploy/local/kinesis"
	"tributary/stream"
)

// direct hands requests to a handler, so that the service runs on the clock of the
// test's bubble.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// limited is a stream of one shard with the rates of a real one.
func limited(t *testing.T) *kinesis.Client {
	t.Helper()
	service, err := local.Open(t.TempDir(), local.Options{Limits: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	api := kinesis.New(kinesis.Options{Region: "eu-west-1", HTTPClient: direct{service}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	if _, err := api.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("logs"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	return api
}

// group is a reader of the shard that knows nothing of the others.
type group struct {
	reg     *prometheus.Registry
	records int
	latest  time.Duration // the longest from a record's arrival to its handing out, late in the test
}

func (g *group) read(ctx context.Context, t *testing.T, api *kinesis.Client, settled time.Time, change func(*stream.ReaderConfig)) {
	cfg := stream.DefaultReaderConfig()
	change(&cfg)
	g.reg = prometheus.NewRegistry()
	src, err := stream.NewSource(api, stream.Ref{Name: "logs"}, cfg, g.reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Error(err)
		return
	}
	r, err := src.Open("shardId-000000000000", stream.TrimHorizon())
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	for ctx.Err() == nil {
		b, err := r.Next(ctx)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
		if b.Sequence != "" {
			g.records++
			if time.Now().After(settled) {
				g.latest = max(g.latest, time.Since(b.Arrival))
			}
		}
	}
}

// A shard gives 2 MiB a second. Five groups get 400 KB/s each, as it comes in, after
// a backlog they all begin with; none falls behind and few calls are refused.
func TestFiveGroupsShareAShardAtItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := limited(t)
		record := []byte(`{"l":"` + strings.Repeat("x", 20_000-8) + `"}`)
		put := func() {
			if _, err := api.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String("k"), Data: record}); err != nil {
				t.Error(err)
			}
		}
		written := 0
		for range 40 { // 0.8 MB before anybody reads
			put()
			written++
		}
		const length = 30 * time.Second
		began := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), began.Add(length+10*time.Second))
		defer cancel()
		groups := make([]group, 5)
		var all sync.WaitGroup
		for i := range groups {
			all.Go(func() {
				groups[i].read(ctx, t, api, began.Add(10*time.Second), func(*stream.ReaderConfig) {})
			})
		}
		for time.Since(began) < length {
			time.Sleep(50 * time.Millisecond) // 20 records of 20 KB a second
			put()
			written++
		}
		all.Wait()
		for i := range groups {
			g := &groups[i]
			calls, refused := metric(t, g.reg, "read_requests_total", ""), metric(t, g.reg, "read_troubles_total", "throttled")
			t.Logf("group %d: %d of %d records, at most %v late, %v calls, %v refused", i, g.records, written, g.latest, calls, refused)
			if g.records != written {
				t.Errorf("group %d read %d of %d records", i, g.records, written)
			}
			if g.latest > 5*time.Second {
				t.Errorf("group %d was %v late", i, g.latest)
			}
			if refused > calls/4 || calls > 50 {
				t.Errorf("group %d: %v of %v calls refused", i, refused, calls)
			}
		}
	})
}

// A group that wants records soon gets them within its poll interval, beside one
// that does not care.
func TestAGroupInAHurryBesideAPatientOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := limited(t)
		began := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), began.Add(time.Minute))
		defer cancel()
		var hurried, patient group
		var all sync.WaitGroup
		all.Go(func() {
			hurried.read(ctx, t, api, began, func(c *stream.ReaderConfig) { c.PollInterval = c.PollMin })
		})
		all.Go(func() { patient.read(ctx, t, api, began, func(*stream.ReaderConfig) {}) })
		for n := range 500 {
			time.Sleep(110 * time.Millisecond)
			if _, err := api.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String("k"), Data: []byte(fmt.Sprintf(`{"n":%d}`, n))}); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		t.Logf("at most %v and %v late, %v calls refused", hurried.latest, patient.latest, metric(t, hurried.reg, "read_troubles_total", "throttled"))
		if hurried.latest > 300*time.Millisecond || patient.latest > 1100*time.Millisecond {
			t.Errorf("%v and %v late", hurried.latest, patient.latest)
		}
		if hurried.records != 500 || patient.records != 500 {
			t.Errorf("%d and %d records", hurried.records, patient.records)
		}
	})
}
