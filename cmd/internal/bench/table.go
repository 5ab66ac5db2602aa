package main

import (
	"fmt"
	"io"
	"strings"
)

// width bounds the report's lines, in characters.
const width = 120

// print writes the report for people.
func (r *Report) print(w io.Writer) {
	r.printMachine(w)
	r.printStages(w)
	r.printYardsticks(w)
	r.printCeilings(w)
	r.printSlow(w)
	r.Acks.print(w)
	r.printLimits(w)
	r.printRealtime(w)
	r.printEncodes(w)
	r.Runtime.print(w)
	r.LakeMemory.print(w)
	r.Crowd.print(w)
	r.printFaulty(w)
	r.printAway(w)
	r.printTargets(w)
}

func (r *Report) printMachine(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "\nTributary %s, %s, %s\n", m.Commit, m.Go, r.Made.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(w, "%s, GOMAXPROCS %d, %s, load average before: %s\n", m.CPU, m.CPUs, m.Kernel, m.LoadBefore)
	fmt.Fprintf(w, "4 KiB append + fdatasync on this disk: median %.2f ms, p99 %.2f ms\n", m.SyncMedian*1e3, m.SyncP99*1e3)
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note: "+note)
	}
	fmt.Fprintln(w, "\nConfiguration in force")
	for _, s := range r.Settings {
		fmt.Fprintf(w, "  %-32s %s\n", s.Key, cut(s.Value, width-35))
	}
}

func (r *Report) printStages(w io.Writer) {
	if len(r.Stages) == 0 {
		return
	}
	fmt.Fprintln(w, "\nStages: medians of the runs; CPU in seconds per million lines; × = by the yardstick's; ± = spread of the runs' ×")
	fmt.Fprintf(w, "  %-10s %6s %9s %7s %10s %10s   %-10s %9s %6s %5s %9s\n",
		"stage", "line", "lines/s", "MB/s", "ceiling", "stream/log", "process", "CPU s/M", "×", "±", "peak RSS")
	for _, s := range r.Stages {
		stream := "-"
		if s.StreamRatio > 0 {
			stream = fmt.Sprintf("%.3f", s.StreamRatio)
		}
		head := fmt.Sprintf("  %-10s %6d %9s %7.1f %10s %10s", s.Stage, s.LineBytes, group(s.LinesPerSecond),
			s.LinesPerSecond*float64(s.LineBytes)/1e6, r.ceilingOf(s), stream)
		for _, p := range s.Processes {
			peak := "-" // it ended before anyone looked
			if p.PeakRSS > 0 {
				peak = fmt.Sprintf("%d MiB", p.PeakRSS>>20)
			}
			fmt.Fprintf(w, "%s   %-10s %9.2f %6.2f %4.0f%% %9s\n", head, p.Process, p.CPUPerMillion, p.Ratio, p.Spread*100, peak)
			head = strings.Repeat(" ", len([]rune(head)))
		}
	}
	fmt.Fprintln(w, "  ceiling: lines/s that the endpoints would take, or give, if the SDK did nothing else; see below.")
	fmt.Fprintln(w, "  The reader waits 250 ms between calls and a stage's clock runs until its last process has stopped.")
}

// ceilingOf is what bounds a stage from the side of the endpoints, in lines/s.
func (r *Report) ceilingOf(s StageRow) string {
	for _, c := range r.Ceilings {
		if c.LineBytes != s.LineBytes {
			continue
		}
		if s.Stage == stageForward || s.Stage == stageChain {
			return group(c.PutLines)
		}
		return group(c.GetLines)
	}
	return "-"
}

func (r *Report) printYardsticks(w io.Writer) {
	if len(r.Yardsticks) == 0 {
		return
	}
	fmt.Fprintln(w, "\nYardstick: zstd, fastest, blocks of 1.2 MB, one thread; before and after each stage")
	for _, y := range r.Yardsticks {
		fmt.Fprintf(w, "  %5d B   median %8.3f CPU s per million lines (%.0f MB/s), spread %.0f%%, %.2f×; with JSON scan and msgpack %.2f\n", y.LineBytes,
			median(y.CPUPerMillion), float64(y.LineBytes)/median(y.CPUPerMillion), spread(y.CPUPerMillion)*100, y.Compression, y.Parts)
	}
}

