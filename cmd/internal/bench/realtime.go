package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/cmd/internal/cluster"
	"tributary/cmd/internal/workload"
)

// Realtime is how soon a line that a container writes is accepted by CloudWatch Logs,
// with all limits on: from when it is due to be written to the service's own time of
// taking it.
type Realtime struct {
	Name      string  `json:"name"`
	Shards    int     `json:"shards"`
	Groups    int     `json:"groups_reading"`
	Rate      float64 `json:"lines_per_second"`
	Seconds   float64 `json:"seconds"`
	Lines     int64   `json:"lines"` // all of them accepted, those of the warm-up too
	Copies    int64   `json:"copies_too_many"`
	DelayP50  float64 `json:"line_to_accepted_p50_seconds"`
	DelayP99  float64 `json:"line_to_accepted_p99_seconds"`
	DelayMost float64 `json:"line_to_accepted_most_seconds"`
	Late      float64 `json:"accepted_after_the_last_line_seconds"`
	WantP99   float64 `json:"want_p99_seconds,omitempty"`
	Processes []Usage `json:"processes"`
}

// realtimeCase is one of them.
type realtimeCase struct {
	name   string
	rate   float64
	shards int
	fanOut bool
	others int     // groups that read beside it
	want   float64 // of the 99th hundredth, seconds; 0: none
}

var allRealtime = []realtimeCase{
	{name: "polling, three groups", rate: 5_000, shards: 4, others: 2, want: 2.5},
	{name: "fan-out", rate: 5_000, shards: 4, fanOut: true, want: 0.7},
	{name: "much", rate: 20_000, shards: 8},
}

// realtimeConnections are as many containers: a lane is one shard's rate at most, and
// few containers fall on lanes unevenly.
const realtimeConnections = 64

func (b *bench) realtime(ctx context.Context) error {
	for _, c := range b.plan.realtime {
		b.log("CloudWatch Logs: %s, %.0f lines/s for %v", c.name, c.rate, b.plan.realtimeFor+b.plan.realtimeWarm)
		found, err := b.realtimeCase(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.report.Realtime = append(b.report.Realtime, found)
	}
	return nil
}

func (b *bench) realtimeCase(ctx context.Context, c realtimeCase) (*Realtime, error) {
	w, err := b.newWorld(ctx, c.shards, true)
	if err != nil {
		return nil, err
	}
	defer w.end()
	worker, err := w.RealtimeWorker(processRealtime, arguments(map[string]string{"realtime.group.reader.fan_out.enabled": fmt.Sprint(c.fanOut), "admin.pprof": "true"})...)
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx, worker); err != nil {
		return nil, err
	}
	for i := range c.others {
		name := fmt.Sprintf("lake-%d", i+1)
		l, err := w.LakeWorker(name, append(arguments(lakeSets), "--group", name, "--set", "lake.prefix="+name)...)
		if err != nil {
			return nil, err
		}
		if err := w.start(ctx, l); err != nil {
			return nil, err
		}
	}
	f, err := w.forwarder(ctx)
	if err != nil {
		return nil, err
	}
	warm := int64(c.rate * b.plan.realtimeWarm.Seconds())
	count := warm + int64(c.rate*b.plan.realtimeFor.Seconds())
	src := Source{Seed: b.plan.seed, Size: limitsSize, Base: time.Now().Add(time.Second), Step: time.Duration(float64(time.Second) / c.rate)}
	var m meter
	m.add(processForwarder, &f.Process)
	m.add(processRealtime, &worker.Process)
	m.add(processEndpoints, &w.endpoints.Process)
	sent, err := b.sendAt(ctx, f, src, count, c.rate)
	if err != nil {
		return nil, err
	}
	last := src.Base.Add(time.Duration(count) * src.Step)
	if err := waitFor(ctx, "all lines to be accepted", stageWithin, 100*time.Millisecond, func() (bool, error) {
		metrics, err := worker.Metrics()
		return metrics.Sum("tributary_cloudwatch_lines_total") >= float64(count), err
	}); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, worker.Output())
	}
	found := &Realtime{Name: c.name, Shards: c.shards, Groups: 1 + c.others, Rate: c.rate, Seconds: sent.Seconds, Lines: count, Late: time.Since(last).Seconds(), WantP99: c.want, Processes: m.read()}
	return found, found.read(ctx, w.Cluster, src, warm)
}

