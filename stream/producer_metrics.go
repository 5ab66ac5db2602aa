package stream

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type producerMetrics struct {
	records, bytes, requests, refused prometheus.Counter
	retries                           *prometheus.CounterVec
	seconds                           prometheus.Histogram
	inFlight, waiting, limit          prometheus.Gauge
}

func newProducerMetrics(reg prometheus.Registerer) (*producerMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tributary_stream_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_stream_" + name, Help: help})
	}
	m := &producerMetrics{
		records:  counter("published_records_total", "Records that Kinesis stored."),
		bytes:    counter("published_bytes_total", "Bytes of the records that Kinesis stored, partition keys included."),
		requests: counter("put_requests_total", "PutRecords requests sent."),
		refused:  counter("refused_records_total", "Records that no retry can store."),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_stream_put_retries_total", Help: "Records to be sent again, by reason.",
		}, []string{"reason"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_stream_put_request_seconds", Help: "Time of one PutRecords request, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 13), // 2 ms to 8 s
		}),
		inFlight: gauge("in_flight_bytes", "Bytes in requests on their way."),
		waiting:  gauge("waiting_bytes", "Bytes of records that wait for a request, for the first time or again."),
		limit:    gauge("max_record_bytes", "The largest record taken now, partition key included: as the stream reports it, within the configuration."),
	}
	for _, reason := range []string{reasonThrottled, reasonInternal, reasonTimeout, reasonOther} {
		m.retries.WithLabelValues(reason)
	}
	return m, register(reg, m.records, m.bytes, m.requests, m.refused, m.retries, m.seconds, m.inFlight, m.waiting, m.limit)
}

// register takes a nil registerer for "nobody looks".
func register(reg prometheus.Registerer, collectors ...prometheus.Collector) error {
	if reg == nil {
		return nil
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
