package spool

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	bytes, maxBytes, segments, pending, backlog, chunkIDs, usable prometheus.Gauge
	appendedBytes, appendedEntries, chunkHits                     prometheus.Counter
	droppedEntries, droppedBytes                                  prometheus.Counter
	quarantinedBytes, blockedSeconds, commitsOK, commitsFail      prometheus.Counter
	commitSeconds, syncSeconds, ackSeconds                        prometheus.Histogram

	all []prometheus.Collector
}

func newMetrics() *metrics {
	m := &metrics{}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_spool_" + name, Help: help})
		m.all = append(m.all, g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "tributary_spool_" + name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	m.bytes = gauge("segment_bytes", "Bytes of undeleted segments.")
	m.maxBytes = gauge("max_bytes", "Bound on the bytes of undeleted segments.")
	m.segments = gauge("segments", "Undeleted segments.")
	m.usable = gauge("usable", "1 while commits succeed; 0 while the disk is full, read-only or failing and senders wait.")
	m.pending = gauge("pending_bytes", "Bytes in memory that wait for their commit.")
	m.backlog = gauge("backlog_bytes", "Log bytes between the cursor and the last commit.")
	m.chunkIDs = gauge("chunk_ids", "Chunk ids remembered.")
	m.appendedBytes = counter("appended_bytes_total", "Bytes committed to the log, frames and entry headers included.")
	m.appendedEntries = counter("appended_entries_total", "Entries committed to the log, marks included.")
	m.chunkHits = counter("chunk_hits_total", "Requests not stored again because their chunk id was known.")
	m.droppedEntries = counter("dropped_entries_total", "Entries given up unread because the spool was full and on_full is drop_oldest.")
	m.droppedBytes = counter("dropped_bytes_total", "Payload bytes of the entries given up.")
	m.quarantinedBytes = counter("quarantined_bytes_total", "Damaged bytes that were skipped.")
	m.blockedSeconds = counter("blocked_seconds_total", "Time that appends spent waiting for room in memory or on disk.")

	commits := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_spool_commits_total", Help: "Group commits by outcome.",
	}, []string{"outcome"})
	m.commitsOK, m.commitsFail = commits.WithLabelValues("ok"), commits.WithLabelValues("failed")
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_spool_" + name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16), // 0.1 ms to 3.3 s
		})
		m.all = append(m.all, h)
		return h
	}
	m.all = append(m.all, commits)
	m.commitSeconds = histogram("commit_seconds", "Duration of group commits.")
	m.syncSeconds = histogram("sync_seconds", "Duration of the fdatasync of group commits, failed ones included.")
	m.ackSeconds = histogram("ack_seconds", "Time from a request's arrival in the spool until it may be acknowledged, waiting for room included.")
	return m
}

// watch shows the age of the oldest entry whenever metrics are read.
func (m *metrics) watch(age func() float64) {
	m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tributary_spool_oldest_entry_seconds", Help: "Age of the oldest entry that the stream may not have, to a second.",
	}, age))
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			for _, done := range m.all[:i] {
				reg.Unregister(done)
			}
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
