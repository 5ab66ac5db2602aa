package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"tributary/cmd/internal/cluster"
	"tributary/deploy/local/fault"
)

// Faulty is a forwarder with request-ack in front of a Kinesis that refuses some of
// what it is given, or takes it and does not say so.
type Faulty struct {
	Name        string  `json:"name"`
	LineBytes   int     `json:"line_bytes"`
	Connections int     `json:"connections"`
	Lines       int64   `json:"lines"` // each acked, and each one row of the lake
	Seconds     float64 `json:"seconds"`
	Requests    int64   `json:"put_requests"`
	Sent        int64   `json:"records_or_requests"` // what the rules counted
	Hit         int64   `json:"hit"`                 // and what they did something to
	Records     int64   `json:"records"`             // in the stream
	Copies      int64   `json:"copies_too_many"`     // of lines, in the stream itself
	Most        int64   `json:"most_copies_of_a_line"`
	Swapped     int64   `json:"rows_before_an_earlier_one_of_another_lane"`
	Once        bool    `json:"want_once_in_the_stream"`
	Forwarder   Usage   `json:"forwarder"`
}

// faultyCase is one kind of trouble.
type faultyCase struct {
	name  string
	rules []fault.Rule
	sets  map[string]string // beside those of every forwarder
	lines int64
	once  bool // the trouble is no reason for a copy
}

// rejected fails 2 % of single records within answers, half of them as a shard that is
// full, half as a service that does not know. The second rule sees what the first left.
var rejected = []fault.Rule{
	{Service: "kinesis", Operation: "PutRecords", Action: fault.ThrottleRecords, Share: 0.01, Seed: 7},
	{Service: "kinesis", Operation: "PutRecords", Action: fault.FailRecords, Share: 0.01, Seed: 11},
}

// smallRecords are many of few lines, and requests of many of them: the records of all
// lanes wait for the one request under way. (Otherwise a record has a thousand lines, and
// most requests one record.)
var smallRecords = map[string]string{
	"forward.linger": "10ms", "forward.record_bytes": "4KiB", "forward.spool.ack": "written", "stream.producer.max_in_flight": "1",
}

// lateBy is past the timeout of a request (stream.producer.attempt_timeout).
const lateBy = 12 * time.Second

func allFaulty() []faultyCase {
	put := func(action fault.Action, share float64, delay time.Duration) []fault.Rule {
		return []fault.Rule{{Service: "kinesis", Operation: "PutRecords", Action: action, Share: share, Seed: 10, Delay: delay}}
	}
	return []faultyCase{
		{name: "2 % of records rejected", rules: rejected, lines: 300_000, once: true},
		{name: "the same, records of 4 KiB", rules: rejected, sets: smallRecords, lines: 300_000, once: true},
		{name: "5 % of answers lost", rules: put(fault.LoseResponse, 0.05, 0), lines: 200_000},
		{name: "5 % of commits late", rules: put(fault.DelayCommit, 0.05, lateBy), lines: 200_000},
	}
}

const faultySize = 500

func (b *bench) faulty(ctx context.Context) error {
	for _, c := range b.plan.faulty {
		b.log("a faulty Kinesis: %s, %s lines", c.name, group(float64(c.lines)))
		found, err := b.faultyCase(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.report.Faulty = append(b.report.Faulty, found)
	}
	return nil
}

// faultyCase runs until each line is acked, published, and a row.
func (b *bench) faultyCase(ctx context.Context, c faultyCase) (*Faulty, error) {
	w, err := b.newWorld(ctx, b.plan.shards, false)
	if err != nil {
		return nil, err
	}
	defer w.end()
	lake, err := w.lakeWorker()
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx, lake); err != nil {
		return nil, err
	}
	f, err := w.forwarder(ctx, arguments(c.sets)...)
	if err != nil {
		return nil, err
	}
	if err := w.SetFaults(ctx, c.rules...); err != nil {
		return nil, err
	}
	out := &Faulty{Name: c.name, LineBytes: faultySize, Connections: b.plan.connections, Lines: c.lines, Once: c.once}
	var m meter
	m.add(processForwarder, &f.Process)
	load, err := newChild(processLoad, LoadOrder{Address: f.Forward, Lines: b.source(faultySize), Count: c.lines, Connections: b.plan.connections, Ack: true}, nil)
	if err != nil {
		return nil, err
	}
	defer load.Kill()
	if err := load.Start(ctx); err != nil {
		return nil, err
	}
	sent, err := collect[LoadFound](ctx, load, stageWithin)
	if err != nil {
		return nil, err
	}
	out.Seconds = sent.Seconds
	metrics, err := published(ctx, f, c.lines)
	if err != nil {
		return nil, err
	}
	out.Requests, out.Forwarder = int64(metrics.Sum("tributary_stream_put_requests_total")), m.read()[0]
	if err := f.Interrupt(stopWithin); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, f.Output())
	}
	if err := out.hits(ctx, w.Cluster); err != nil {
		return nil, err
	}
	found, err := b.judge(ctx, w, lake, c.lines, b.plan.connections)
	out.Records, out.Copies, out.Most, out.Swapped = found.Records, found.Copies, found.Most, found.Swapped
	return out, err
}

