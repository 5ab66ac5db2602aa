package lake

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	objects        prometheus.Counter
	existing       prometheus.Counter
	rows           prometheus.Counter
	lineBytes      prometheus.Counter
	objectBytes    prometheus.Counter
	late           prometheus.Counter
	verifyFailures prometheus.Counter
	misfits        *prometheus.CounterVec
	encoding       prometheus.Gauge
	flush          prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tributary_lake_" + name, Help: help})
	}
	m := &metrics{
		objects:        counter("objects_total", "Objects durable and verified, found ones included; a replay counts again."),
		existing:       counter("existing_objects_total", "Objects of these that were there already."),
		rows:           counter("rows_total", "Rows in these objects."),
		lineBytes:      counter("line_bytes_total", "Bytes of the lines of flushed ranges."),
		objectBytes:    counter("object_bytes_total", "Bytes of these objects."),
		late:           counter("late_events_total", "Events put by arrival because their time lies too far from it."),
		verifyFailures: counter("verify_failures_total", "Objects whose footer did not tell what was written."),
		misfits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_lake_misfit_values_total",
			Help: "Values meant for a column and not of its type, kept as attributes; a replay counts again.",
		}, []string{"column"}),
		encoding: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_lake_encoding_bytes",
			Help: "Bytes being encoded or uploaded; bounded by encode_bytes.",
		}),
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tributary_lake_flush_seconds",
			Help:    "Duration of flushes that succeeded.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 10), // 10 ms to 38 s
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.objects, m.existing, m.rows, m.lineBytes, m.objectBytes, m.late, m.verifyFailures, m.misfits, m.encoding, m.flush} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}
