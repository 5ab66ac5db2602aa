package stream

import (
	"errors"
	"time"
)

// Limits of GetRecords, per shard and shared by all who poll it.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
const (
	maxReadRecords = 10_000
	shardReadRate  = 2 << 20 // bytes a second
	minPoll        = 200 * time.Millisecond
)

// ReaderConfig says how often and how much a Reader asks.
//
// GetRecords has no parameter for bytes: one answer holds up to 10 MiB of data,
// 17 MiB with all that comes with it. A Reader asks for as many records as
// AnswerBytes holds of the size of the last ones. It holds one answer, and fetches
// another while the first is worked on; ReadBytes bounds those of all Readers
// together, whatever the records' size.
type ReaderConfig struct {
	// PollMin is the wait between two calls while the tip is not reached.
	PollMin time.Duration `koanf:"poll_min" json:"poll_min"`
	// PollInterval is the wait between two calls at the tip, hence the time that a
	// record may lie there unseen.
	PollInterval time.Duration `koanf:"poll_interval" json:"poll_interval"`
	// MaxRecords bounds the records of one answer.
	MaxRecords int `koanf:"max_records" json:"max_records"`
	// AnswerBytes is what one answer is meant to hold, in bytes of data.
	AnswerBytes int64 `koanf:"answer_bytes" json:"answer_bytes"`
	// ReadBytes bounds the memory of all answers of a worker that were not handed
	// out, those on their way included. A call waits for room.
	ReadBytes int64 `koanf:"read_bytes" json:"read_bytes"`
	// ShardRateBytes is what a shard gives a second: no call is made before the last
	// answer is paid for at this rate. 0: at once, for services without such a limit.
	ShardRateBytes int64 `koanf:"shard_rate_bytes" json:"shard_rate_bytes"`
	// AttemptTimeout ends one call; it is made again.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
	// BackoffMin and BackoffMax bound the wait after a failed call. It doubles with
	// every failure in a row.
	BackoffMin time.Duration `koanf:"backoff_min" json:"backoff_min"`
	BackoffMax time.Duration `koanf:"backoff_max" json:"backoff_max"`
	// FanOut has the service push records instead, where it can.
	FanOut FanOutConfig `koanf:"fan_out" json:"fan_out"`
}

// DefaultReaderConfig polls once a second at the tip, as AWS advises: a shard
// answers 5 calls a second to all its readers together, so five groups fit. Behind
// the tip it polls four times a second, as far as the other readers leave it that
// much. A group that wants records sooner sets PollInterval to PollMin.
//
// Four answers of 2 MiB a second are four times what a shard gives. 32 MiB are as
// many as seven shards have on their way while they catch up, and more at the tip;
// the others wait their turn.
func DefaultReaderConfig() ReaderConfig {
	return ReaderConfig{
		PollMin:        250 * time.Millisecond,
		PollInterval:   time.Second,
		MaxRecords:     maxReadRecords,
		AnswerBytes:    2 << 20,
		ReadBytes:      32 << 20,
		ShardRateBytes: shardReadRate,
		AttemptTimeout: 10 * time.Second,
		BackoffMin:     250 * time.Millisecond,
		BackoffMax:     10 * time.Second,
		FanOut:         DefaultFanOutConfig(),
	}
}

// look is until when Await waits before its caller gets a look at the clock: a little
// more than the wait at the tip, so that what the next call brings is seen, and
// never more than the owner of a shard may be blind to what others want of it.
func (c ReaderConfig) look(until time.Time) time.Time {
	wait := min(c.PollInterval, time.Second)
	at := time.Now().Add(wait + wait/4)
	if !until.IsZero() && until.Before(at) {
		return until
	}
	return at
}

// Validate joins all faults.
func (c ReaderConfig) Validate() error {
	return errors.Join(
		within("poll_min", c.PollMin, minPoll, time.Minute),
		within("poll_interval", c.PollInterval, c.PollMin, time.Minute),
		within("answer_bytes", c.AnswerBytes, 256<<10, 10<<20),
		within("read_bytes", c.ReadBytes, maxAnswerBytes, 1<<40),
		within("shard_rate_bytes", c.ShardRateBytes, 0, 1<<40),
		within("max_records", c.MaxRecords, 1, maxReadRecords),
		within("attempt_timeout", c.AttemptTimeout, 100*time.Millisecond, 5*time.Minute),
		within("backoff_min", c.BackoffMin, time.Millisecond, time.Minute),
		within("backoff_max", c.BackoffMax, c.BackoffMin, 10*time.Minute),
		c.FanOut.Validate(),
	)
}
