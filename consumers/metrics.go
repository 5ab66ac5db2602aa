package consumers

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream"
)

// Counters are what a group did since its start.
type Counters struct {
	Records, Events, Bytes uint64 // taken from the stream; decoded bytes
	Duplicates             uint64 // events dropped because they were delivered before
	Rejects                uint64 // what no decoder understood
	Flushes                uint64
}

// counts is a counter that can also be read back, see Counters.
type counts struct {
	value  atomic.Uint64
	metric prometheus.Counter
}

func (c *counts) add(n int) {
	if n > 0 {
		c.value.Add(uint64(n))
		c.metric.Add(float64(n))
	}
}

// Steps of a shard, for the metric label.
const (
	stepOpen    = "open"
	stepRead    = "read"
	stepAppend  = "append"
	stepRejects = "rejects"
	stepFlush   = "flush"
	stepMap     = "map"
)

type metrics struct {
	records, events, bytes, duplicates, rejects, flushes counts

	flushSeconds  prometheus.Histogram
	retries       *prometheus.CounterVec
	stopped       *prometheus.CounterVec
	elsewhere     prometheus.Counter
	gaps          prometheus.Counter
	lost, expired prometheus.Counter
	shards        prometheus.Gauge
	lag           *prometheus.GaugeVec
	parked        *prometheus.GaugeVec
	lanes         *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer, held func() float64) *metrics {
	name := func(s string) string { return "tributary_consumers_" + s }
	counter := func(n, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name(n), Help: help})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		flushSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name("flush_seconds"), Help: "Time of one flush, its retries included.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 16), // 10 ms to 5.5 min
		}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("retries_total"), Help: "Steps to be made again after an unknown error."}, []string{"step"}),
		stopped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("stopped_total"), Help: "Shards that dropped their sink, by reason."}, []string{"reason"}),
		gaps:      counter("gaps_total", "Pending ranges that the stream no longer held as a whole, and shards that nobody read for longer than it keeps records: data may be missing."),
		elsewhere: counter("elsewhere_total", "Events passed over because they are for another group: a replay of what its destination had refused."),
		lost:      counter("lost_leases_total", "Leases that ended without this worker giving them up."),
		expired:   counter("expired_shards_total", "Shards that left the stream before they were read to their end: data is missing."),
		shards:    prometheus.NewGauge(prometheus.GaugeOpts{Name: name("shards"), Help: "Leases held by this worker."}),
		lag:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("lag_seconds"), Help: "Time from the arrival of the oldest record that is not durable, or the reader's time behind the tip if longer."}, []string{"shard"}),
		parked:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("parked"), Help: "1 while a failure keeps a shard from being delivered."}, []string{"shard"}),
	}
	m.lanes = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("dedup_lanes"), Help: "Entries of a shard's de-duplication map."}, []string{"shard"})
	m.records.metric = counter("records_total", "Records taken from the stream.")
	m.events.metric = counter("events_total", "Events taken from the stream.")
	m.bytes.metric = counter("decoded_bytes_total", "Decoded bytes taken from the stream.")
	m.duplicates.metric = counter("duplicates_total", "Events dropped because they were delivered before.")
	m.rejects.metric = counter("rejects_total", "Pieces of input that no decoder understood.")
	m.flushes.metric = counter("flushes_total", "Ranges made durable.")
	reg.MustRegister(m.flushSeconds, m.retries, m.stopped, m.shards, m.lag, m.parked, m.lanes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name("held_bytes"), Help: "Decoded bytes not flushed yet: in all sinks of this worker and on their way there; at most worker_bytes."}, held))
	for _, step := range []string{stepOpen, stepRead, stepAppend, stepRejects, stepFlush, stepMap} {
		m.retries.WithLabelValues(step)
	}
	for _, reason := range []string{string(StateParked), string(StateStuck), string(StateRetrying)} {
		m.stopped.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) counters() Counters {
	return Counters{
		Records: m.records.value.Load(), Events: m.events.value.Load(), Bytes: m.bytes.value.Load(),
		Duplicates: m.duplicates.value.Load(), Rejects: m.rejects.value.Load(), Flushes: m.flushes.value.Load(),
	}
}

// forget drops the series of a shard that is no longer held: a lag that nobody
// updates would alarm for ever.
func (m *metrics) forget(id stream.ShardID) {
	m.lag.DeleteLabelValues(string(id))
	m.parked.DeleteLabelValues(string(id))
	m.lanes.DeleteLabelValues(string(id))
}