// published waits until a forwarder knows that all lines are in the stream.
func published(ctx context.Context, f *cluster.Node, lines int64) (metrics cluster.Metrics, err error) {
	err = waitFor(ctx, "the forwarder to publish all", stageWithin, 50*time.Millisecond, func() (bool, error) {
		metrics, err = f.Metrics()
		return metrics.Sum("tributary_forwarder_events_total") >= float64(lines), err
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, f.Output())
	}
	return metrics, err
}

// hits notes what the rules did. It returns when the last late commit has happened.
func (f *Faulty) hits(ctx context.Context, c *cluster.Cluster) error {
	rules, err := c.Faults(ctx)
	if err != nil {
		return err
	}
	var late time.Duration
	for _, r := range rules {
		f.Sent, f.Hit, late = max(f.Sent, r.Calls), f.Hit+r.Hits, max(late, r.Delay)
	}
	return pause(ctx, late)
}

func (r *Report) printFaulty(w io.Writer) {
	if len(r.Faulty) == 0 {
		return
	}
	first := r.Faulty[0]
	fmt.Fprintf(w, "\nA faulty Kinesis: lines of %d B, %d connections with request-ack; each line acked and one row of the lake, in order\n", first.LineBytes, first.Connections)
	fmt.Fprintf(w, "  %-26s %9s %8s %9s %9s %7s %9s %8s %6s %8s %9s\n",
		"", "lines", "seconds", "requests", "sent", "hit", "records", "copies", "most", "swapped", "peak RSS")
	for _, f := range r.Faulty {
		fmt.Fprintf(w, "  %-26s %9s %8.1f %9s %9s %7s %9s %8s %6d %8s %5d MiB\n", f.Name, group(float64(f.Lines)), f.Seconds,
			group(float64(f.Requests)), group(float64(f.Sent)), group(float64(f.Hit)), group(float64(f.Records)), group(float64(f.Copies)),
			f.Most, group(float64(f.Swapped)), f.Forwarder.PeakRSS>>20)
	}
	fmt.Fprintln(w, "  sent and hit: records, or requests, that the trouble could befall and did. copies: of lines in the stream itself,")
	fmt.Fprintln(w, "  too many; most: of one line. swapped: rows before an earlier one of their container, which went to another lane.")
}

func (f *Faulty) targets() []Target {
	if !f.Once {
		// A row too many or missing has ended the benchmark.
		return []Target{{"one row each, " + f.Name, "each line one row", fmt.Sprintf("all %s; %s copies dropped", group(float64(f.Lines)), group(float64(f.Copies))), f.Hit > 0}}
	}
	return []Target{{
		"in the stream, " + f.Name, "each line once", fmt.Sprintf("%s lines, %s copies too many", group(float64(f.Lines)), group(float64(f.Copies))),
		f.Copies == 0 && f.Most == 1 && f.Hit > 0,
	}}
}

// quicker has fewer lines in small records, requests that time out sooner, and commits
// late by less.
func quicker(all []faultyCase, lines int64) (out []faultyCase) {
	for _, c := range all {
		c.lines = lines
		c.sets = maps.Clone(smallRecords)
		c.sets["stream.producer.attempt_timeout"] = "500ms"
		c.rules = slices.Clone(c.rules)
		for i := range c.rules {
			c.rules[i].Delay = min(c.rules[i].Delay, time.Second)
		}
		out = append(out, c)
	}
	return out
}
