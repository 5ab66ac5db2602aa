package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/cmd/internal/app"
	"tributary/stream"
)

// Ceiling is what the endpoints do with records of one size when the SDK does
// nothing else, on the same cores.
type Ceiling struct {
	LineBytes      int     `json:"line_bytes"`   // whose records these are like
	RecordBytes    int64   `json:"record_bytes"` // as the forwarder made them, in the mean
	PutPerSecond   float64 `json:"put_records_per_second"`
	PutLines       float64 `json:"put_lines_per_second"` // the lines that such records hold
	PutEndpointCPU float64 `json:"put_endpoints_cpu_share"`
	GetPerSecond   float64 `json:"get_records_per_second"`
	GetLines       float64 `json:"get_lines_per_second"`
	GetEndpointCPU float64 `json:"get_endpoints_cpu_share"`
}

// StreamOrder tells the children "put" and "get" what to do.
type StreamOrder struct {
	Stream      string
	RecordBytes int64
	Records     int64 // to put, or to get
	Within      time.Duration
}

// StreamFound is what they did.
type StreamFound struct {
	Seconds float64
	Records int64
}

const (
	// putRecords in a request are as many as the forwarder has lanes at most.
	putRecords = 8
	putWorkers = 4
)

// runPut stores random bytes, which are as hard to compress as zstd's output.
func runPut(ctx context.Context, o StreamOrder) (StreamFound, error) {
	cfg, err := app.AWSConfig{}.Load(ctx)
	if err != nil {
		return StreamFound{}, err
	}
	api := app.NewKinesis(cfg)
	data := make([]byte, o.RecordBytes)
	_, _ = rand.Read(data) // never fails
	ctx, cancel := context.WithTimeout(ctx, o.Within)
	defer cancel()
	var left, done atomic.Int64
	left.Store(o.Records)
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, putWorkers)
	for i := range putWorkers {
		wg.Go(func() {
			for errs[i] == nil && left.Add(-putRecords) > -putRecords {
				errs[i] = put(ctx, api, o.Stream, data)
				done.Add(putRecords)
			}
		})
	}
	wg.Wait()
	return StreamFound{time.Since(start).Seconds(), done.Load()}, errors.Join(errs...)
}

func put(ctx context.Context, api *kinesis.Client, name string, data []byte) error {
	in := &kinesis.PutRecordsInput{StreamName: aws.String(name)}
	for range putRecords {
		key := rand.Text()
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: &key})
	}
	out, err := api.PutRecords(ctx, in)
	if err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if n := aws.ToInt32(out.FailedRecordCount); n > 0 {
		return fmt.Errorf("put records: %d of %d failed", n, putRecords)
	}
	return nil
}

// runGet reads every shard from its beginning, as fast as the answers come, until
// all records are read.
func runGet(ctx context.Context, o StreamOrder) (StreamFound, error) {
	cfg, err := app.AWSConfig{}.Load(ctx)
	if err != nil {
		return StreamFound{}, err
	}
	api := app.NewKinesis(cfg)
	shards, err := stream.ListShards(ctx, api, stream.Ref{Name: o.Stream})
	if err != nil {
		return StreamFound{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Within)
	defer cancel()
	var got atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(shards))
	for i, shard := range shards {
		wg.Go(func() { errs[i] = get(ctx, api, o, string(shard.ID), &got) })
	}
	wg.Wait()
	return StreamFound{time.Since(start).Seconds(), got.Load()}, errors.Join(errs...)
}

// get reads one shard to its tip.
func get(ctx context.Context, api *kinesis.Client, o StreamOrder, shard string, got *atomic.Int64) error {
	it, err := api.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &o.Stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return fmt.Errorf("get iterator: %w", err)
	}
	for next := it.ShardIterator; ; {
		out, err := api.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
		if err != nil {
			return fmt.Errorf("get records: %w", err)
		}
		got.Add(int64(len(out.Records)))
		if aws.ToInt64(out.MillisBehindLatest) == 0 && len(out.Records) == 0 {
			return nil
		}
		next = out.NextShardIterator
	}
}

// ceiling measures both with records like those of stage.
func (b *bench) ceiling(ctx context.Context, stage *StageRow) (Ceiling, error) {
	c := Ceiling{LineBytes: stage.LineBytes, RecordBytes: int64(stage.RecordBytes)}
	perRecord := stage.RecordBytes / stage.StreamRatio / float64(stage.LineBytes)
	w, err := b.newWorld(ctx, b.plan.shards, false)
	if err != nil {
		return c, err
	}
	defer w.end()
	order := StreamOrder{Stream: streamName, RecordBytes: c.RecordBytes, Within: stageWithin}
	order.Records = max(putRecords, b.plan.ceilingBytes/c.RecordBytes/putRecords*putRecords)
	c.PutPerSecond, c.PutEndpointCPU, err = b.streamChild(ctx, w, "put", order)
	if err != nil {
		return c, err
	}
	c.GetPerSecond, c.GetEndpointCPU, err = b.streamChild(ctx, w, "get", order)
	c.PutLines, c.GetLines = c.PutPerSecond*perRecord, c.GetPerSecond*perRecord
	return c, err
}

// streamChild returns records per second and the endpoints' part of all CPU time
// that was there.
func (b *bench) streamChild(ctx context.Context, w *world, name string, o StreamOrder) (rate, share float64, err error) {
	child, err := newChild(name, o, w.Env())
	if err != nil {
		return 0, 0, err
	}
	defer child.Kill()
	before := w.endpoints.Usage().CPU
	if err := child.Start(ctx); err != nil {
		return 0, 0, err
	}
	found, err := collect[StreamFound](ctx, child, stageWithin+10*time.Second)
	if err != nil {
		return 0, 0, err
	}
	if found.Records != o.Records {
		return 0, 0, fmt.Errorf("%s of %d records made %d", name, o.Records, found.Records)
	}
	used := (w.endpoints.Usage().CPU - before).Seconds()
	return float64(found.Records) / found.Seconds, used / found.Seconds / float64(b.report.Machine.CPUs), nil
}
