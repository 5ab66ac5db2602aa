package lease

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count the writes of leases by what came of them, and the requests, which
// are what the tables cost.
type metrics struct {
	written, settled, lost prometheus.Counter
	requests               *prometheus.CounterVec
}

// Operations of DynamoDB, for the metric label.
const (
	opGet      = "get"
	opScan     = "scan"
	opPut      = "put"
	opUpdate   = "update"
	opDelete   = "delete"
	opCreate   = "create_table"
	opDescribe = "describe_table"
	opDrop     = "delete_table"
)

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_lease_writes_total",
		Help: "Writes of leases: written at once, settled after an unknown outcome, or lost with the lease.",
	}, []string{"outcome"})
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_lease_requests_total",
		Help: "Requests to DynamoDB for leases and state, by operation; a scan counts once per page.",
	}, []string{"operation"})
	for _, c := range []prometheus.Collector{writes, requests} {
		if err := reg.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register metrics: %w", err)
		}
	}
	for _, op := range []string{opGet, opScan, opPut, opUpdate, opDelete, opCreate, opDescribe, opDrop} {
		requests.WithLabelValues(op)
	}
	return metrics{
		written: writes.WithLabelValues("written"),
		settled: writes.WithLabelValues("settled"),
		lost:    writes.WithLabelValues("lost"),

		requests: requests,
	}, nil
}
