package treasuredata

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows       prometheus.Counter
	bodies     prometheus.Counter
	rawBytes   prometheus.Counter
	bodyBytes  prometheus.Counter
	splits     *prometheus.CounterVec
	creates    prometheus.Counter
	overflowed prometheus.Counter
	mended     prometheus.Counter
	rejects    *prometheus.CounterVec
	refused    *prometheus.GaugeVec
	encoding   prometheus.Gauge
	flush      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	const prefix = "tributary_treasuredata_"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	m := &metrics{
		rows:       counter("rows_total", "Rows accepted; a replay counts again."),
		bodies:     counter("bodies_total", "Bodies accepted."),
		rawBytes:   counter("raw_bytes_total", "Bytes of these bodies before compression."),
		bodyBytes:  counter("body_bytes_total", "Bytes of these bodies as sent."),
		creates:    counter("creates_total", "Databases and tables created."),
		overflowed: counter("overflowed_members_total", "Members of lines put into the column rest, above max_columns."),
		mended:     counter("mended_rows_total", "Rows with text that was no UTF-8, now with U+FFFD."),
		splits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "splits_total", Help: "Bodies halved, because they were too large or refused.",
		}, []string{"reason"}),
		rejects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "rejects_total", Help: "Rows that went to the reject store; a replay counts again.",
		}, []string{"reason"}),
		refused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "key_refused", Help: "1 while the endpoint refuses the API key: nothing is delivered.",
		}, []string{"endpoint"}),
		encoding: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "encoding_bytes", Help: "Bytes being encoded or uploaded; bounded by encode_bytes.",
		}),
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "flush_seconds", Help: "Duration of flushes that succeeded.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2.5, 9), // 50 ms to 76 s
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.rows, m.bodies, m.rawBytes, m.bodyBytes, m.splits, m.creates, m.overflowed, m.mended, m.rejects, m.refused, m.encoding, m.flush,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}
