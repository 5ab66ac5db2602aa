package main

import "fmt"

const (
	wantChain = 40_000 // lines of 500 B per second, shard limits off
	wantRSS   = 400e6  // bytes, of each process
	wantSlow  = 0.4    // bytes into Kinesis per log byte at 8 KB/s
)

// targets judges what was measured; what was left out has no row.
func (r *Report) targets() (out []Target) {
	if s := r.stage(stageChain, 500); s != nil {
		out = append(out, Target{
			"whole chain, 500 B lines, shard limits off", fmt.Sprintf("at least %s lines/s", group(wantChain)),
			group(s.LinesPerSecond) + " lines/s", s.LinesPerSecond >= wantChain,
		})
	}
	if r.Acks != nil {
		out = append(out, r.Acks.targets()...)
	}
	out = append(out, r.forwarderTargets()...)
	if l := r.Limits; l != nil {
		out = append(out, Target{
			"lag with shard limits on", "does not grow",
			fmt.Sprintf("%+.3f s/s, %.2f s then %.2f s", l.Slope, l.LagFirst, l.LagLast), !l.Grows,
		})
	}
	for _, x := range r.Realtime {
		out = append(out, x.targets()...)
	}
	for _, e := range r.Encodes {
		out = append(out, e.targets()...)
	}
	if r.Runtime != nil {
		out = append(out, r.Runtime.targets()...)
	}
	if r.LakeMemory != nil {
		out = append(out, r.LakeMemory.targets()...)
	}
	out = append(out, r.Crowd.targets()...)
	for _, f := range r.Faulty {
		out = append(out, f.targets()...)
	}
	for _, a := range r.Away {
		out = append(out, a.targets()...)
	}
	return append(out, r.peaks()...)
}

// forwarderTargets hold the forwarder against what Fluent Bit 5.1.1 took on a machine of
// the same kind, without a disk buffer and without compression. No command here runs it.
func (r *Report) forwarderTargets() (out []Target) {
	cpu := func(what, stage string, size int, want float64) {
		if s := r.stage(stage, size); s != nil {
			got := s.Processes[0].CPUPerMillion
			out = append(out, Target{what, fmt.Sprintf("at most %.1f CPU s/M lines", want), fmt.Sprintf("%.2f", got), got <= want})
		}
	}
	cpu("forwarder, 500 B lines (Fluent Bit 10.7)", stageForward, 500, 6)
	cpu("forwarder, 4 KB lines (Fluent Bit 39)", stageForward, 4<<10, 39)
	cpu("40 KB lines rejoined, not published (Fluent Bit 113)", stageRejoin, 40<<10, 90)
	for _, y := range r.Yardsticks {
		if s := r.stage(stageForward, 4<<10); s != nil && y.LineBytes == s.LineBytes {
			got := s.Processes[0].CPUPerMillion / y.Parts
			out = append(out, Target{"forwarder, 4 KB lines, by zstd + scan + msgpack", "at most 1.3 times", fmt.Sprintf("%.2f", got), got <= 1.3})
		}
	}
	if s := r.stage(stageForward, 500); s != nil {
		out = append(out, Target{"forwarder's memory, 500 B lines (Fluent Bit 132 MB)", "at most 64 MB", fmt.Sprintf("%d MB", s.Processes[0].PeakRSS/1e6), s.Processes[0].PeakRSS <= 64e6},
			Target{"bytes into Kinesis per log byte, 500 B, full speed", "at most 0.25", fmt.Sprintf("%.3f", s.StreamRatio), s.StreamRatio <= 0.25})
	}
	if s := r.Slow; s != nil {
		out = append(out, Target{"bytes into Kinesis per log byte at 8 KB/s", fmt.Sprintf("at most %.1f", wantSlow), fmt.Sprintf("%.3f", s.StreamRatio), s.StreamRatio <= wantSlow})
	}
	return out
}

// peaks has a row for each process of the product, with its highest peak.
func (r *Report) peaks() (out []Target) {
	most := make(map[string]int64)
	for _, run := range r.Runs {
		for _, p := range run.Processes {
			most[p.Process] = max(most[p.Process], p.PeakRSS)
		}
	}
	for _, name := range []string{processForwarder, processLake, processEndpoints, processReader, processLoad} {
		if peak := most[name]; peak > 0 { // 0: it ended before anyone looked
			out = append(out, Target{
				"peak memory of " + name, "below 400 MB", fmt.Sprintf("%d MB", peak/1e6), peak < wantRSS,
			})
		}
	}
	return out
}

// group writes 1234567 as 1,234,567.
func group(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
