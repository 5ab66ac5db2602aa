package main

import (
	"context"
	"fmt"
	"time"

	"tributary/consumers"
)

// Memory is a worker of many shards that lie full, with sinks that keep what they
// are given until a flush: what it holds at its fullest, and what it may.
type Memory struct {
	Shards  int     `json:"shards"`
	Decoded int64   `json:"decoded_bytes"` // read through
	Again   int64   `json:"events_read_again"`
	Seconds float64 `json:"seconds"`
	// Sinks and Answers are the highest that the worker's own gauges said, ten times
	// a second; Bounds are what the configuration allows.
	Sinks        int64 `json:"sinks_bytes"`
	SinksBound   int64 `json:"sinks_bound_bytes"`
	Answers      int64 `json:"answers_bytes"`
	AnswersBound int64 `json:"answers_bound_bytes"`
	// Go is the most that the Go runtime had. Its limit is what the engine says reading
	// takes and what the command allows for stacks, connections and tables.
	Go      int64 `json:"go_bytes"`
	GoBound int64 `json:"memory_limit_bytes"`
	Process int64 `json:"peak_rss_bytes"` // pages of the executable included
}

// holdFlush is a flush that takes its time: the others press meanwhile.
const holdFlush = 200 * time.Millisecond

func (b *bench) holding(ctx context.Context, r *Runtime) error {
	p := b.plan.runtime
	w, lines, err := b.filled(ctx, p.memoryShards, FillOrder{Batches: p.memoryBatches})
	if err != nil {
		return err
	}
	defer w.end()
	cfg := consumers.DefaultConfig()
	found := &Memory{
		Shards: p.memoryShards, SinksBound: cfg.Policy.WorkerBytes, AnswersBound: cfg.Reader.ReadBytes,
		GoBound: cfg.MemoryBytes() + codeBytes,
	}
	// Sinks are full long before they are as old as a lease; only the last flush waits.
	c := w.crew(WorkerOrder{
		Group: "bench-memory", Lease: p.lease, Counts: 100 * time.Millisecond,
		Holds: true, FlushTime: holdFlush, MaxAge: p.lease, MemoryLimit: found.GoBound,
	})
	m, err := c.hire(ctx)
	if err != nil {
		return err
	}
	defer c.dismiss()
	if err := m.has(ctx, flushedEvents, lines); err != nil {
		return err
	}
	found.Seconds = time.Since(m.started).Seconds()
	counters, err := m.leave(ctx)
	if err != nil {
		return err
	}
	found.Again = int64(counters.Events) - lines
	found.Decoded, found.Process = int64(counters.Bytes), m.Usage().PeakRSS
	r.Memory = found
	return found.peaks(m.path, lines)
}

// codeBytes is what the command allows for code, stacks, connections and tables.
const codeBytes = 48 << 20

// peaks also checks that every line was flushed once: a shard that was given up and
// taken again is read twice, but what it held before was never flushed.
func (m *Memory) peaks(diary string, lines int64) error {
	entries, err := readDiary(diary)
	if err != nil {
		return err
	}
	if _, last := countedIn(entries, time.Time{}); last.Figures[flushedEvents] != float64(lines) {
		return fmt.Errorf("of %d lines %.0f were flushed", lines, last.Figures[flushedEvents])
	}
	for _, e := range entries {
		m.Sinks = max(m.Sinks, int64(e.Figures["tributary_consumers_held_bytes"]))
		m.Go = max(m.Go, int64(e.Figures[goMemory]))
		m.Answers = max(m.Answers, int64(e.Figures["tributary_stream_read_memory_bytes"]))
	}
	return nil
}
