package cloudwatch

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	puts      prometheus.Counter
	failures  *prometheus.CounterVec
	created   *prometheus.CounterVec
	events    prometheus.Counter
	changed   *prometheus.CounterVec
	rejected  *prometheus.CounterVec
	overflow  prometheus.Counter
	parked    prometheus.Counter
	parkedNow prometheus.Gauge
	skipped   prometheus.Counter
	sent      *prometheus.CounterVec
	rate      prometheus.Gauge
	rendering prometheus.Gauge
	flush     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "tributary_cloudwatch_" + name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter { return prometheus.NewCounter(opts(name, help)) }
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(opts(name, help), labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_cloudwatch_" + name, Help: help})
	}
	m := &metrics{
		puts:      counter("puts_total", "PutLogEvents requests, failed ones included."),
		failures:  vec("call_failures_total", "Requests that failed, by action and reason; missing and exists are part of making groups and streams.", "action", "reason"),
		created:   vec("created_total", "Log groups and streams made and retentions set, by action.", "action"),
		events:    counter("events_total", "Log events accepted; a part of a line is one."),
		changed:   vec("changed_lines_total", "Lines sent otherwise than verbatim: mended (bytes that are no UTF-8), filled (empty), split (in parts).", "change"),
		rejected:  vec("rejected_events_total", "Events kept as rejects, by reason.", "reason"),
		overflow:  counter("overflow_events_total", "Events of services beyond max_groups, sent to the group they share."),
		parked:    counter("parked_events_total", "Events of parked log streams, kept as rejects."),
		parkedNow: gauge("parked_streams", "Log streams that failed for longer than park_after and have taken nothing since."),
		skipped:   counter("skipped_events_total", "Log events not sent because the log stream had them already."),
		sent:      vec("sent_bytes_total", "Bytes that the service bills for accepted events, by service.", "service"),
		rate:      gauge("requests_per_second", "PutLogEvents a second that this worker allows itself."),
		rendering: gauge("rendering_bytes", "Bytes of batches in hand; bounded by render_bytes."),
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tributary_cloudwatch_flush_seconds",
			Help:    "Duration of flushes that succeeded.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 10), // 5 ms to 19 s
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.puts, m.failures, m.created, m.events, m.changed, m.rejected, m.overflow, m.parked, m.parkedNow, m.skipped, m.sent, m.rate, m.rendering, m.flush,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// maxServices bounds the services that label metrics. Further ones are otherService.
const maxServices = 200

// serviceLabels are the services that label metrics.
type serviceLabels struct {
	mu    sync.Mutex
	known map[string]struct{}
}

func (l *serviceLabels) of(service string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.known[service]; ok {
		return service
	}
	if len(l.known) >= maxServices {
		return otherService
	}
	l.known[service] = struct{}{}
	return service
}
