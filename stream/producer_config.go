package stream

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Limits of one PutRecords request.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
const (
	maxRequestRecords = 500
	maxRequestBytes   = 10 << 20 // data and partition keys, before base64
	maxKeyCharacters  = 256
)

// ProducerConfig bounds what a Producer sends.
type ProducerConfig struct {
	// MaxRecordBytes bounds a record, data and partition key together, below what the
	// stream reports that it takes; 0: that and MaxRequestBytes alone do.
	MaxRecordBytes int64 `koanf:"max_record_bytes" json:"max_record_bytes"`
	// MaxRecordsPerRequest bounds one PutRecords request.
	MaxRecordsPerRequest int `koanf:"max_records_per_request" json:"max_records_per_request"`
	// MaxRequestBytes bounds one PutRecords request, data and partition keys.
	MaxRequestBytes int64 `koanf:"max_request_bytes" json:"max_request_bytes"`
	// MaxInFlight is how many requests are on their way at once. Together with
	// MaxRequestBytes it bounds the bytes in flight; on the wire they are a third
	// larger.
	MaxInFlight int `koanf:"max_in_flight" json:"max_in_flight"`
	// AttemptTimeout ends one request; its outcome is unknown then and it is sent
	// again.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
	// BackoffMin and BackoffMax bound the wait of one record before its next
	// attempt. It doubles with every failure.
	BackoffMin time.Duration `koanf:"backoff_min" json:"backoff_min"`
	BackoffMax time.Duration `koanf:"backoff_max" json:"backoff_max"`
}

// DefaultProducerConfig fits one forwarder on an instance.
//
//   - 5 MiB per request holds 20 records of 256 KiB and is accepted by the old
//     limit (5 MiB) and the new one (10 MiB) alike: not every region and stand-in
//     has the new one. A line of 4 MiB fits in one piece where the stream takes it.
//   - 8 requests × 5 MiB = 40 MiB in flight at the very most (53 MiB with base64).
//     A lane has one record in flight, so that 20 lanes of 256 KiB are 5 MiB.
//   - A shard takes 1 MB/s: a record of 256 KiB that was throttled fits again after
//     about 250 ms, hence 100 ms doubling to 5 s.
func DefaultProducerConfig() ProducerConfig {
	return ProducerConfig{
		MaxRecordsPerRequest: maxRequestRecords,
		MaxRequestBytes:      5 << 20,
		MaxInFlight:          8,
		AttemptTimeout:       10 * time.Second,
		BackoffMin:           100 * time.Millisecond,
		BackoffMax:           5 * time.Second,
	}
}

// Validate joins all faults.
func (c ProducerConfig) Validate() error {
	return errors.Join(
		within("max_record_bytes", cmp.Or(c.MaxRecordBytes, defaultRecordBytes), defaultRecordBytes, maxRequestBytes),
		within("max_records_per_request", c.MaxRecordsPerRequest, 1, maxRequestRecords),
		within("max_request_bytes", c.MaxRequestBytes, max(c.MaxRecordBytes, defaultRecordBytes), maxRequestBytes),
		within("max_in_flight", c.MaxInFlight, 1, 256),
		within("attempt_timeout", c.AttemptTimeout, 100*time.Millisecond, 5*time.Minute),
		within("backoff_min", c.BackoffMin, time.Millisecond, time.Minute),
		within("backoff_max", c.BackoffMax, c.BackoffMin, 10*time.Minute),
	)
}

// within names the key and the allowed range of a value outside it.
func within[T int | int64 | time.Duration](key string, value, low, high T) error {
	if value < low || value > high {
		return fmt.Errorf("%s: %v is not between %v and %v", key, value, low, high)
	}
	return nil
}
