package workload

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Config says how a Sender sends.
type Config struct {
	Address    string `koanf:"address" json:"address"`       // tcp://host:port or unix:///path
	Containers int    `koanf:"containers" json:"containers"` // a connection each
	First      int64  `koanf:"first" json:"first"`           // number of the first line
	Count      int64  `koanf:"count" json:"count"`           // of lines; 0: until Duration or the context ends

	Duration time.Duration `koanf:"duration" json:"duration"` // 0: no bound
	Rate     float64       `koanf:"rate" json:"rate"`         // lines per second of all containers; 0: as fast as they are taken

	// Ack asks for an ack of every message; each container has one outstanding, as
	// fluentd-request-ack has.
	Ack bool `koanf:"ack" json:"ack"`
	// Seconds sends whole seconds, as Docker does without
	// fluentd-sub-second-precision.
	Seconds bool `koanf:"seconds" json:"seconds"`
	// BatchBytes collects messages before they are written, which Docker does not:
	// it leaves CPU to the system under test. 0 is one write per message. Without
	// effect with Ack.
	BatchBytes int64 `koanf:"batch_bytes" json:"batch_bytes"`

	// Timeout bounds a connect, a write and the wait for an ack. A container that
	// the forwarder makes wait longer connects anew and sends its message again.
	Timeout time.Duration `koanf:"timeout" json:"timeout"`
	// RetryWait is the wait before the second attempt to connect; it grows by half
	// from attempt to attempt up to MaxRetryWait. Docker's are 1s and unbounded.
	RetryWait    time.Duration `koanf:"retry_wait" json:"retry_wait"`
	MaxRetryWait time.Duration `koanf:"max_retry_wait" json:"max_retry_wait"`
}

// DefaultConfig is Docker's way with acks and EventTimes, at full speed.
func DefaultConfig() Config {
	return Config{
		Address:    "tcp://127.0.0.1:24224",
		Containers: Slots, // one service each
		Ack:        true,
		// Above what a group commit waits for a busy disk, and what a forwarder that
		// is full may let its containers wait in a test.
		Timeout: 10 * time.Second,
		// A forwarder that was killed is back within a second.
		RetryWait:    50 * time.Millisecond,
		MaxRetryWait: 500 * time.Millisecond,
	}
}

const (
	maxContainers = 10_000
	maxBatchBytes = 16 << 20
)

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, _, err := c.endpoint(); err != nil {
		errs = append(errs, err)
	}
	if c.Containers < 1 || c.Containers > maxContainers {
		fault("containers is %d, want 1 to %d", c.Containers, maxContainers)
	}
	if c.First < 0 {
		fault("first is %d, want 0 or more", c.First)
	}
	if c.Count < 0 {
		fault("count is %d, want 0 (no bound) or more", c.Count)
	}
	if c.Duration < 0 {
		fault("duration is %v, want 0 (no bound) or more", c.Duration)
	}
	if !(c.Rate >= 0 && c.Rate <= maxRate) {
		fault("rate is %v, want 0 (as fast as it goes) to %v lines per second", c.Rate, float64(maxRate))
	}
	if c.BatchBytes < 0 || c.BatchBytes > maxBatchBytes {
		fault("batch_bytes is %d, want 0 to %d", c.BatchBytes, maxBatchBytes)
	}
	if c.Timeout < time.Millisecond || c.Timeout > time.Hour {
		fault("timeout is %v, want 1ms to 1h", c.Timeout)
	}
	if c.RetryWait < time.Millisecond || c.RetryWait > c.MaxRetryWait {
		fault("retry_wait is %v, want 1ms to max_retry_wait (%v)", c.RetryWait, c.MaxRetryWait)
	}
	return errors.Join(errs...)
}

// maxRate keeps the arithmetic of due times within a Duration.
const maxRate = 10_000_000

// endpoint returns what net.Dial wants.
func (c Config) endpoint() (network, address string, err error) {
	network, address, _ = strings.Cut(c.Address, "://")
	switch {
	case network == "tcp":
		if _, _, err := net.SplitHostPort(address); err == nil {
			return network, address, nil
		}
	case network == "unix" && strings.HasPrefix(address, "/"):
		return network, address, nil
	}
	return "", "", fmt.Errorf("address is %q, want tcp://host:port or unix:///path", c.Address)
}
