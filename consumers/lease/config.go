package lease

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"
)

// Config says which table and how long a lease lasts.
type Config struct {
	// Table is the lease table; the state table is Table with "-state" behind it.
	Table string `koanf:"table" json:"table"`
	// Worker names this process in the table. No two processes share a name.
	Worker string `koanf:"worker" json:"worker"`
	// Duration is how long a lease outlives its last renewal.
	Duration time.Duration `koanf:"duration" json:"duration"`
	// AttemptTimeout bounds one call to DynamoDB.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
}

// DefaultConfig lasts 10 s, as vmware-go-kcl-v2 does. A holder renews every third
// of it, which leaves 6.6 s for a failed write: an attempt (2 s), the read that
// settles it (2 s), another attempt (2 s).
func DefaultConfig() Config {
	return Config{
		Table:          "tributary",
		Worker:         NewWorkerName(),
		Duration:       10 * time.Second,
		AttemptTimeout: 2 * time.Second,
	}
}

// NewWorkerName returns host-pid-random: a restarted process must not pass for
// the one before it, whose delayed writes may still be on their way.
func NewWorkerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [4]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

// Validate joins all faults.
func (c Config) Validate() error {
	var faults []error
	// DynamoDB allows names of 3 to 255 characters; "-state" takes six.
	if len(c.Table) < 3 || len(c.Table) > 249 {
		faults = append(faults, fmt.Errorf("lease_table %q: must have 3 to 249 characters", c.Table))
	}
	if c.Worker == "" || len(c.Worker) > 255 {
		faults = append(faults, fmt.Errorf("worker %q: must have 1 to 255 characters", c.Worker))
	}
	if c.Duration < time.Second || c.Duration > 10*time.Minute {
		faults = append(faults, fmt.Errorf("lease_duration %v: must lie between 1s and 10m", c.Duration))
	}
	if c.AttemptTimeout <= 0 || c.AttemptTimeout > c.Duration/5 {
		faults = append(faults, fmt.Errorf("attempt_timeout %v: must be positive and at most a fifth of lease_duration (%v), so that a lease survives one lost answer", c.AttemptTimeout, c.Duration/5))
	}
	return errors.Join(faults...)
}
