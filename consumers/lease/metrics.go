package lease

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count the writes of leases by what came of them.
type metrics struct {
	written, settled, lost prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_lease_writes_total",
		Help: "Writes of leases: written at once, settled after an unknown outcome, or lost with the lease.",
	}, []string{"outcome"})
	if err := reg.Register(writes); err != nil {
		return metrics{}, fmt.Errorf("register metrics: %w", err)
	}
	return metrics{
		written: writes.WithLabelValues("written"),
		settled: writes.WithLabelValues("settled"),
		lost:    writes.WithLabelValues("lost"),
	}, nil
}
