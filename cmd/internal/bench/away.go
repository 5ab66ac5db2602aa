package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"tributary/cmd/internal/cluster"
)

// Away is a forwarder with request-ack whose Kinesis cannot be reached for a while.
type Away struct {
	Name        string  `json:"name"`
	LineBytes   int     `json:"line_bytes"`
	Connections int     `json:"connections"`
	Rate        float64 `json:"lines_per_second"`
	Seconds     float64 `json:"seconds"` // of the load, before, during and after
	Outage      float64 `json:"outage_seconds"`
	Lines       int64   `json:"lines"` // each acked, and each one row of the lake
	// SlowestAck is the longest that any container waited for an ack; AckBefore and
	// AckAway are what one took in the mean by the forwarder's own clock, before the
	// outage and during it.
	SlowestAck float64 `json:"slowest_ack_seconds"`
	AckBefore  float64 `json:"ack_mean_before_seconds"`
	AckAway    float64 `json:"ack_mean_away_seconds"`
	// Behind is how many lines waited when Kinesis came back, and Drain how long it took
	// until no more than those of the last two seconds did, while as many went on coming.
	Behind    int64   `json:"lines_behind"`
	Drain     float64 `json:"drain_seconds"`
	Spool     int64   `json:"spool_peak_bytes"`
	Copies    int64   `json:"copies_too_many"` // of lines, in the stream itself
	Swapped   int64   `json:"rows_before_an_earlier_one_of_another_lane"`
	Memory    int64   `json:"memory_bounds_bytes"` // of all buffers of the process
	Forwarder Usage   `json:"forwarder"`
}

// awayCase is one way of not being there.
type awayCase struct {
	name   string
	silent bool // packets vanish: the process stands still. Otherwise it is dead, and connections are refused
}

var allAway = []awayCase{{name: "refused"}, {name: "silent", silent: true}}

// awayPlan is how long it lasts.
type awayPlan struct {
	cases                 []awayCase
	rate                  float64
	before, outage, after time.Duration
	sets                  map[string]string
}

func fullAway() awayPlan {
	// Lanes have opened by then.
	return awayPlan{cases: allAway, rate: 5_000, before: 15 * time.Second, outage: time.Minute, after: 15 * time.Second}
}

const (
	awaySize = 500
	// awayConnections are as many containers: 39 KB/s each of 5,000 lines/s of 500 B.
	awayConnections = 64
	// pipeBytes is what a pipe of Linux holds: for so long a container writes on while
	// Docker waits for an ack. At 39 KB/s that is 1.6 s; a container that writes in
	// bursts has less.
	pipeBytes = 64 << 10
	// wantAck in seconds keeps clear of that.
	wantAck = 1.0
)

func (b *bench) away(ctx context.Context) error {
	p := b.plan.away
	for _, c := range p.cases {
		b.log("Kinesis away for %v, %s, %.0f lines/s for %v", p.outage, c.name, p.rate, p.before+p.outage+p.after)
		found, err := b.awayCase(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.report.Away = append(b.report.Away, found)
	}
	return nil
}

// awayCase runs until each line is acked, published, and a row.
func (b *bench) awayCase(ctx context.Context, c awayCase) (*Away, error) {
	p := b.plan.away
	w, err := b.newWorld(ctx, b.plan.shards, false)
	if err != nil {
		return nil, err
	}
	defer w.end()
	f, err := w.forwarder(ctx, arguments(p.sets)...)
	if err != nil {
		return nil, err
	}
	count := int64(p.rate * (p.before + p.outage + p.after).Seconds())
	out := &Away{Name: c.name, LineBytes: awaySize, Connections: awayConnections, Rate: p.rate, Lines: count}
	if out.Memory, err = forwarderMemory(p.sets); err != nil {
		return nil, err
	}
	load, err := newChild(processLoad, LoadOrder{Address: f.Forward, Lines: b.source(awaySize), Count: count, Rate: p.rate, Connections: awayConnections, Ack: true}, nil)
	if err != nil {
		return nil, err
	}
	defer load.Kill()
	var m meter
	m.add(processForwarder, &f.Process)
	if err := load.Start(ctx); err != nil {
		return nil, err
	}
	if err := pause(ctx, p.before); err != nil {
		return nil, err
	}
	if err := out.outage(ctx, w, f, c, p.outage); err != nil {
		return nil, err
	}
	sent, err := collect[LoadFound](ctx, load, stageWithin)
	if err != nil {
		return nil, err
	}
	out.Seconds, out.SlowestAck = sent.Seconds, sent.Slowest
	if _, err := published(ctx, f, count); err != nil {
		return nil, err
	}
	out.Forwarder = m.read()[0]
	if err := f.Interrupt(stopWithin); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.Output())
	}
	lake, err := w.lakeWorker()
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx, lake); err != nil {
		return nil, err
	}
	found, err := b.judge(ctx, w, lake, count, awayConnections)
	out.Copies, out.Swapped = found.Copies, found.Swapped
	return out, err
}

