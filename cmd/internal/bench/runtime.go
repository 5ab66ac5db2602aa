package main

import (
	"context"
	"fmt"
	"time"
)

// Runtime is what the engine of consumer groups takes and how soon it acts, with
// shard limits on and sinks that do nothing.
type Runtime struct {
	Lease    float64   `json:"lease_duration_seconds"`
	Cold     *Cold     `json:"cold_start,omitempty"`
	Balance  *Balance  `json:"balance,omitempty"`
	Idle     *Idle     `json:"idle,omitempty"`
	Failover *Failover `json:"failover,omitempty"`
	Decode   []Decode  `json:"decode,omitempty"`
	Memory   *Memory   `json:"memory,omitempty"`
}

// runtimePlan is how much of it is measured.
type runtimePlan struct {
	lease time.Duration
	runs  int // of cold starts, failovers and of reading

	coldShards     int
	shards         int // shared among
	workers        int
	settle         time.Duration // how long an even share must last to count
	idle           time.Duration
	failoverShards int
	readShards     int
	batches, bare  int // records per shard
	memoryShards   int
	memoryBatches  int // per shard
	lakeBatches    int // per shard: more than the lake's sinks may hold
	pendingBatches int // per shard: what a worker is about to flush when it dies
	lakeAge        time.Duration
}

// fullRuntime takes some three minutes. 64 batches of 2,000 lines on each of eight
// shards are a million lines, which CPU accounting by the hundredth of a second
// measures to a half percent.
func fullRuntime() runtimePlan {
	return runtimePlan{
		lease: 10 * time.Second, runs: 3,
		coldShards: 4, shards: 256, workers: 8, settle: 3 * time.Second, idle: 30 * time.Second,
		failoverShards: 8, readShards: 8, batches: 64, bare: 25_000,
		memoryShards: 64, memoryBatches: 12, lakeBatches: 24, pendingBatches: 7, lakeAge: 30 * time.Second,
	}
}

func quickRuntime() runtimePlan {
	return runtimePlan{
		lease: 2 * time.Second, runs: 1,
		coldShards: 4, shards: 16, workers: 2, settle: time.Second, idle: 3 * time.Second,
		failoverShards: 4, readShards: 4, batches: 2, bare: 500,
		memoryShards: 8, memoryBatches: 4, lakeBatches: 4, pendingBatches: 2, lakeAge: 2 * time.Second,
	}
}

// runtime measures one thing after the other, each in a world of its own.
func (b *bench) runtime(ctx context.Context) error {
	p := b.plan.runtime
	r := &Runtime{Lease: p.lease.Seconds()}
	b.report.Runtime = r
	for _, step := range []struct {
		what string
		run  func(context.Context, *Runtime) error
	}{
		{fmt.Sprintf("cold start of %d shards", p.coldShards), b.coldStart},
		{fmt.Sprintf("%d shards, %d workers", p.shards, p.workers), b.balance},
		{"failover", b.failover},
		{"CPU of reading", b.reading},
		{fmt.Sprintf("memory with %d shards", p.memoryShards), b.holding},
	} {
		b.log("consumer runtime: %s", step.what)
		if err := step.run(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
