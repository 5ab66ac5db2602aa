package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

const mib = 1 << 20

// print writes what was measured; what was left out has no row.
func (r *Runtime) print(w io.Writer) {
	if r == nil {
		return
	}
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-34s %s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "\nConsumer runtime: shard limits on, leases of %.0f s, sinks that do nothing; the worst of the runs, all in brackets\n", r.Lease)
	if c := r.Cold; c != nil {
		row(fmt.Sprintf("cold start, %d shards", c.Shards), "%s from the process's start to the first record of the last shard", worst(c.Seconds))
	}
	if b := r.Balance; b != nil {
		row(fmt.Sprintf("%d shards, %d workers from nothing", b.Shards, b.Workers-1), "%.2f s until even", b.Start)
		row("  one more joins", "%.2f s until even; %d shards moved, the least is %d", b.Join, b.JoinMoved, b.JoinMustMove)
		row("  one leaves (SIGTERM)", "%.2f s until even; %d shards moved, the least is %d", b.Leave, b.LeaveMoved, b.LeaveMustMove)
	}
	if f := r.Failover; f != nil {
		row("SIGKILL of a worker of two", "%s until each of its %d shards is read again", worst(f.Killed), f.Shards/2)
		row("SIGTERM of a worker of two", "%s until its leases are taken, %s until read again", worst(f.Handed), worst(f.Stopped))
	}
	for _, d := range r.Decode {
		row("CPU per 500 B event, "+d.Records, "%s µs, %.2f × the yardstick; %s lines/s with the limits of %d shards",
			listed(d.Micros), d.ratio(), group(d.LinesPerSec), d.Shards)
	}
	if i := r.Idle; i != nil {
		row(fmt.Sprintf("idle, %d shards, %d workers", i.Shards, i.Workers), "%.1f lease requests per shard and minute: %s", i.requests(), i.operations())
		row("", "%.2f GetRecords per shard and second, %.1f%% of a CPU per worker", i.Reads, i.CPU*100)
	}
	if m := r.Memory; m != nil {
		row(fmt.Sprintf("memory, %d full shards", m.Shards), "sinks %d MiB, worker_bytes %d MiB; answers %d MiB, read_bytes %d MiB", m.Sinks/mib, m.SinksBound/mib, m.Answers/mib, m.AnswersBound/mib)
		row("", "Go %d MiB, memory limit %d MiB; resident %d MiB", m.Go/mib, m.GoBound/mib, m.Process/mib)
		row("", "%d MB decoded in %.0f s, %s events read twice", m.Decoded/1e6, m.Seconds, group(float64(m.Again)))
	}
}

// worst writes the largest of the runs and all of them.
func worst(seconds []float64) string {
	if len(seconds) == 0 {
		return "-"
	}
	if len(seconds) == 1 {
		return fmt.Sprintf("%.2f s", seconds[0])
	}
	return fmt.Sprintf("%.2f s (%s)", slices.Max(seconds), each(seconds))
}

// listed writes the median of the runs and all of them.
func listed(values []float64) string {
	if len(values) == 1 {
		return fmt.Sprintf("%.2f", values[0])
	}
	return fmt.Sprintf("%.2f (%s)", median(values), each(values))
}

func each(values []float64) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("%.2f", v))
	}
	return strings.Join(all, " ")
}

func (i *Idle) requests() (sum float64) {
	for _, n := range i.PerShardMinute {
		sum += n
	}
	return sum
}

func (i *Idle) operations() string {
	var all []string
	for _, op := range slices.Sorted(maps.Keys(i.PerShardMinute)) {
		all = append(all, fmt.Sprintf("%s %.2f", op, i.PerShardMinute[op]))
	}
	return strings.Join(all, ", ")
}

// What the project promises of it. The figures; a graceful end may take a
// flush beside its second, which here is none.
const (
	wantCold    = 2.0 // seconds
	wantBalance = 5.0
	wantKilled  = 2.0 // beside the lease's duration
	wantHanded  = 1.0
	wantBatch   = 2.0 // microseconds
	wantBare    = 10.0
)

func (r *Runtime) targets() (out []Target) {
	below := func(what string, want, got float64, unit string) {
		out = append(out, Target{what, fmt.Sprintf("at most %g %s", want, unit), fmt.Sprintf("%.2f %s", got, unit), got <= want})
	}
	if r.Cold != nil {
		below(fmt.Sprintf("cold start of %d shards", r.Cold.Shards), wantCold, slices.Max(r.Cold.Seconds), "s")
	}
	if b := r.Balance; b != nil {
		below(fmt.Sprintf("%d shards even after a worker joins", b.Shards), wantBalance, b.Join, "s")
		below(fmt.Sprintf("%d shards even after a worker leaves", b.Shards), wantBalance, b.Leave, "s")
	}
	if f := r.Failover; f != nil {
		below("shards read again after SIGKILL", r.Lease+wantKilled, slices.Max(f.Killed), "s")
		below("shards handed over after SIGTERM", wantHanded, slices.Max(f.Handed), "s")
	}
	for _, d := range r.Decode {
		want := map[string]float64{recordsBatch: wantBatch, recordsBare: wantBare}[d.Records]
		below("CPU per 500 B event, "+d.Records, want, median(d.Micros), "µs")
	}
	if m := r.Memory; m != nil {
		for _, of := range []struct {
			what       string
			bound, got int64
		}{{"sinks", m.SinksBound, m.Sinks}, {"answers", m.AnswersBound, m.Answers}, {"Go", m.GoBound, m.Go}} {
			out = append(out, Target{
				fmt.Sprintf("memory, %d full shards: %s", m.Shards, of.what), fmt.Sprintf("at most %d MiB", of.bound/mib),
				fmt.Sprintf("%d MiB", of.got/mib), of.got <= of.bound,
			})
		}
	}
	return out
}
