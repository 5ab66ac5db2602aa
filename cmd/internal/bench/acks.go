package main

import (
	"context"
	"fmt"
	"io"
)

// Acks is how fast a forwarder acknowledges clients that wait for each ack, as
// Docker does with request-ack.
type Acks struct {
	LineBytes   int     `json:"line_bytes"`
	Connections int     `json:"connections"`
	Written     float64 `json:"written_lines_per_second"`
	Synced      float64 `json:"synced_lines_per_second"`
	// SyncMedian is of appends with fdatasync to a preallocated file, before and
	// after the run with acks after fdatasync.
	SyncMedian float64 `json:"fdatasync_median_seconds"`
	Ceiling    float64 `json:"ceiling_lines_per_second"` // one line per connection and fdatasync
}

const (
	acksSize    = 500
	wantWritten = 25_000
	wantSynced  = 0.4 // of the ceiling
)

func (b *bench) acks(ctx context.Context) (*Acks, error) {
	a := &Acks{LineBytes: acksSize, Connections: b.plan.connections}
	seconds := b.plan.acksFor.Seconds() // at the wanted rates
	var err error
	if a.Written, err = b.ackRate(ctx, "written", int64(wantWritten*seconds)); err != nil {
		return nil, err
	}
	before, err := syncLatency(b.dir)
	if err != nil {
		return nil, err
	}
	if a.Synced, err = b.ackRate(ctx, "synced", int64(wantSynced*float64(a.Connections)/median(before)*seconds)); err != nil {
		return nil, err
	}
	after, err := syncLatency(b.dir)
	if err != nil {
		return nil, err
	}
	a.SyncMedian = median(append(before, after...))
	a.Ceiling = float64(a.Connections) / a.SyncMedian
	return a, nil
}

// ackRate is how many lines are acknowledged in a second. All of them must be in the
// stream, once, after the forwarder's stop.
func (b *bench) ackRate(ctx context.Context, ack string, lines int64) (float64, error) {
	w, err := b.newWorld(ctx, b.plan.shards, false)
	if err != nil {
		return 0, err
	}
	defer w.end()
	f, err := w.forwarder(ctx, "--set", "forward.spool.ack="+ack)
	if err != nil {
		return 0, err
	}
	load, err := newChild(processLoad, LoadOrder{
		Address: f.Forward, Lines: b.source(acksSize), Count: lines, Connections: b.plan.connections, Ack: true,
	}, nil)
	if err != nil {
		return 0, err
	}
	defer load.Kill()
	if err := load.Start(ctx); err != nil {
		return 0, err
	}
	sent, err := collect[LoadFound](ctx, load, stageWithin)
	if err != nil {
		return 0, err
	}
	if err := f.Interrupt(stopWithin); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, f.Output())
	}
	if _, err := b.readBack(ctx, w, lines, false); err != nil {
		return 0, err
	}
	return float64(sent.Lines) / sent.Seconds, nil
}

func (a *Acks) print(w io.Writer) {
	if a == nil {
		return
	}
	fmt.Fprintf(w, "\nAcks, lines of %d B, %d connections with one line under way each\n", a.LineBytes, a.Connections)
	fmt.Fprintf(w, "  after write      %s lines/s\n", group(a.Written))
	fmt.Fprintf(w, "  after fdatasync  %s lines/s, %.0f %% of what one fdatasync (median %.2f ms) per cycle would allow\n",
		group(a.Synced), 100*a.Synced/a.Ceiling, a.SyncMedian*1e3)
}

func (a *Acks) targets() []Target {
	return []Target{
		{"acks after write, 8 connections", "at least " + group(wantWritten) + " lines/s", group(a.Written) + " lines/s", a.Written >= wantWritten},
		{"acks after fdatasync, 8 connections", fmt.Sprintf("at least %.0f %% of the ceiling", 100*wantSynced),
			fmt.Sprintf("%.0f %% of %s lines/s", 100*a.Synced/a.Ceiling, group(a.Ceiling)), a.Synced >= wantSynced*a.Ceiling},
	}
}
