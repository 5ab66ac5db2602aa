package local

import (
	"errors"
	"fmt"
	"time"

	"tributary/deploy/local/logs"
)

// Config is where the endpoints keep their state and how true to the services they are.
type Config struct {
	// Dir holds everything; it is made when missing. Used by one process at a time.
	Dir string `koanf:"dir" json:"dir"`
	// Limits applies the rates of real Kinesis shards, writes and reads, and of calls to CloudWatch Logs, and throttles above them.
	Limits bool `koanf:"limits" json:"limits"`
	// SegmentBytes is the size at which a shard's file is closed and a new one begun. Retention deletes whole files.
	SegmentBytes int64 `koanf:"segment_bytes" json:"segment_bytes"`
	// InFlightBytes bounds the memory of all Kinesis calls being served; further calls wait their turn. CloudWatch Logs has LogsInFlightBytes.
	InFlightBytes int64 `koanf:"in_flight_bytes" json:"in_flight_bytes"`
	// SubscriptionLife is how long a SubscribeToShard pushes before it has to be renewed. A shorter one than the service's five minutes is
	// for tests; below 5 s it also shortens the time in which the same consumer may not subscribe to the shard again.
	SubscriptionLife time.Duration `koanf:"subscription_life" json:"subscription_life"`
	// LogsVisibilityDelay is how long after its answer a log event of CloudWatch Logs is seen by readers.
	LogsVisibilityDelay time.Duration `koanf:"logs_visibility_delay" json:"logs_visibility_delay"`
	// TDIDMemory is how many import ids Treasure Data remembers, and TDIDAge for how long; 0: all, and for ever.
	TDIDMemory int           `koanf:"td_id_memory" json:"td_id_memory"`
	TDIDAge    time.Duration `koanf:"td_id_age" json:"td_id_age"`
	// TDBodyBytes is the largest import, as it is sent, that Treasure Data takes.
	TDBodyBytes int64 `koanf:"td_body_bytes" json:"td_body_bytes"`
	// TDAPIKeys are the keys that Treasure Data takes, none: any. TDWriteOnlyAPIKeys may import and do nothing else.
	TDAPIKeys          []string `koanf:"td_api_keys" json:"td_api_keys"`
	TDWriteOnlyAPIKeys []string `koanf:"td_write_only_api_keys" json:"td_write_only_api_keys"`
	// ShutdownTimeout is how long calls under way may take after the end was asked for; then their connections are cut.
	ShutdownTimeout time.Duration `koanf:"shutdown_timeout" json:"shutdown_timeout"`
}

// LogsInFlightBytes bounds the memory of all CloudWatch Logs calls being served: four of the largest at once.
const LogsInFlightBytes = 4 * logs.MinInFlightBytes

// DefaultConfig keeps state in ./data, without limits.
func DefaultConfig() Config {
	return Config{
		Dir: "data",
		// A full shard (1 MiB/s) fills a segment in about a minute: 1,440 files a shard and day at most.
		SegmentBytes: 64 << 20,
		// Six of the largest calls at once: 10 MiB of records are 13.4 MiB of base64, held beside their text, twice over.
		InFlightBytes:    256 << 20,
		SubscriptionLife: 5 * time.Minute,
		TDBodyBytes:      32 << 20,
		ShutdownTimeout:  5 * time.Second,
	}
}

// Validate returns all faults of c at once.
func (c Config) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("dir is empty: name the directory that keeps the endpoints' state"))
	}
	if c.SegmentBytes < 1<<20 || c.SegmentBytes > 1<<30 {
		faults = append(faults, fmt.Errorf("segment_bytes is %d: want 1 MiB to 1 GiB", c.SegmentBytes))
	}
	if c.InFlightBytes < 64<<20 {
		faults = append(faults, fmt.Errorf("in_flight_bytes is %d: want 64 MiB or more, the largest call needs that", c.InFlightBytes))
	}
	if c.SubscriptionLife <= 0 || c.SubscriptionLife > 5*time.Minute {
		faults = append(faults, fmt.Errorf("subscription_life is %s: want more than 0s, at most 5m", c.SubscriptionLife))
	}
	if c.LogsVisibilityDelay < 0 || c.LogsVisibilityDelay > time.Hour {
		faults = append(faults, fmt.Errorf("logs_visibility_delay is %s: want 0s to 1h", c.LogsVisibilityDelay))
	}
	if c.TDIDMemory < 0 {
		faults = append(faults, fmt.Errorf("td_id_memory is %d: want 0 (all ids) or more", c.TDIDMemory))
	}
	if c.TDIDAge < 0 {
		faults = append(faults, fmt.Errorf("td_id_age is %s: want 0s (for ever) or more", c.TDIDAge))
	}
	if c.TDBodyBytes < 1<<10 || c.TDBodyBytes > 1<<30 {
		faults = append(faults, fmt.Errorf("td_body_bytes is %d: want 1 KiB to 1 GiB", c.TDBodyBytes))
	}
	if c.ShutdownTimeout <= 0 || c.ShutdownTimeout > time.Minute {
		faults = append(faults, fmt.Errorf("shutdown_timeout is %s: want more than 0s, at most 1m", c.ShutdownTimeout))
	}
	return errors.Join(faults...)
}
