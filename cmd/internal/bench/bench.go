package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
)

// bench is one benchmark.
type bench struct {
	plan    plan
	dir     string    // for everything; removed at the end
	binary  string    // empty: to be built
	base    time.Time // of the lines' own times
	profile profiler
	out     io.Writer // progress
	report  *Report
}

func (b *bench) log(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// lineStep makes all lines of a run fall into one hour: a run that meets the turn
// of an hour would write twice the objects.
const lineStep = 5 * time.Millisecond

func (b *bench) source(size int) Source {
	return Source{Seed: b.plan.seed, Size: size, Base: b.base, Step: lineStep}
}

// run fills the report.
func (b *bench) run(ctx context.Context) (err error) {
	if b.report.Machine, err = look(b.dir); err != nil {
		return err
	}
	if b.report.Settings, err = inForce(); err != nil {
		return err
	}
	if b.binary == "" {
		b.log("building the binary")
		if b.binary, err = cluster.Build(b.dir); err != nil {
			return err
		}
	}
	if b.plan.has(partStages) {
		if err := b.stages(ctx); err != nil {
			return err
		}
	}
	if b.plan.has(partSlow) {
		b.log("one forwarder at %d lines/s for %v", slowRate, b.plan.slowFor)
		if b.report.Slow, err = b.slow(ctx); err != nil {
			return fmt.Errorf("slow: %w", err)
		}
	}
	if b.plan.has(partAcks) {
		b.log("acks after write and after fdatasync")
		if b.report.Acks, err = b.acks(ctx); err != nil {
			return fmt.Errorf("acks: %w", err)
		}
	}
	if b.plan.has(partLimits) {
		b.log("shard limits on, for %v", b.plan.limitsWarm+b.plan.limitsFor)
		if b.report.Limits, err = b.limits(ctx, b.streamBytesPerLine()); err != nil {
			return fmt.Errorf("limits: %w", err)
		}
	}
	if b.plan.has(partRealtime) {
		if err := b.realtime(ctx); err != nil {
			return fmt.Errorf("realtime: %w", err)
		}
	}
	if b.plan.has(partEncode) {
		b.log("the lake's encoder")
		if err := b.encode(ctx); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	if b.plan.has(partConsumers) {
		if err := b.runtime(ctx); err != nil {
			return fmt.Errorf("consumer runtime: %w", err)
		}
	}
	if b.plan.has(partLakeMemory) {
		if err := b.lakeMemory(ctx); err != nil {
			return fmt.Errorf("lake memory: %w", err)
		}
	}
	if b.plan.has(partCrowd) {
		b.log("a crowd")
		if b.report.Crowd, err = b.crowd(ctx); err != nil {
			return fmt.Errorf("crowd: %w", err)
		}
	}
	if b.plan.has(partFaulty) {
		if err := b.faulty(ctx); err != nil {
			return fmt.Errorf("faulty: %w", err)
		}
	}
	if b.plan.has(partAway) {
		if err := b.away(ctx); err != nil {
			return fmt.Errorf("away: %w", err)
		}
	}
	b.report.Targets = b.report.peaks()
	if b.plan.judged {
		b.report.Targets = b.report.targets()
	}
	return nil
}

// stages runs rounds of all sizes in turn, so that a slow minute of the machine
// meets one run of each and not all runs of one.
func (b *bench) stages(ctx context.Context) error {
	yards := make(map[int]*zstdYard)
	for _, size := range b.plan.sizes {
		yards[size] = newYard(b.plan.yard, b.source(size).lines(), size)
	}
	for run := 1; run <= b.plan.runs; run++ {
		for _, size := range b.plan.sizes {
			b.log("run %d of %d, lines of %d B", run, b.plan.runs, size)
			r := &round{bench: b, size: size, lines: b.plan.lines[size], run: run, yard: yards[size]}
			if err := r.all(ctx); err != nil {
				return err
			}
			b.report.Runs = append(b.report.Runs, r.out...)
		}
	}
	b.report.Stages = stageRows(b.report.Runs)
	for _, size := range b.plan.sizes {
		yard := yards[size].found
		var err error
		if yard.Parts, err = partsOf(b.plan.yard, b.source(size).lines(), size, median(yard.CPUPerMillion)); err != nil {
			return err
		}
		b.report.Yardsticks = append(b.report.Yardsticks, yard)
		b.log("ceiling of the endpoints, lines of %d B", size)
		c, err := b.ceiling(ctx, b.report.stage(stageForward, size))
		if err != nil {
			return fmt.Errorf("ceiling, %d B: %w", size, err)
		}
		b.report.Ceilings = append(b.report.Ceilings, c)
	}
	return nil
}

// streamBytesPerLine is what the stages found for the smallest lines; without them
// what app logs of this generator compress to.
func (b *bench) streamBytesPerLine() float64 {
	if s := b.report.stage(stageForward, limitsSize); s != nil && s.StreamRatio > 0 {
		return s.StreamRatio * limitsSize
	}
	return limitsSize / 4.5
}

// linger is the latency bound in force.
func (b *bench) linger() (time.Duration, error) {
	s, err := app.Load(app.Defaults(), "", forwardSets)
	if err != nil {
		return 0, err
	}
	return s.Forward.Linger, nil
}

// workDir makes a directory below parent: on the disk of the project, since /tmp
// may be memory, where fdatasync costs nothing.
func workDir(parent string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "bench-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	return dir, nil
}
