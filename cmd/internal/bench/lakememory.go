package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"time"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
	"tributary/deploy/local/fault"
)

// LakeMemory is what a lake worker of many shards that lie full holds at its fullest:
// as fast as it drains them, and when it delivers what another left pending on each.
type LakeMemory struct {
	Drain  *Held `json:"drain,omitempty"`
	Dead   *Held `json:"dead,omitempty"`   // who left the ranges pending; its seconds are those until all were
	Replay *Held `json:"replay,omitempty"` // of those ranges
}

// Held is one worker's part of it.
type Held struct {
	Shards      int     `json:"shards"`
	Bytes       int64   `json:"line_bytes"`
	Seconds     float64 `json:"seconds"` // from the process's start
	WorkerBytes int64   `json:"worker_bytes"`
	Peak        int64   `json:"peak_rss_bytes"`
}

const (
	// wantBesideWorker is what a lake worker may take beside worker_bytes.
	wantBesideWorker = 150e6
	// A dead worker's memory is this much more than that of its heir, which has room
	// for one range of the largest size.
	quarter = 4
	// hungFor holds uploads for longer than anything here takes.
	hungFor = 10 * time.Minute
)

func (b *bench) lakeMemory(ctx context.Context) error {
	r := &LakeMemory{}
	b.report.LakeMemory = r
	p := b.plan.runtime
	b.log("lake memory: %d full shards, as fast as they drain", p.memoryShards)
	if err := b.lakeDrain(ctx, r); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	b.log("lake memory: %d pending ranges, a quarter of the memory", p.memoryShards)
	if err := b.lakeReplay(ctx, r); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	return nil
}

// crowded is a world of shards that hold so many batches each, and how many lines.
func (b *bench) crowded(ctx context.Context, batches int) (*world, int64, error) {
	w, err := b.newWorld(ctx, b.plan.runtime.memoryShards, false)
	if err != nil {
		return nil, 0, err
	}
	lines, err := b.fill(ctx, w, FillOrder{Batches: batches})
	if err != nil {
		w.end()
	}
	return w, lines, err
}

func (b *bench) lakeDrain(ctx context.Context, r *LakeMemory) error {
	w, lines, err := b.crowded(ctx, b.plan.runtime.lakeBatches)
	if err != nil {
		return err
	}
	defer w.end()
	most := app.Defaults().Lake.Group.Policy.WorkerBytes
	n, err := b.memoryWorker(w, "drain", most)
	if err != nil {
		return err
	}
	r.Drain, err = b.delivers(ctx, w, n, lines, most)
	return err
}

// delivers starts a worker and waits until each line is a row.
func (b *bench) delivers(ctx context.Context, w *world, n *cluster.Node, lines, workerBytes int64) (*Held, error) {
	began := time.Now()
	if err := w.start(ctx, n); err != nil {
		return nil, err
	}
	rows := int64(0)
	err := waitFor(ctx, "the lines to be rows", 2*stageWithin, 100*time.Millisecond, func() (bool, error) {
		if !n.Running() {
			return false, fmt.Errorf("the worker has ended:\n%s", n.Output())
		}
		m, err := n.Metrics()
		rows = int64(m.Sum("tributary_lake_rows_total"))
		return rows >= lines, err
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d rows: %w\n%s", rows, lines, err, n.Output())
	}
	h := b.held(n, lines, workerBytes, began)
	if err := n.Interrupt(stopWithin); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.Output())
	}
	if rows != lines {
		return nil, fmt.Errorf("%d lines became %d rows", lines, rows)
	}
	return h, nil
}

func (b *bench) held(n *cluster.Node, lines, workerBytes int64, since time.Time) *Held {
	return &Held{
		Shards: b.plan.runtime.memoryShards, Bytes: lines * limitsSize, Seconds: time.Since(since).Seconds(),
		WorkerBytes: workerBytes, Peak: n.Usage().PeakRSS,
	}
}

