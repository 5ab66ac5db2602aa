package kinesis_test

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
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/kinesis"
	"tributary/deploy/local/localtest"
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

// world is a service with the real client in front of it.
type world struct {
	*client.Client
	t       *testing.T
	dir     string
	opts    kinesis.Options
	clock   *clock
	faults  *fault.Set
	service *kinesis.Service
	pipes   bool // in memory, for a bubble of synctest
	close   func()
}

func open(t *testing.T, change ...func(*kinesis.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &clock{at: time.UnixMilli(1_795_000_000_123)}, faults: new(fault.Set)}
	w.opts = kinesis.Options{Faults: w.faults, Now: w.clock.now}
	for _, c := range change {
		c(&w.opts)
	}
	w.start()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	service, err := kinesis.Open(w.dir, w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.service = service
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	srv := httptest.NewUnstartedServer(service)
	if w.pipes {
		_ = srv.Listener.Close()
		pipes := newPipes()
		srv.Listener, transport.DialContext = pipes, pipes.dial
	}
	srv.Start()
	w.Client = client.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), HTTPClient: &http.Client{Transport: localtest.PlainBodies(transport)},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1,
	})
	w.close = sync.OnceFunc(func() {
		service.EndSubscriptions()
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

var name = aws.String("logs")

func (w *world) create(shards int32) {
	w.t.Helper()
	if _, err := w.CreateStream(w.t.Context(), &client.CreateStreamInput{StreamName: name, ShardCount: &shards}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(key, data string) string {
	w.t.Helper()
	out, err := w.PutRecord(w.t.Context(), &client.PutRecordInput{StreamName: name, PartitionKey: &key, Data: []byte(data)})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.SequenceNumber
}

func (w *world) shards(filter *types.ShardFilter) []types.Shard {
	w.t.Helper()
	out, err := w.ListShards(w.t.Context(), &client.ListShardsInput{StreamName: name, ShardFilter: filter})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Shards
}

func ids(shards []types.Shard) (out []string) {
	for _, s := range shards {
		out = append(out, (*s.ShardId)[len("shardId-00000000000"):])
	}
	return out
}

func (w *world) split(id string) {
	w.t.Helper()
	for _, s := range w.shards(nil) {
		if *s.ShardId == id {
			if err := w.splitAt(id, middle(s)); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatalf("no shard %s", id)
}

func (w *world) splitAt(id, hashKey string) error {
	_, err := w.SplitShard(w.t.Context(), &client.SplitShardInput{StreamName: name, ShardToSplit: &id, NewStartingHashKey: &hashKey})
	return err
}

func (w *world) merge(low, high string) error {
	_, err := w.MergeShards(w.t.Context(), &client.MergeShardsInput{StreamName: name, ShardToMerge: &low, AdjacentShardToMerge: &high})
	return err
}

func (w *world) resize(shards int32) error {
	_, err := w.UpdateShardCount(w.t.Context(), &client.UpdateShardCountInput{StreamName: name, TargetShardCount: &shards, ScalingType: types.ScalingTypeUniformScaling})
	return err
}

func (w *world) limit(kib int32) error {
	_, err := w.UpdateMaxRecordSize(w.t.Context(), &client.UpdateMaxRecordSizeInput{StreamARN: aws.String("arn:aws:kinesis:us-east-1:1:stream/" + *name), MaxRecordSizeInKiB: &kib})
	return err
}

func (w *world) describe() *types.StreamDescriptionSummary {
	w.t.Helper()
	out, err := w.DescribeStreamSummary(w.t.Context(), &client.DescribeStreamSummaryInput{StreamName: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.StreamDescriptionSummary
}

// untilActive lets a resize take its steps, and gives how many it took.
func (w *world) untilActive() (steps int) {
	w.t.Helper()
	for w.describe().StreamStatus != types.StreamStatusActive {
		w.clock.advance(20 * time.Millisecond)
		steps++
	}
	return steps
}

func (w *world) iterator(shard string, in client.GetShardIteratorInput) *string {
	w.t.Helper()
	in.StreamName, in.ShardId = name, &shard
	out, err := w.GetShardIterator(w.t.Context(), &in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.ShardIterator
}

func (w *world) get(iterator *string, limit int32) *client.GetRecordsOutput {
	w.t.Helper()
	in := &client.GetRecordsInput{ShardIterator: iterator}
	if limit > 0 {
		in.Limit = &limit
	}
	out, err := w.GetRecords(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

var horizon = client.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}

// read returns the data of all records from there to the tip.
func (w *world) read(shard string, from client.GetShardIteratorInput) (data []string) {
	w.t.Helper()
	for it := w.iterator(shard, from); it != nil; {
		out := w.get(it, 0)
		for _, r := range out.Records {
			data = append(data, string(r.Data))
		}
		if *out.MillisBehindLatest == 0 {
			return data
		}
		it = out.NextShardIterator
	}
	return data
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !hasCode(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

const (
	shard0 = "shardId-000000000000"
	shard1 = "shardId-000000000001"
	shard2 = "shardId-000000000002"
	shard3 = "shardId-000000000003"
)