// outage makes the endpoints unreachable, and returns when the forwarder has caught up
// after they came back.
func (a *Away) outage(ctx context.Context, w *world, f *cluster.Node, c awayCase, lasts time.Duration) error {
	calm, err := f.Metrics()
	if err != nil {
		return err
	}
	a.AckBefore = ackMean(nil, calm)
	began := time.Now()
	if c.silent {
		if err := w.endpoints.Freeze(); err != nil {
			return err
		}
	} else {
		w.endpoints.Kill()
	}
	var last cluster.Metrics
	if err := waitFor(ctx, "the outage to end", 2*lasts, 50*time.Millisecond, func() (bool, error) {
		last, err = a.look(f)
		return time.Since(began) >= lasts, err
	}); err != nil {
		return err
	}
	a.AckAway, a.Behind = ackMean(calm, last), behind(last)
	if c.silent {
		err = w.endpoints.Thaw()
	} else {
		err = w.endpoints.Start(ctx)
	}
	if err != nil {
		return err
	}
	back := time.Now()
	a.Outage = back.Sub(began).Seconds()
	if err := waitFor(ctx, "the forwarder to catch up", stageWithin, 50*time.Millisecond, func() (bool, error) {
		now, err := a.look(f)
		return float64(behind(now)) <= 2*a.Rate, err
	}); err != nil {
		return fmt.Errorf("%w\n%s", err, f.Output())
	}
	a.Drain = time.Since(back).Seconds()
	return nil
}

// look notes the peak of the spool.
func (a *Away) look(f *cluster.Node) (cluster.Metrics, error) {
	m, err := f.Metrics()
	a.Spool = max(a.Spool, int64(m.Sum("tributary_spool_segment_bytes")))
	return m, err
}

// behind is how many lines wait to be published.
func behind(m cluster.Metrics) int64 {
	return int64(m.Sum("tributary_forwarder_received_total") - m.Sum("tributary_forwarder_events_total"))
}

// ackMean is what an ack took between two looks, in seconds.
func ackMean(before, now cluster.Metrics) float64 {
	of := func(name string) float64 { return now.Sum(name) - before.Sum(name) }
	return of("tributary_spool_ack_seconds_sum") / max(1, of("tributary_spool_ack_seconds_count"))
}

func (r *Report) printAway(w io.Writer) {
	if len(r.Away) == 0 {
		return
	}
	first := r.Away[0]
	fmt.Fprintf(w, "\nKinesis away: %s lines/s of %d B, %d containers with request-ack; each line acked and one row of the lake, in order\n",
		group(first.Rate), first.LineBytes, first.Connections)
	fmt.Fprintf(w, "  %-8s %7s %9s %7s %12s %13s %9s %8s %9s %7s %8s %9s\n",
		"", "away s", "lines", "load s", "slowest ack", "acks ms", "behind", "drain s", "spool", "copies", "swapped", "peak RSS")
	for _, a := range r.Away {
		acks := fmt.Sprintf("%.2f → %.2f", a.AckBefore*1e3, a.AckAway*1e3)
		fmt.Fprintf(w, "  %-8s %7.1f %9s %7.1f %10.3f s %13s %9s %8.1f %5d MiB %7s %8s %5d MiB\n", a.Name, a.Outage, group(float64(a.Lines)), a.Seconds,
			a.SlowestAck, acks, group(float64(a.Behind)), a.Drain, a.Spool>>20, group(float64(a.Copies)), group(float64(a.Swapped)), a.Forwarder.PeakRSS>>20)
	}
	fmt.Fprintln(w, "  acks: the mean, by the forwarder's clock, before and while away. behind: lines that wait when Kinesis is back.")
	fmt.Fprintln(w, "  drain: until they do not, as many coming as before. copies: of lines in the stream itself, too many. swapped:")
	fmt.Fprintln(w, "  rows before an earlier one of their container, which went to another lane because one was opened or closed.")
}

func (a *Away) targets() []Target {
	pipe := pipeBytes / (a.Rate / float64(a.Connections) * float64(a.LineBytes))
	return []Target{
		{fmt.Sprintf("slowest ack, Kinesis %s for %.0f s", a.Name, a.Outage), fmt.Sprintf("below %.0f s (pipe %.1f s)", wantAck, pipe),
			fmt.Sprintf("%.3f s", a.SlowestAck), a.SlowestAck < wantAck},
		{"drained in order, Kinesis " + a.Name, "each container's lines", fmt.Sprintf("all %s, %s swapped", group(float64(a.Lines)), group(float64(a.Swapped))), a.Swapped == 0},
		{"forwarder's peak memory, Kinesis " + a.Name, fmt.Sprintf("at most %d MiB", a.Memory>>20),
			fmt.Sprintf("%d MiB", a.Forwarder.PeakRSS>>20), a.Forwarder.PeakRSS <= a.Memory},
	}
}