// sendAt sends line n when it is due: src.Step after the one before.
func (b *bench) sendAt(ctx context.Context, f *cluster.Node, src Source, count int64, rate float64) (LoadFound, error) {
	load, err := newChild(processLoad, LoadOrder{Address: f.Forward, Lines: src, Count: count, Rate: rate, Connections: realtimeConnections}, nil)
	if err != nil {
		return LoadFound{}, err
	}
	defer load.Kill()
	if err := pause(ctx, time.Until(src.Base)); err != nil {
		return LoadFound{}, err
	}
	if err := load.Start(ctx); err != nil {
		return LoadFound{}, err
	}
	return collect[LoadFound](ctx, load, stageWithin)
}

// read counts what lies in the log groups, errors apart not, and how long after it was
// due each line was taken.
func (r *Realtime) read(ctx context.Context, c *cluster.Cluster, src Source, warm int64) error {
	var mu sync.Mutex
	seen := make([]uint8, r.Lines)
	var delays []float64
	take := func(group, _ string, events []types.OutputLogEvent) error {
		if strings.HasSuffix(group, "/errors") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			seed, n, ok := workload.Number([]byte(*e.Message))
			if !ok || seed != src.Seed || n >= r.Lines {
				return fmt.Errorf("an event that nobody sent: %.80q", *e.Message)
			}
			seen[n]++
			if n >= warm {
				due := src.Base.Add(time.Duration(n) * src.Step)
				delays = append(delays, time.UnixMilli(*e.IngestionTime).Sub(due).Seconds())
			}
		}
		return nil
	}
	if _, err := c.EachLogPage(ctx, take); err != nil {
		return err
	}
	var missing int64
	for _, n := range seen {
		if n == 0 {
			missing++
		}
		r.Copies += max(0, int64(n)-1)
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d lines are missing", missing, r.Lines)
	}
	r.DelayP50, r.DelayP99, r.DelayMost = quantile(delays, 0.5), quantile(delays, 0.99), quantile(delays, 1)
	return nil
}

func (r *Realtime) targets() (out []Target) {
	if r.WantP99 > 0 {
		out = append(out, Target{
			fmt.Sprintf("socket to accepted by CloudWatch Logs, %s", r.Name), fmt.Sprintf("99 %% within %.1f s", r.WantP99),
			fmt.Sprintf("%.2f s", r.DelayP99), r.DelayP99 < r.WantP99,
		})
	} else {
		// What does not keep up is later at the end than it was in the middle.
		out = append(out, Target{
			fmt.Sprintf("%s lines/s of %d B into CloudWatch Logs", group(r.Rate), limitsSize), "kept up",
			fmt.Sprintf("all accepted %.1f s after the last, in the middle %.2f s", r.Late, r.DelayP50), r.Late < r.DelayP50+3,
		})
	}
	return out
}

func (r *Report) printRealtime(w io.Writer) {
	if len(r.Realtime) == 0 {
		return
	}
	fmt.Fprintf(w, "\nFrom socket to accepted by CloudWatch Logs, lines of %d B, all limits on\n", limitsSize)
	fmt.Fprintf(w, "  %-24s %8s %7s %7s %8s %8s %8s %8s   %s\n", "", "lines/s", "shards", "groups", "p50 s", "p99 s", "most s", "copies", "CPU seconds and peak of")
	for _, x := range r.Realtime {
		var took string
		for _, p := range x.Processes {
			took += fmt.Sprintf("%s %.1f s %d MB  ", p.Process, p.CPUSeconds, p.PeakRSS/1e6)
		}
		fmt.Fprintf(w, "  %-24s %8s %7d %7d %8.2f %8.2f %8.2f %8d   %s\n", x.Name, group(x.Rate), x.Shards, x.Groups, x.DelayP50, x.DelayP99, x.DelayMost, x.Copies, took)
	}
}