// lakeReplay lets a worker's uploads hang until it has a range pending on each shard,
// kills it, and lets another deliver them.
func (b *bench) lakeReplay(ctx context.Context, r *LakeMemory) error {
	heirs := app.Defaults().Lake.Group.Policy.RangeBytes
	w, lines, err := b.crowded(ctx, b.plan.runtime.pendingBatches)
	if err != nil {
		return err
	}
	defer w.end()
	if err := w.SetFaults(ctx, fault.Rule{Service: "s3", Operation: "PutObject", Action: fault.Delay, Delay: hungFor}); err != nil {
		return err
	}
	dead, err := b.memoryWorker(w, "dead", quarter*heirs)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := w.start(ctx, dead); err != nil {
		return err
	}
	err = waitFor(ctx, "ranges to be pending", stageWithin, time.Second, func() (bool, error) {
		n, err := w.pending(ctx)
		return n == b.plan.runtime.memoryShards, err
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, dead.Output())
	}
	r.Dead = b.held(dead, lines, quarter*heirs, began)
	dead.Kill()
	if err := w.SetFaults(ctx); err != nil {
		return err
	}
	heir, err := b.memoryWorker(w, "heir", heirs)
	if err != nil {
		return err
	}
	r.Replay, err = b.delivers(ctx, w, heir, lines, heirs)
	return err
}

// memoryWorker is a lakeWorker with so much memory, and with the times of the plan.
func (b *bench) memoryWorker(w *world, name string, workerBytes int64) (*cluster.Node, error) {
	n, err := w.lakeWorker()
	if err != nil {
		return nil, err
	}
	p := b.plan.runtime
	n.Name = name
	n.Args = append(n.Args, arguments(map[string]string{
		"lake.group.policy.worker_bytes": fmt.Sprint(workerBytes), "lake.group.policy.max_age": p.lakeAge.String(),
		"lake.group.lease_duration": p.lease.String(), "lake.group.attempt_timeout": (p.lease / 5).String(),
	})...)
	return n, nil
}

// pending asks how many shards of the lake's group have a range pending.
func (w *world) pending(ctx context.Context) (int, error) {
	cmd := exec.CommandContext(ctx, w.Binary, "groups", "describe", app.Defaults().Lake.Group.Name, "--json")
	cmd.Env = append(cmd.Environ(), w.Env()...)
	text, err := cmd.Output()
	if err != nil {
		return 0, nil // the worker has not made the tables yet
	}
	var view struct{ Totals struct{ Pending int } }
	if err := json.Unmarshal(text, &view); err != nil {
		return 0, fmt.Errorf("read the group: %w", err)
	}
	return view.Totals.Pending, nil
}

// print writes what was measured; what was left out has no row.
func (r *LakeMemory) print(w io.Writer) {
	if r == nil {
		return
	}
	fmt.Fprintln(w, "\nMemory of a lake worker, shard limits off; peak resident memory, pages of the executable included")
	for _, row := range []struct {
		what string
		*Held
	}{{"drains full shards", r.Drain}, {"leaves a range pending on each", r.Dead}, {"delivers those of the dead one", r.Replay}} {
		if h := row.Held; h != nil {
			fmt.Fprintf(w, "  %-34s %d shards, %d MB of lines in %.1f s; worker_bytes %d MiB, resident %d MiB\n",
				row.what, h.Shards, h.Bytes/1e6, h.Seconds, h.WorkerBytes/mib, h.Peak/mib)
		}
	}
}

func (r *LakeMemory) targets() (out []Target) {
	for _, row := range []struct {
		what string
		*Held
	}{{"drain %d full shards", r.Drain}, {"%d ranges of a worker with four times as much", r.Replay}} {
		if h := row.Held; h != nil {
			bound := h.WorkerBytes + wantBesideWorker
			out = append(out, Target{
				"lake memory: " + fmt.Sprintf(row.what, h.Shards), fmt.Sprintf("at most %d MB", bound/1e6),
				fmt.Sprintf("%d MB", h.Peak/1e6), h.Peak <= bound,
			})
		}
	}
	return out
}