func (r *Report) printCeilings(w io.Writer) {
	if len(r.Ceilings) == 0 {
		return
	}
	fmt.Fprintln(w, "\nCeiling of the endpoints: the SDK alone with records of the same size, on the same cores")
	fmt.Fprintf(w, "  %7s %12s   %-45s %-45s\n", "line", "record", "PutRecords", "GetRecords")
	for _, c := range r.Ceilings {
		fmt.Fprintf(w, "  %7d %8d KiB   %-45s %-45s\n", c.LineBytes, c.RecordBytes>>10,
			ceilingText(c.PutPerSecond, c.RecordBytes, c.PutLines, c.PutEndpointCPU), ceilingText(c.GetPerSecond, c.RecordBytes, c.GetLines, c.GetEndpointCPU))
	}
}

func ceilingText(rate float64, bytes int64, lines, cpu float64) string {
	return fmt.Sprintf("%.0f/s, %.0f MB/s, %s lines/s, CPU %.0f%%", rate, rate*float64(bytes)/1e6, group(lines), cpu*100)
}

func (r *Report) printSlow(w io.Writer) {
	s := r.Slow
	if s == nil {
		return
	}
	fmt.Fprintf(w, "\nOne forwarder at %.1f KB/s (%.0f lines/s of %d B for %.0f s)\n", s.Rate*float64(s.LineBytes)/1e3, s.Rate, s.LineBytes, s.Seconds)
	fmt.Fprintf(w, "  bytes into Kinesis per log byte  %.3f in %d records\n", s.StreamRatio, s.Records)
	fmt.Fprintf(w, "  from a line to the stream        p50 %.2f s, p99 %.2f s; linger %.2f s\n", s.DelayP50, s.DelayP99, s.Linger)
	fmt.Fprintf(w, "  the forwarder took               %.2f CPU seconds, %d MiB\n", s.Forwarder.CPUSeconds, s.Forwarder.PeakRSS>>20)
}

func (r *Report) printLimits(w io.Writer) {
	l := r.Limits
	if l == nil {
		return
	}
	fmt.Fprintf(w, "\nWhole chain with shard limits on: %d shards, %d lanes, lines of %d B\n", l.Shards, l.Lanes, l.LineBytes)
	fmt.Fprintf(w, "  allowed   %d × 1 MiB/s ÷ %.0f B per line ÷ imbalance %.2f = %s lines/s\n", l.Shards, l.BytesPerLine, l.Imbalance, group(l.Allowed))
	fmt.Fprintf(w, "  sent      %s lines/s (%.0f%% of it) for %.0f s, %.0f records throttled\n", group(l.Rate), useOfAllowed*100, l.Seconds, l.ThrottledPuts)
	fmt.Fprintf(w, "  lag       %s\n", sampled(l.Samples))
	grows := "it does not grow"
	if l.Grows {
		grows = "IT GROWS"
	}
	fmt.Fprintf(w, "            first third %.2f s, last third %.2f s, slope %+.3f s/s: %s\n", l.LagFirst, l.LagLast, l.Slope, grows)
}

// shownSamples fit into a line.
const shownSamples = 20

// sampled writes the lag of evenly chosen samples, in seconds.
func sampled(samples []Sample) string {
	var b strings.Builder
	every := (len(samples) + shownSamples - 1) / shownSamples
	for i := 0; i < len(samples); i += every {
		fmt.Fprintf(&b, "%.1f ", samples[i].lag())
	}
	return b.String() + "s"
}

func (r *Report) printTargets(w io.Writer) {
	if len(r.Targets) == 0 {
		return
	}
	fmt.Fprintln(w, "\nTargets")
	for _, t := range r.Targets {
		verdict := "reached"
		if !t.Reached {
			verdict = "NOT REACHED"
		}
		fmt.Fprintf(w, "  %-42s %-25s %-32s %s\n", t.What, t.Want, t.Got, verdict)
	}
}

// printChanges compares ratios with those of an earlier report.
func printChanges(w io.Writer, before, now *Report) {
	fmt.Fprintf(w, "\nAgainst %s of %s (ratios to the yardstick; %.0f%% is what one code may differ by)\n",
		before.Machine.Commit, before.Made.Format("2006-01-02 15:04"), tolerance*100)
	for _, c := range changes(before, now) {
		verdict := "within"
		if !c.Within() {
			verdict = "OUTSIDE"
		}
		fmt.Fprintf(w, "  %-10s %7d B  %-10s %7.2f → %7.2f  %+5.1f%%  %s\n", c.Stage, c.LineBytes, c.Process, c.Before, c.Now, c.Relative()*100, verdict)
	}
}

// cut shortens text to n characters.
func cut(text string, n int) string {
	r := []rune(text)
	if len(r) <= n {
		return text
	}
	return string(r[:n-1]) + "…"
}
