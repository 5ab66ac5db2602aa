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
	"tributary/schema"
	"tributary/stream"
)

const (
	// batchLines of 500 bytes make a record of some 256 KiB, as the forwarder's.
	batchLines = 2000
	// fillBlocks are how many different batches a stream is filled with. The lines
	// repeat after them; epoch and offsets, by which events are told apart, do not.
	fillBlocks = 8
	fillers    = 4
)

// FillOrder tells the child "fill" what to put into every shard.
type FillOrder struct {
	Stream  string
	Lines   Source
	Batches int           // records of format v1 per shard
	Bare    int           // lines per shard, each a record of its own
	Every   time.Duration // then a bare line per shard this often, until interrupted; 0: none
}

// FillFound is what all shards got.
type FillFound struct{ Lines int64 }

func runFill(ctx context.Context, o FillOrder) (found FillFound, err error) {
	f, err := newFiller(ctx, o)
	if err != nil {
		return found, err
	}
	steps := []func() error{
		func() error { return f.batches(ctx, o.Batches) },
		func() error { return f.bare(ctx, o.Bare) },
		func() error { return f.feed(ctx, o.Every) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return found, err
		}
	}
	return FillFound{f.lines.Load()}, nil
}

// A filler writes lines into every shard of a stream, in equal parts.
type filler struct {
	api    *kinesis.Client
	stream string
	shards []stream.Shard
	blocks [fillBlocks][]schema.Event
	epoch  schema.Epoch
	lines  atomic.Int64 // stored
}

func newFiller(ctx context.Context, o FillOrder) (*filler, error) {
	cfg, err := app.AWSConfig{}.Load(ctx)
	if err != nil {
		return nil, err
	}
	f := &filler{api: app.NewKinesis(cfg), stream: o.Stream}
	if f.shards, err = stream.ListShards(ctx, f.api, stream.Ref{Name: o.Stream}); err != nil {
		return nil, err
	}
	_, _ = rand.Read(f.epoch[:]) // never fails
	origin := &schema.Origin{Service: "bench", ContainerID: "0123456789ab", ContainerName: "bench", Source: "stdout", Tag: "bench", Host: "bench"}
	lines := o.Lines.lines()
	for i := range f.blocks {
		for n := range int64(batchLines) {
			at := int64(i)*batchLines + n
			line, kind := lines.Append(nil, at)
			f.blocks[i] = append(f.blocks[i], schema.Event{Time: o.Lines.Base.UnixNano() + at*int64(o.Lines.Step), Kind: kind, Origin: origin, Line: line})
		}
	}
	return f, nil
}

// batches fills each shard with so many records of format v1.
func (f *filler) batches(ctx context.Context, perShard int) error {
	return f.each(ctx, batchLines, func(n int, put func([]byte) error) error {
		enc := schema.NewEncoder()
		events := make([]schema.Event, batchLines)
		for r := range perShard {
			copy(events, f.blocks[(n+r)%fillBlocks])
			for i := range events {
				events[i].Offset = uint64(r*batchLines + i + 1)
			}
			data, err := enc.Append(nil, &schema.Batch{Epoch: f.epoch, Lane: uint32(n), Events: events})
			if err != nil {
				return fmt.Errorf("encode: %w", err)
			}
			if err := put(data); err != nil {
				return err
			}
		}
		return nil
	})
}

// bare fills each shard with lines, each a record of its own, as other producers
// write them.
func (f *filler) bare(ctx context.Context, perShard int) error {
	return f.each(ctx, 1, func(n int, put func([]byte) error) error {
		for i := range perShard {
			if err := put(f.blocks[(n+i/batchLines)%fillBlocks][i%batchLines].Line); err != nil {
				return err
			}
		}
		return nil
	})
}

// feed gives every shard a line now and then, until ctx ends.
func (f *filler) feed(ctx context.Context, every time.Duration) error {
	if every == 0 {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	in := &kinesis.PutRecordsInput{StreamName: &f.stream}
	for n := range f.shards {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{
			Data: f.blocks[0][n%batchLines].Line, PartitionKey: aws.String("bench"), ExplicitHashKey: &f.shards[n].StartHash,
		})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f.put(context.WithoutCancel(ctx), in, 1); err != nil {
			return err
		}
	}
}

// each makes the records of all shards, some of them side by side, of so many lines
// each.
func (f *filler) each(ctx context.Context, lines int, records func(n int, put func([]byte) error) error) error {
	faults := make([]error, len(f.shards))
	token := make(chan struct{}, fillers)
	var filling sync.WaitGroup
	for n, shard := range f.shards {
		filling.Go(func() {
			token <- struct{}{}
			defer func() { <-token }()
			q := &queue{send: func(in *kinesis.PutRecordsInput) error { return f.put(ctx, in, lines) }, stream: f.stream, hash: shard.StartHash}
			faults[n] = errors.Join(records(n, q.put), q.flush())
		})
	}
	filling.Wait()
	return errors.Join(faults...)
}

func (f *filler) put(ctx context.Context, in *kinesis.PutRecordsInput, lines int) error {
	out, err := f.api.PutRecords(ctx, in)
	if err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	if n := aws.ToInt32(out.FailedRecordCount); n > 0 {
		return fmt.Errorf("put records: %d of %d failed", n, len(in.Records))
	}
	f.lines.Add(int64(len(in.Records) * lines))
	return nil
}

// queue collects what one call takes for the shard that owns a hash key. The service
// takes 500 records and 10 MiB.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
type queue struct {
	send         func(*kinesis.PutRecordsInput) error
	stream, hash string
	records      []types.PutRecordsRequestEntry
	bytes        int
}

func (q *queue) put(data []byte) error {
	q.records = append(q.records, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String("bench"), ExplicitHashKey: &q.hash})
	q.bytes += len(data)
	if len(q.records) == 500 || q.bytes >= 4<<20 {
		return q.flush()
	}
	return nil
}

func (q *queue) flush() error {
	if len(q.records) == 0 {
		return nil
	}
	err := q.send(&kinesis.PutRecordsInput{StreamName: &q.stream, Records: q.records})
	q.records, q.bytes = nil, 0
	return err
}
