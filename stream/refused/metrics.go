package refused

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rejects, bytes   prometheus.Gauge
	dropped, damaged prometheus.Counter
}

func newMetrics() *metrics {
	const name = "tributary_forwarder_"
	return &metrics{
		rejects: prometheus.NewGauge(prometheus.GaugeOpts{Name: name + "rejects", Help: "Events kept on disk because the stream refuses them for good; one that a crash let be kept twice counts twice."}),
		bytes:   prometheus.NewGauge(prometheus.GaugeOpts{Name: name + "reject_bytes", Help: "Bytes of the files that keep them."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: name + "rejects_dropped_total", Help: "Rejects lost because newer ones took their room (forward.rejects.max_bytes)."}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{Name: name + "reject_damaged_bytes_total", Help: "Bytes among the rejects that are none, an unfinished end after a crash included."}),
	}
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.rejects, m.bytes, m.dropped, m.damaged} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
