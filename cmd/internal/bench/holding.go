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
	Seconds float64 `json:"seconds"`
	// Sinks and Answers are the highest that the worker's own gauges said, ten times
	// a second; Bounds are what the configuration allows.
	Sinks        int64 `json:"sinks_bytes"`
	SinksBound   int64 `json:"sinks_bound_bytes"`
	Answers      int64 `json:"answers_bytes"`
	AnswersBound int64 `json:"answers_bound_bytes"`
	// Process is the peak resident memory. ProcessBound is what the engine says reading
	// takes and what the command allows for code, the limit of the garbage collector.
	Process      int64 `json:"peak_rss_bytes"`
	ProcessBound int64 `json:"memory_limit_bytes"`
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
		ProcessBound: cfg.MemoryBytes() + codeBytes,
	}
	c := w.crew(WorkerOrder{
		Group: "bench-memory", Lease: p.lease, Counts: 100 * time.Millisecond,
		Holds: true, FlushTime: holdFlush, MemoryLimit: found.ProcessBound,
	})
	m, err := c.hire(ctx)
	if err != nil {
		return err
	}
	defer c.dismiss()
	if err := m.hasRead(ctx, lines); err != nil {
		return err
	}
	found.Seconds = time.Since(m.started).Seconds()
	counters, err := m.leave(ctx)
	if err != nil {
		return err
	}
	if counters.Events != uint64(lines) || counters.Duplicates+counters.Rejects > 0 {
		return fmt.Errorf("of %d lines the group was given %d, %d doubled and %d rejected", lines, counters.Events, counters.Duplicates, counters.Rejects)
	}
	found.Decoded, found.Process = int64(counters.Bytes), m.Usage().PeakRSS
	r.Memory = found
	b.log("  process %d MiB of %d MiB", found.Process/mib, found.ProcessBound/mib)
	return found.peaks(m.path)
}

// codeBytes is what the command allows for code, stacks, connections and tables.
const codeBytes = 48 << 20

func (m *Memory) peaks(diary string) error {
	entries, err := readDiary(diary)
	if err != nil {
		return err
	}
	for _, e := range entries {
		m.Sinks = max(m.Sinks, int64(e.Figures["tributary_consumers_held_bytes"]))
		m.Answers = max(m.Answers, int64(e.Figures["tributary_stream_read_memory_bytes"]))
	}
	return nil
}
