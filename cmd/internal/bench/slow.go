package main

import (
	"context"
	"fmt"
	"time"
)

// Slow is one forwarder at 8 KB/s, as most instances are most of the time.
type Slow struct {
	LineBytes   int     `json:"line_bytes"`
	Rate        float64 `json:"lines_per_second"`
	Seconds     float64 `json:"seconds"`
	Lines       int64   `json:"lines"`
	Records     int64   `json:"records"`
	StreamRatio float64 `json:"stream_bytes_per_log_byte"`
	Linger      float64 `json:"linger_seconds"` // the latency bound in force
	DelayP50    float64 `json:"line_to_stream_p50_seconds"`
	DelayP99    float64 `json:"line_to_stream_p99_seconds"`
	Forwarder   Usage   `json:"forwarder"`
}

const (
	slowRate = 15
	slowSize = 500
)

// slow sends lines that carry the time at which they are due, so that the stream
// tells how long each took to get there.
func (b *bench) slow(ctx context.Context) (*Slow, error) {
	w, err := b.newWorld(ctx, b.plan.shards, false)
	if err != nil {
		return nil, err
	}
	defer w.end()
	f, err := w.forwarder(ctx)
	if err != nil {
		return nil, err
	}
	count := int64(slowRate * b.plan.slowFor.Seconds())
	src := Source{Seed: b.plan.seed, Size: slowSize, Base: time.Now(), Step: time.Second / slowRate}
	load, err := newChild(processLoad, LoadOrder{
		Address: f.Forward, Lines: src, Count: count, Rate: slowRate, Connections: b.plan.connections,
	}, nil)
	if err != nil {
		return nil, err
	}
	defer load.Kill()
	var m meter
	m.add(processForwarder, &f.Process)
	if err := load.Start(ctx); err != nil {
		return nil, err
	}
	sent, err := collect[LoadFound](ctx, load, stageWithin)
	if err != nil {
		return nil, err
	}
	// The last record goes by its linger, as all others did; a stop would hurry it.
	linger, err := b.linger()
	if err != nil {
		return nil, err
	}
	if _, err := published(ctx, f, count); err != nil {
		return nil, err
	}
	found, err := b.readBack(ctx, w, count, true)
	if err != nil {
		return nil, err
	}
	return &Slow{
		LineBytes: slowSize, Rate: slowRate, Seconds: sent.Seconds, Lines: count, Records: found.Records,
		StreamRatio: float64(found.Bytes) / float64(count*slowSize),
		Linger:      linger.Seconds(), DelayP50: quantile(found.Delays, 0.5), DelayP99: quantile(found.Delays, 0.99),
		Forwarder: m.read()[0],
	}, nil
}

// readBack reads what lies in the stream, with the delay of each line if asked.
func (b *bench) readBack(ctx context.Context, w *world, lines int64, delays bool) (ReadFound, error) {
	child, err := newChild("read", ReadOrder{Stream: streamName, Lines: lines, Seed: b.plan.seed, Passes: 1, Within: time.Minute, Delays: delays}, w.Env())
	if err != nil {
		return ReadFound{}, err
	}
	defer child.Kill()
	if err := child.Start(ctx); err != nil {
		return ReadFound{}, err
	}
	found, err := collect[ReadFound](ctx, child, 70*time.Second)
	if err != nil {
		return ReadFound{}, fmt.Errorf("read back: %w", err)
	}
	return found, nil
}
