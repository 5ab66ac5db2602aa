package stream

import (
	"github.com/prometheus/client_golang/prometheus"
)

// readerMetrics are the metrics of all Readers of a Source.
type readerMetrics struct {
	records, bytes, requests *prometheus.CounterVec
	troubles                 *prometheus.CounterVec
	behind, held             *prometheus.GaugeVec
	seconds                  prometheus.Histogram
	memory                   prometheus.Gauge
	reclaimed                prometheus.Counter
}

// newReaderMetrics registers the metrics; a registry takes them once.
func newReaderMetrics(reg prometheus.Registerer) (*readerMetrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tributary_stream_" + name, Help: help}, append([]string{"shard"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tributary_stream_" + name, Help: help}, []string{"shard"})
	}
	m := &readerMetrics{
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
		memory: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_stream_read_memory_bytes", Help: "Room taken by answers, on their way or not handed out; at most read_bytes."}),
		reclaimed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tributary_stream_read_reclaimed_total", Help: "Answers dropped for the room they took while nobody asked for them, and read again."}),
	}
	return m, register(reg, m.memory, m.reclaimed, m.records, m.bytes, m.requests, m.troubles, m.behind, m.held, m.seconds)
}

func (m *readerMetrics) forget(shard ShardID) {
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

func (m *readerMetrics) of(shard ShardID) shardMetrics {
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
