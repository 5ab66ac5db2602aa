package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"tributary/cmd/internal/cluster"
)

// Names of processes in the report.
const (
	processLoad      = "load"
	processForwarder = "forwarder"
	processLake      = "lake"
	processRealtime  = "realtime"
	processReader    = "reader"
	processWorker    = "worker"
	processEndpoints = "endpoints"
)

const (
	stopWithin  = 90 * time.Second
	stageWithin = 3 * time.Minute
	streamName  = "tributary"
)

// A world is fresh endpoints in a directory of their own, and what runs in front
// of them.
type world struct {
	*cluster.Cluster
	limits    bool // shards throttle as real ones do
	endpoints *cluster.Node
	nodes     []*cluster.Node
}

func (b *bench) newWorld(ctx context.Context, shards int, limits bool) (*world, error) {
	dir, err := os.MkdirTemp(b.dir, "world-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	c, err := cluster.New(b.binary, dir)
	if err != nil {
		return nil, err
	}
	w := &world{Cluster: c, limits: limits}
	endpoints, err := c.Endpoints("--shards", fmt.Sprint(shards), "--limits", fmt.Sprint(limits), "--set", "admin.pprof=true")
	if err != nil {
		return nil, err
	}
	w.endpoints = endpoints
	if err := w.start(ctx, endpoints); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

// start starts a process that ends with the world at the latest.
func (w *world) start(ctx context.Context, n *cluster.Node) error {
	w.nodes = append(w.nodes, n)
	return n.Start(ctx)
}

// forwarder is one that has started.
func (w *world) forwarder(ctx context.Context, args ...string) (*cluster.Node, error) {
	n, err := w.Forwarder(processForwarder, append(append(arguments(forwardSets), "--set", "admin.pprof=true"), args...)...)
	if err != nil {
		return nil, err
	}
	return n, w.start(ctx, n)
}

// lakeWorker is one that has not started: its start is part of what it does.
func (w *world) lakeWorker() (*cluster.Node, error) {
	sets := []map[string]string{lakeSets}
	if !w.limits {
		sets = append(sets, unlimitedSets)
	}
	return w.LakeWorker(processLake, append(arguments(sets...), "--set", "admin.pprof=true")...)
}

// end kills what still runs and removes everything.
func (w *world) end() {
	for _, n := range w.nodes {
		n.Kill()
	}
	_ = os.RemoveAll(w.Dir)
}

// meter notes what processes have taken before a run, so that an earlier run, or a
// start before the first line, is not counted.
type meter struct {
	names     []string
	processes []*cluster.Process
	before    []time.Duration
}

func (m *meter) add(name string, p *cluster.Process) {
	m.names = append(m.names, name)
	m.processes = append(m.processes, p)
	m.before = append(m.before, p.Usage().CPU)
}

func (m *meter) read() (out []Usage) {
	for i, p := range m.processes {
		u := p.Usage()
		out = append(out, Usage{Process: m.names[i], CPUSeconds: (u.CPU - m.before[i]).Seconds(), PeakRSS: u.PeakRSS})
	}
	return out
}

// waitFor asks every tick until done says so.
func waitFor(ctx context.Context, what string, within, tick time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-t.C:
		}
	}
}

// pause is an error when ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// by returns the metric's values, one for each set of labels.
func by(m cluster.Metrics, name string) (values []float64) {
	for key, v := range m {
		if key == name || strings.HasPrefix(key, name+"{") {
			values = append(values, v)
		}
	}
	return values
}
