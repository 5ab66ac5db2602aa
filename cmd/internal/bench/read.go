package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/app"
	"tributary/stream"
)

// ReadOrder tells the child "read" what to expect in the stream.
type ReadOrder struct {
	Stream  string
	Lines   int64         // how many there must be, numbered from 0
	Seed    uint64        // their seed
	Passes  int           // how often to read them
	Within  time.Duration // how long it may take
	Profile string        // file for a CPU profile; empty: none
	Delays  bool          // collect each line's time to its arrival
}

// ReadFound is what all passes found; a line that is missing or doubled is an error.
type ReadFound struct {
	Seconds float64
	Records int64
	Bytes   int64     // of the records as stored
	Delays  []float64 // seconds from the line's own time to its arrival
}

// runRead reads all shards from their beginning, decodes every record and counts
// the lines, as a consumer without a destination; again for every pass.
func runRead(ctx context.Context, o ReadOrder) (found ReadFound, err error) {
	stop, err := startProfile(o.Profile)
	if err != nil {
		return found, err
	}
	defer stop()
	cfg, err := app.AWSConfig{}.Load(ctx)
	if err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Within)
	defer cancel()
	for range o.Passes {
		if err := found.pass(ctx, app.NewKinesis(cfg), o); err != nil {
			return found, err
		}
	}
	return found, nil
}

// pass adds what is found in one reading of the whole stream.
func (f *ReadFound) pass(ctx context.Context, api *kinesis.Client, o ReadOrder) error {
	reg := prometheus.NewRegistry()
	readers, err := openAll(ctx, api, o.Stream, reg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &counting{delays: o.Delays, tally: newTally(o.Seed, o.Lines), done: cancel, found: f}
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(readers))
	for i, r := range readers {
		wg.Go(func() {
			defer r.Close()
			errs[i] = c.read(ctx, r)
		})
	}
	wg.Wait()
	f.Seconds += time.Since(start).Seconds()
	bytes, err := storedBytes(reg)
	f.Bytes += bytes
	return errors.Join(errors.Join(errs...), err, c.tally.verdict())
}

// openAll has a reader for each shard, from its beginning.
func openAll(ctx context.Context, api *kinesis.Client, name string, reg prometheus.Registerer) (readers []*stream.Reader, err error) {
	ref := stream.Ref{Name: name}
	shards, err := stream.ListShards(ctx, api, ref)
	if err != nil {
		return nil, err
	}
	cfg := stream.DefaultReaderConfig()
	cfg.ShardRateBytes = 0 // the shards have no limits
	src, err := stream.NewSource(api, ref, cfg, reg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return nil, err
	}
	for _, shard := range shards {
		r, err := src.Open(shard.ID, stream.TrimHorizon())
		if err != nil {
			return nil, err // a reader that was not asked holds nothing
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// storedBytes asks the readers' metrics what the records took in the stream.
func storedBytes(reg prometheus.Gatherer) (int64, error) {
	families, err := reg.Gather()
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "tributary_stream_read_bytes_total" {
			continue
		}
		for _, m := range f.Metric {
			sum += m.GetCounter().GetValue()
		}
	}
	return int64(sum), nil
}

// counting is what the readers of all shards share.
type counting struct {
	delays bool
	done   context.CancelFunc

	mu    sync.Mutex
	tally *tally
	found *ReadFound
}

// read takes one shard until all shards together have all lines.
func (c *counting) read(ctx context.Context, r *stream.Reader) error {
	for {
		b, err := r.Next(ctx)
		if ctx.Err() != nil {
			return nil // all is there, or the time is over: the tally tells
		}
		if err != nil {
			return err
		}
		if b.Sequence == "" {
			continue
		}
		if len(b.Rejects) > 0 {
			return fmt.Errorf("record %s holds rejects: %s", b.Sequence, b.Rejects[0].Reason)
		}
		c.take(b)
	}
}

func (c *counting) take(b stream.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Records++
	for i := range b.Events {
		c.tally.line(b.Events[i].Line)
		if c.delays {
			c.found.Delays = append(c.found.Delays, b.Arrival.Sub(time.Unix(0, b.Events[i].Time)).Seconds())
		}
	}
	if c.tally.complete() {
		c.done()
	}
}
