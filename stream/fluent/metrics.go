package fluent

import "github.com/prometheus/client_golang/prometheus"

// mode is the shape of a request; a metric label.
type mode uint8

const (
	modeMessage mode = iota
	modeForward
	modePacked
	modeCompressed
	modes
)

var modeNames = [modes]string{"message", "forward", "packed", "compressed"}

type metrics struct {
	open      prometheus.Gauge
	accepted  prometheus.Counter
	refused   map[reason]prometheus.Counter
	requests  [modes]prometheus.Counter
	events    [modes]prometheus.Counter
	bytes     [modes]prometheus.Counter
	malformed prometheus.Counter
	acks      prometheus.Counter
	tcpNils   prometheus.Counter
	datagrams prometheus.Counter
	buffers   prometheus.Gauge
	limit     prometheus.Gauge
	storeTime prometheus.Histogram

	certExpiry                prometheus.Gauge
	certsLoaded, certsRefused prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, tls bool) (*metrics, error) {
	m := &metrics{refused: map[reason]prometheus.Counter{}}
	var all []prometheus.Collector
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_fluent_" + name, Help: help})
		all = append(all, g)
		return g
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_fluent_" + name, Help: help}, labels)
		all = append(all, v)
		return v
	}
	m.open = gauge("connections", "Connections being served.")
	m.buffers = gauge("buffer_bytes", "Memory held by connections for requests.")
	m.limit = gauge("buffer_limit_bytes", "What buffer_bytes may reach at most.")
	m.accepted = counters("connections_total", "Connections served.").WithLabelValues()
	m.malformed = counters("malformed_entries_total", "Entries that are not [time, map], kept under malformed_entry.").WithLabelValues()
	m.acks = counters("acks_total", "Acks written.").WithLabelValues()
	refused := counters("refused_connections_total", "Connections refused or cut, by reason.", "reason")
	for _, r := range reasons {
		m.refused[r] = refused.WithLabelValues(string(r))
	}
	heartbeats := counters("heartbeats_total", "Heartbeats, by transport.", "transport")
	m.tcpNils, m.datagrams = heartbeats.WithLabelValues("stream"), heartbeats.WithLabelValues("udp")
	requests := counters("requests_total", "Requests stored, by mode.", "mode")
	events := counters("events_total", "Events stored, by mode.", "mode")
	bytes := counters("request_bytes_total", "Bytes on the wire of requests stored, by mode.", "mode")
	for i, name := range modeNames {
		m.requests[i], m.events[i], m.bytes[i] = requests.WithLabelValues(name), events.WithLabelValues(name), bytes.WithLabelValues(name)
	}
	m.storeTime = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "tributary_fluent_store_seconds", Help: "How long Store calls took; reading stands still meanwhile.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9), // 0.1 ms to 6.5 s
	})
	all = append(all, m.storeTime)
	if tls { // a time that is 0 would look like one long past
		m.certExpiry = gauge("tls_certificate_expiry_timestamp_seconds", "When the certificate of tls:// addresses ends.")
		reloads := counters("tls_reloads_total", "Changes of the TLS files: loaded, or refused, the old ones staying.", "result")
		m.certsLoaded, m.certsRefused = reloads.WithLabelValues("loaded"), reloads.WithLabelValues("refused")
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// stored counts a batch that Store has taken.
func (m *metrics) stored(b *batch) {
	for i, t := range b.tallies {
		if t.requests > 0 {
			m.requests[i].Add(float64(t.requests))
			m.events[i].Add(float64(t.events))
			m.bytes[i].Add(float64(t.bytes))
		}
	}
	if b.malformed > 0 {
		m.malformed.Add(float64(b.malformed))
	}
}
