package stream

import (
	"errors"
	"time"
)

// Limits of GetRecords, per shard and shared by all who poll it.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
const (
	maxReadRecords = 10_000
	shardReadRate  = 2 << 20 // bytes per second
	minPoll        = 200 * time.Millisecond
)

// ReaderConfig says how often and how much a Reader asks.
//
// GetRecords has no parameter for bytes: one answer holds at most 10 MiB of
// record data, and several times that while it is decoded from JSON. A Reader asks
// for as many records as AnswerBytes holds of the size of the last ones, and for
// the next only when it has handed out the last. A worker with n shards holds about
// n × AnswerBytes here; n × 10 MiB if all records grow a hundredfold at once.
type ReaderConfig struct {
	// PollMin is the wait between two calls while records come.
	PollMin time.Duration `koanf:"poll_min" json:"poll_min"`
	// PollInterval is the wait between two calls at the tip of a quiet shard, and
	// how long Next waits for a record.
	PollInterval time.Duration `koanf:"poll_interval" json:"poll_interval"`
	// MaxRecords bounds the records of one answer.
	MaxRecords int `koanf:"max_records" json:"max_records"`
	// AnswerBytes is what one answer is meant to hold.
	AnswerBytes int64 `koanf:"answer_bytes" json:"answer_bytes"`
	// AttemptTimeout ends one call; it is made again.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
	// BackoffMin and BackoffMax bound the wait after a failed call. It doubles with
	// every failure in a row.
	BackoffMin time.Duration `koanf:"backoff_min" json:"backoff_min"`
	BackoffMax time.Duration `koanf:"backoff_max" json:"backoff_max"`
}

// DefaultReaderConfig polls four times a second while records come and slows to
// once a second on a quiet shard. A shard answers 5 calls a second to all its
// readers together: one busy group is inside that, five quiet ones are, and more
// are slowed by throttling. AWS advises one second.
func DefaultReaderConfig() ReaderConfig {
	return ReaderConfig{
		PollMin:      250 * time.Millisecond,
		PollInterval: time.Second,
		MaxRecords:   maxReadRecords,
		// Four answers a second are 8 MiB, four times what a shard gives.
		AnswerBytes:    2 << 20,
		AttemptTimeout: 10 * time.Second,
		BackoffMin:     250 * time.Millisecond,
		BackoffMax:     10 * time.Second,
	}
}

// Validate joins all faults.
func (c ReaderConfig) Validate() error {
	return errors.Join(
		within("poll_min", c.PollMin, minPoll, time.Minute),
		within("poll_interval", c.PollInterval, c.PollMin, time.Minute),
		within("max_records", c.MaxRecords, 1, maxReadRecords),
		within("answer_bytes", c.AnswerBytes, 256<<10, 10<<20),
		within("attempt_timeout", c.AttemptTimeout, 100*time.Millisecond, 5*time.Minute),
		within("backoff_min", c.BackoffMin, time.Millisecond, time.Minute),
		within("backoff_max", c.BackoffMax, c.BackoffMin, 10*time.Minute),
	)
}
