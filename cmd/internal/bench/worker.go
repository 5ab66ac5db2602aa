package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/cluster"
	"tributary/consumers"
	"tributary/stream"
)

// WorkerOrder tells the child "worker" which group to take part in, until it is
// interrupted. What it does not name is consumers.DefaultConfig.
type WorkerOrder struct {
	Stream string
	Group  string
	Lease  time.Duration // 0: the default
	Diary  string        // file
	Counts time.Duration // time between two entries of figures
	// Holds makes sinks keep what they are given until they flush, after MaxAge at the
	// latest, and a flush take FlushTime: a destination under load. Without it sinks do
	// nothing at all.
	Holds       bool
	FlushTime   time.Duration
	MaxAge      time.Duration // 0: the default
	MemoryLimit int64         // as the command sets it; 0: none
	Profile     string        // file for a CPU profile; empty: none
}

// lookEvery is how exactly a diary tells the number of shards.
const lookEvery = 20 * time.Millisecond

// runWorker is one worker of a group with the engine as it is, and a destination
// that tells when it was given what.
func runWorker(ctx context.Context, o WorkerOrder) (found consumers.Counters, err error) {
	d, err := newDiary(o.Diary)
	if err != nil {
		return found, err
	}
	defer d.close()
	d.note(entry{What: wasBorn, Number: os.Getpid()})
	stop, err := startProfile(o.Profile)
	if err != nil {
		return found, err
	}
	defer stop()
	if o.MemoryLimit > 0 {
		debug.SetMemoryLimit(o.MemoryLimit)
	}
	reg := prometheus.NewRegistry()
	g, err := o.group(ctx, d, reg)
	if err != nil {
		return found, err
	}
	watching, end := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { lookAt(watching, d, g) })
	watchers.Go(func() { count(watching, d, reg, o.Counts) })
	err = g.Run(ctx)
	end()
	watchers.Wait()
	return g.Counters(), err
}

func (o WorkerOrder) group(ctx context.Context, d *diary, reg *prometheus.Registry) (*consumers.Group, error) {
	aws, err := app.AWSConfig{}.Load(ctx)
	if err != nil {
		return nil, err
	}
	cfg := consumers.DefaultConfig()
	cfg.Name = o.Group
	if o.Lease > 0 {
		cfg.LeaseDuration, cfg.AttemptTimeout = o.Lease, o.Lease/5
	}
	if o.MaxAge > 0 {
		cfg.Policy.MaxAge = o.MaxAge
	}
	flushed := prometheus.NewCounter(prometheus.CounterOpts{Name: flushedEvents})
	reg.MustRegister(flushed)
	dest := consumers.Destination{Name: "bench", Plan: "nothing", Open: func(_ context.Context, id stream.ShardID, _ string) (consumers.Sink, error) {
		d.note(entry{What: wasOpened, Shard: id})
		s := idleSink{diary: d, shard: id}
		if o.Holds {
			return &holdingSink{idleSink: s, takes: o.FlushTime, flushed: flushed}, nil
		}
		return &s, nil
	}}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return consumers.New(cfg, dest, noRejects{}, app.NewKinesis(aws), app.NewDynamoDB(aws), stream.Ref{Name: o.Stream}, reg, log)
}

// lookAt notes how many shards are read whenever that changes.
func lookAt(ctx context.Context, d *diary, g *consumers.Group) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for before := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := 0
		for _, s := range g.Status() {
			if s.State == consumers.StateReading || s.State == consumers.StateFlushing {
				now++
			}
		}
		if now != before {
			d.note(entry{What: wasReading, Number: now})
			before = now
		}
	}
}

// count writes the worker's metrics down again and again, and once more at the end.
func count(ctx context.Context, d *diary, reg prometheus.Gatherer, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if families, err := reg.Gather(); err == nil {
			all := figures(families)
			all[goMemory] = goBytes()
			d.note(entry{What: wasCounted, Figures: all})
		}
	}
}

// goMemory names what the Go runtime has of the system and has not given back: what
// its limit bounds. Resident memory has the pages of the executable beside it.
const goMemory = "go_memory_bytes"

func goBytes() float64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return float64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// figures adds the metrics up over the shards: a label "operation" stays.
func figures(families []*dto.MetricFamily) cluster.Metrics {
	all := make(cluster.Metrics)
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				if l.GetName() == "operation" {
					name += "{" + l.GetValue() + "}"
				}
			}
			all[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// operations picks the counters of one name by their operation.
func operations(m cluster.Metrics, name string) map[string]float64 {
	found := make(map[string]float64)
	for key, v := range m {
		if op, ok := strings.CutPrefix(key, name+"{"); ok {
			found[strings.TrimSuffix(op, "}")] = v
		}
	}
	return found
}

// idleSink does nothing with what it is given.
type idleSink struct {
	diary *diary
	shard stream.ShardID
	given bool
}

func (s *idleSink) Append(stream.Batch) error {
	if !s.given {
		s.given = true
		s.diary.note(entry{What: wasGiven, Shard: s.shard})
	}
	return nil
}

func (s *idleSink) Size() int64 { return 0 }

func (s *idleSink) Flush(context.Context, stream.Range) error { return nil }

// holdingSink keeps all it is given until a flush, which takes its time.
type holdingSink struct {
	idleSink
	takes   time.Duration
	held    []stream.Batch
	size    atomic.Int64
	flushed prometheus.Counter
}

// flushedEvents names the events that holding sinks have flushed.
const flushedEvents = "bench_flushed_events_total"

func (s *holdingSink) Append(b stream.Batch) error {
	b.Record = nil // the reader's, and would keep its whole answer
	s.held = append(s.held, b)
	s.size.Add(b.Bytes)
	return s.idleSink.Append(b)
}

func (s *holdingSink) Size() int64 { return s.size.Load() }

func (s *holdingSink) Flush(ctx context.Context, _ stream.Range) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("flush: %w", ctx.Err())
	case <-time.After(s.takes):
	}
	for _, b := range s.held {
		s.flushed.Add(float64(len(b.Events)))
	}
	s.held = nil
	s.size.Store(0)
	return nil
}

// noRejects refuses: whatever the benchmark sends can be decoded.
type noRejects struct{}

func (noRejects) Put(_ context.Context, _ stream.Range, items []consumers.Reject) error {
	if len(items) == 0 {
		return nil
	}
	return stream.Permanent(errors.New("a record of the benchmark was rejected: " + items[0].Reason))
}
