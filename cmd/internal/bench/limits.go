package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tributary/cmd/internal/cluster"
)

// Limits is the whole chain with the endpoints throttling as real shards do, at a
// steady rate that the shards allow.
type Limits struct {
	LineBytes    int     `json:"line_bytes"`
	Shards       int     `json:"shards"`
	Lanes        int     `json:"lanes"`
	BytesPerLine float64 `json:"stream_bytes_per_line"`
	// Imbalance is what the fullest shard got by what it would have got in equal
	// parts: lanes have random keys.
	Imbalance     float64  `json:"imbalance"`
	Allowed       float64  `json:"allowed_lines_per_second"` // shards × 1 MiB/s ÷ bytes per line ÷ imbalance
	Rate          float64  `json:"lines_per_second"`         // sent
	Seconds       float64  `json:"seconds"`
	Lines         int64    `json:"lines"` // of all three times; all became rows
	ThrottledPuts float64  `json:"throttled_records"`
	Samples       []Sample `json:"samples"`
	Slope         float64  `json:"lag_slope_seconds_per_second"`
	LagFirst      float64  `json:"lag_first_third_seconds"` // medians
	LagLast       float64  `json:"lag_last_third_seconds"`
	Grows         bool     `json:"lag_grows"`
}

// Sample is the lag at one moment: what the forwarder holds back, in seconds of
// its input, and how far the slowest reader is behind the tip.
type Sample struct {
	Second    float64 `json:"second"`
	Forwarder float64 `json:"forwarder_seconds"`
	Reader    float64 `json:"reader_seconds"`
}

func (s Sample) lag() float64 { return s.Forwarder + s.Reader }

const (
	limitsSize   = 500
	limitsShards = 4
	// limitsConnections are many, so that containers fall evenly on lanes in both
	// each time: each has its own.
	limitsConnections = 256
	// shardBytes is what a shard takes per second.
	// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
	shardBytes = 1 << 20
	// useOfAllowed leaves room for containers that fall on lanes otherwise than in
	// the second time.
	useOfAllowed = 0.8
	// growth is the slope from which on the lag counts as growing, if it also ends
	// half a second above its beginning: two hundredths of a second each second would
	// be 72 s in an hour, and less cannot be told from chance in half a minute.
	growth = 0.02
	rise   = 0.5
)

// limits sends three times. First what the shards would take if keys fell evenly:
// the forwarder opens its lanes. Then half of it: each shard shows what falls to
// it. Last what the fullest shard allows, for as long as the lag is watched.
func (b *bench) limits(ctx context.Context, bytesPerLine float64) (*Limits, error) {
	w, err := b.newWorld(ctx, limitsShards, true)
	if err != nil {
		return nil, err
	}
	defer w.end()
	l, err := w.lakeWorker()
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx, l); err != nil {
		return nil, err
	}
	f, err := w.forwarder(ctx)
	if err != nil {
		return nil, err
	}
	found := &Limits{LineBytes: limitsSize, Shards: limitsShards, BytesPerLine: bytesPerLine}
	if err := b.probe(ctx, f, l, found); err != nil {
		return nil, err
	}
	if err := b.steady(ctx, f, l, found); err != nil {
		return nil, err
	}
	if err := f.Interrupt(stopWithin); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.Output())
	}
	all := &round{bench: b, size: limitsSize, lines: found.Lines}
	if err := all.drain(ctx, w, l); err != nil {
		return nil, err
	}
	return found, checkRows(w.LakeDir(), b.plan.seed, found.Lines)
}

// probe opens the lanes and finds out how evenly they fall.
func (b *bench) probe(ctx context.Context, f, l *cluster.Node, found *Limits) error {
	even := limitsShards * shardBytes / found.BytesPerLine
	var before []float64
	for _, rate := range []float64{even, even / 2} {
		m, err := l.Metrics()
		if err != nil {
			return err
		}
		before = byShard(m)
		load, err := b.startSending(ctx, f, found.Lines, b.plan.limitsWarm, rate)
		if err != nil {
			return err
		}
		sent, err := collect[LoadFound](ctx, load, stageWithin)
		if err != nil {
			return err
		}
		found.Lines += sent.Lines
		if err := settled(ctx, l, found.Lines); err != nil {
			return err
		}
	}
	return found.plan(f, l, before, even)
}

