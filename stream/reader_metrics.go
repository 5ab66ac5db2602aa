package stream

import (
	"github.com/prometheus/client_golang/prometheus"
)

// ReaderMetrics are the metrics of all Readers of a process. Safe for concurrent
// use.
type ReaderMetrics struct {
	records, bytes, requests *prometheus.CounterVec
	troubles                 *prometheus.CounterVec
	behind, held             *prometheus.GaugeVec
	seconds                  prometheus.Histogram
}

// NewReaderMetrics registers the metrics; a registry takes them once.
func NewReaderMetrics(reg prometheus.Registerer) (*ReaderMetrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_stream_" + name, Help: help}, append([]string{"shard"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tributary_stream_" + name, Help: help}, []string{"shard"})
	}
	m := &ReaderMetrics{
		records:  counter("read_records_total", "Records handed out."),
		bytes:    counter("read_bytes_total", "Bytes of the records handed out, as stored in the stream."),
		requests: counter("read_requests_total", "GetRecords calls."),
		troubles: counter("read_troubles_total", "Calls to be made again, by reason.", "reason"),
		behind:   gauge("behind_seconds", "Time behind the tip of the shard."),
		held:     gauge("held_bytes", "Bytes read and not handed out yet."),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_stream_read_request_seconds", Help: "Time of one GetRecords call, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 13), // 2 ms to 8 s
		}),
	}
	return m, register(reg, m.records, m.bytes, m.requests, m.troubles, m.behind, m.held, m.seconds)
}

// Forget drops the series of a shard that is no longer read here. A lag that
// nobody updates any more would alarm for ever.
func (m *ReaderMetrics) Forget(shard ShardID) {
	labels := prometheus.Labels{"shard": string(shard)}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.records, m.bytes, m.requests, m.troubles, m.behind, m.held} {
		v.DeletePartialMatch(labels)
	}
}

// shardMetrics are the series of one shard, looked up once.
type shardMetrics struct {
	records, bytes, requests prometheus.Counter
	behind, held             prometheus.Gauge
	seconds                  prometheus.Observer
	troubles                 map[string]prometheus.Counter
}

func (m *ReaderMetrics) of(shard ShardID) shardMetrics {
	id := string(shard)
	s := shardMetrics{
		records:  m.records.WithLabelValues(id),
		bytes:    m.bytes.WithLabelValues(id),
		requests: m.requests.WithLabelValues(id),
		behind:   m.behind.WithLabelValues(id),
		held:     m.held.WithLabelValues(id),
		seconds:  m.seconds,
		troubles: map[string]prometheus.Counter{},
	}
	for _, reason := range []string{reasonThrottled, reasonInternal, reasonTimeout, reasonExpired, reasonOther} {
		s.troubles[reason] = m.troubles.WithLabelValues(id, reason)
	}
	return s
}
