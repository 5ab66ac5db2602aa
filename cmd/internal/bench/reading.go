package main

import (
	"context"
	"fmt"
	"time"
)

// Decode is the CPU that a worker takes for an event of 500 bytes: reading,
// decoding and the engine, with a sink that does nothing. The whole process counts,
// from its start to its end.
type Decode struct {
	Records      string    `json:"records"` // what they hold
	Lines        int64     `json:"lines"`
	Shards       int       `json:"shards"`
	Micros       []float64 `json:"cpu_microseconds_per_event"` // of each run
	Yardstick    float64   `json:"yardstick_cpu_microseconds_per_line"`
	LinesPerSec  float64   `json:"lines_per_second"` // with the limits of so many shards
	ObservedPeak int64     `json:"peak_rss_bytes"`
}

// ratio is to the yardstick beside it; 0 when nothing was measured.
func (d Decode) ratio() float64 {
	if d.Yardstick == 0 {
		return 0
	}
	return median(d.Micros) / d.Yardstick
}

// Contents of records.
const (
	recordsBatch = "v1 batches"
	recordsBare  = "one line each"
)

func (b *bench) reading(ctx context.Context, r *Runtime) error {
	p := b.plan.runtime
	for _, fill := range []struct {
		records string
		order   FillOrder
	}{{recordsBatch, FillOrder{Batches: p.batches}}, {recordsBare, FillOrder{Bare: p.bare}}} {
		found, err := b.readingOf(ctx, fill.records, fill.order)
		if err != nil {
			return fmt.Errorf("%s: %w", fill.records, err)
		}
		r.Decode = append(r.Decode, *found)
	}
	return nil
}

func (b *bench) readingOf(ctx context.Context, records string, o FillOrder) (*Decode, error) {
	p := b.plan.runtime
	w, lines, err := b.filled(ctx, p.readShards, o)
	if err != nil {
		return nil, err
	}
	defer w.end()
	yard := newYard(b.plan.yard, b.source(limitsSize).lines(), limitsSize)
	found := &Decode{Records: records, Lines: lines, Shards: p.readShards}
	var rates []float64
	for run := range p.runs {
		if _, err := yard.measure(); err != nil {
			return nil, err
		}
		took, err := b.readAll(ctx, w, lines, run, found)
		if err != nil {
			return nil, err
		}
		rates = append(rates, float64(lines)/took.Seconds())
	}
	if _, err := yard.measure(); err != nil {
		return nil, err
	}
	found.Yardstick, found.LinesPerSec = median(yard.found.CPUPerMillion), median(rates)
	return found, nil
}

// steadyLease is longer than a busy machine keeps a worker from renewing: a shard that is
// lost is read again.
const steadyLease = 10 * time.Second

// readAll is a group of its own that reads the stream once.
func (b *bench) readAll(ctx context.Context, w *world, lines int64, run int, found *Decode) (took time.Duration, err error) {
	c := w.crew(WorkerOrder{
		Group: fmt.Sprintf("bench-reading-%d", run), Lease: steadyLease, Counts: 100 * time.Millisecond,
		Profile: b.profile.path("runtime", limitsSize, run+1, processWorker),
	})
	m, err := c.hire(ctx)
	if err != nil {
		return 0, err
	}
	defer c.dismiss()
	if err := m.has(ctx, "tributary_consumers_events_total", lines); err != nil {
		return 0, err
	}
	took = time.Since(m.started)
	counters, err := m.leave(ctx)
	if err != nil {
		return 0, err
	}
	if counters.Events != uint64(lines) || counters.Duplicates+counters.Rejects > 0 {
		return 0, fmt.Errorf("of %d lines the group was given %d, %d doubled and %d rejected:\n%s", lines, counters.Events, counters.Duplicates, counters.Rejects, m.Output())
	}
	u := m.Usage()
	found.Micros = append(found.Micros, u.CPU.Seconds()*1e6/float64(lines))
	found.ObservedPeak = max(found.ObservedPeak, u.PeakRSS)
	b.log("  %-14s %.2f µs per event", found.Records, found.Micros[len(found.Micros)-1])
	return took, nil
}

// has waits until a worker's metric has reached a number of lines.
func (m *crewman) has(ctx context.Context, metric string, lines int64) error {
	err := waitFor(ctx, metric+" to tell of all lines", stageWithin, 50*time.Millisecond, func() (bool, error) {
		if !m.Running() {
			return false, fmt.Errorf("the worker has ended")
		}
		entries, err := readDiary(m.path)
		if err != nil {
			return false, err
		}
		_, last := countedIn(entries, m.started)
		return last.Figures[metric] >= float64(lines), nil
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, m.Output())
	}
	return nil
}