// startSending sends a number of lines that is known before: the first to the last
// without a hole.
func (b *bench) startSending(ctx context.Context, f *cluster.Node, first int64, d time.Duration, rate float64) (*cluster.Process, error) {
	load, err := newChild(processLoad, LoadOrder{
		Address: f.Forward, Lines: b.source(limitsSize), First: first, Count: int64(rate * d.Seconds()), Rate: rate, Connections: limitsConnections,
	}, nil)
	if err != nil {
		return nil, err
	}
	return load, load.Start(ctx)
}

// settled waits until nothing is under way any more.
func settled(ctx context.Context, l *cluster.Node, lines int64) error {
	return waitFor(ctx, "what was sent to be read", stageWithin, 200*time.Millisecond, func() (bool, error) {
		m, err := l.Metrics()
		if err != nil {
			return false, fmt.Errorf("%w\n%s", err, l.Output())
		}
		return m.Sum("tributary_consumers_events_total") >= float64(lines), nil
	})
}

// byShard is the bytes read from each shard so far, in the order of their ids.
func byShard(m cluster.Metrics) (bytes []float64) {
	const name = "tributary_stream_read_bytes_total"
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(key, name+"{") {
			bytes = append(bytes, m[key])
		}
	}
	return bytes
}

// plan looks at what fell to each shard since before and chooses the rate.
func (l *Limits) plan(f, lake *cluster.Node, before []float64, even float64) error {
	m, err := lake.Metrics()
	if err != nil {
		return err
	}
	fullest, total := 0.0, 0.0
	for i, bytes := range byShard(m) {
		if len(before) > i { // the group may not have had all shards yet
			bytes -= before[i]
		}
		fullest, total = max(fullest, bytes), total+bytes
	}
	if m, err = f.Metrics(); err != nil {
		return err
	}
	l.Lanes = int(m.Sum("tributary_forwarder_lanes"))
	l.Imbalance = fullest / (total / float64(l.Shards))
	l.Allowed = even / l.Imbalance
	l.Rate = l.Allowed * useOfAllowed
	return nil
}

// steady sends at the rate that was chosen and samples the lag each second.
func (b *bench) steady(ctx context.Context, f, l *cluster.Node, found *Limits) error {
	load, err := b.startSending(ctx, f, found.Lines, b.plan.limitsFor, found.Rate)
	if err != nil {
		return err
	}
	defer load.Kill()
	const throttled = `tributary_stream_put_retries_total{reason="throttled"}`
	start := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, err := f.Metrics()
	if err != nil {
		return err
	}
	last := before
	for load.Running() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		s, now, err := sample(f, l, before, time.Since(start).Seconds())
		if err != nil {
			return err
		}
		last = now
		found.Samples = append(found.Samples, s)
	}
	sent, err := collect[LoadFound](ctx, load, stageWithin)
	if err != nil {
		return err
	}
	found.Seconds, found.Lines = sent.Seconds, found.Lines+sent.Lines
	found.ThrottledPuts = last.Sum(throttled) - before.Sum(throttled)
	found.judge()
	return nil
}

// sample reads both processes. before is the forwarder's state at the start: what
// it holds back is told in seconds of its mean input since then.
func sample(f, l *cluster.Node, before cluster.Metrics, second float64) (Sample, cluster.Metrics, error) {
	now, err := f.Metrics()
	if err != nil {
		return Sample{}, nil, err
	}
	lake, err := l.Metrics()
	if err != nil {
		return Sample{}, nil, err
	}
	const appended = "tributary_spool_appended_bytes_total"
	s := Sample{Second: second}
	if grown := now.Sum(appended) - before.Sum(appended); grown > 0 {
		s.Forwarder = now.Sum("tributary_spool_backlog_bytes") / (grown / second)
	}
	for _, behind := range by(lake, "tributary_stream_behind_seconds") {
		s.Reader = max(s.Reader, behind)
	}
	return s, now, nil
}

// judge leaves out the first seconds, in which the rate sets in.
func (l *Limits) judge() {
	samples := l.Samples[min(2, len(l.Samples)):]
	var at, lag []float64
	for _, s := range samples {
		at, lag = append(at, s.Second), append(lag, s.lag())
	}
	third := len(lag) / 3
	l.Slope = slope(at, lag)
	l.LagFirst, l.LagLast = median(lag[:third]), median(lag[len(lag)-third:])
	l.Grows = l.Slope > growth && l.LagLast > l.LagFirst+rise
}
