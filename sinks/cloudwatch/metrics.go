package cloudwatch

import (
	"cmp"
	"errors"
	"strings"
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
	lookups   prometheus.Counter
	lines     *prometheus.CounterVec
	unsent    *prometheus.CounterVec
	sent      *prometheus.CounterVec
	saved     *prometheus.CounterVec
	sentCost  *prometheus.CounterVec
	savedCost *prometheus.CounterVec
	rate      prometheus.Gauge
	rendering prometheus.Gauge
	flush     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, price Price) (*metrics, error) {
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
	cost := func(name, help string) *prometheus.CounterVec {
		o := opts(name, help)
		o.ConstLabels = prometheus.Labels{"currency": price.Currency, "price_date": price.Date}
		return prometheus.NewCounterVec(o, []string{"service"})
	}
	m := &metrics{
		puts:      counter("puts_total", "PutLogEvents requests, failed ones included."),
		failures:  vec("call_failures_total", "Requests that failed, by action and reason; missing and exists are part of making groups and streams.", "action", "reason"),
		created:   vec("created_total", "Log groups and streams made and retentions set, by action.", "action"),
		events:    counter("events_total", "Log events accepted; a part of a line is one."),
		changed:   vec("changed_lines_total", "Lines sent otherwise than verbatim: mended (bytes that are no UTF-8), filled (empty), split (in parts).", "change"),
		rejected:  vec("rejected_events_total", "Events kept as rejects, by reason.", "reason"),
		overflow:  counter("overflow_lines_total", "Lines of services beyond max_groups, whose group they share."),
		parked:    counter("parked_events_total", "Events of parked log streams, kept as rejects."),
		parkedNow: gauge("parked_streams", "Log streams that failed for longer than park_after and have taken nothing since."),
		skipped:   counter("skipped_events_total", "Log events not sent because the log stream had them already."),
		lookups:   counter("lookups_total", "GetLogEvents requests that looked for what an earlier life has delivered."),
		lines:     vec("lines_total", "Lines of flushed ranges, sent or not, by service and level. Lines that rules kept back without a look at them have the level NONE.", "service", "level"),
		unsent:    vec("unsent_lines_total", "Lines of flushed ranges that rules kept back, by rule.", "rule"),
		saved:     vec("saved_bytes_total", "Bytes that the service would have billed for lines that rules kept back, by service.", "service"),
		sentCost:  cost("sent_cost_total", "sent_bytes_total at the configured price."),
		savedCost: cost("saved_cost_total", "saved_bytes_total at the configured price."),
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
		m.puts, m.failures, m.created, m.events, m.changed, m.rejected, m.overflow, m.parked, m.parkedNow, m.skipped, m.lookups,
		m.lines, m.unsent, m.sent, m.saved, m.sentCost, m.savedCost, m.rate, m.rendering, m.flush,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// maxServices bounds the services that label metrics. Further ones are otherService.
const maxServices = 200

// maxLabel bounds a label, in bytes.
const maxLabel = 128

// serviceLabels are the services that label metrics.
type serviceLabels struct {
	mu    sync.Mutex
	known map[string]struct{}
}

// of is a label that a metric takes: whatever a record calls its service.
func (l *serviceLabels) of(service string) string {
	service = cmp.Or(service, unknownService)
	service = strings.ToValidUTF8(service[:min(len(service), maxLabel)], "\uFFFD")
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
