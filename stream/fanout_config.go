package stream

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// FanOutConfig says whether the service pushes records (enhanced fan-out). Each
// registered consumer has 2 MiB a second of every shard to itself, and records come
// some 70 ms after they were put instead of up to poll_interval later. It is billed
// by the consumer, shard and hour and by the bytes; polling is free.
type FanOutConfig struct {
	Enabled bool `koanf:"enabled" json:"enabled"`
	// ConsumerName is the name under which the stream knows the group; empty means the
	// group's. A consumer has one subscription per shard, so no two groups share one.
	// Nobody deregisters it: a group that is given up goes on being billed until a
	// person does.
	ConsumerName string `koanf:"consumer_name" json:"consumer_name"`
	// RetryInterval is how long shards are polled after the service refused, before
	// it is asked again.
	RetryInterval time.Duration `koanf:"retry_interval" json:"retry_interval"`
}

// DefaultFanOutConfig polls. A refusal lasts until a person acts: five minutes cost
// one call and one consumer's worth of patience.
func DefaultFanOutConfig() FanOutConfig {
	return FanOutConfig{RetryInterval: 5 * time.Minute}
}

// consumerNames are those of RegisterStreamConsumer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
var consumerNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// Validate joins all faults.
func (c FanOutConfig) Validate() error {
	var name error
	if c.ConsumerName != "" && !consumerNames.MatchString(c.ConsumerName) {
		name = fmt.Errorf("fan_out.consumer_name %q: want 1 to 128 of a-z, A-Z, 0-9, _, . and -", c.ConsumerName)
	}
	return errors.Join(name, within("fan_out.retry_interval", c.RetryInterval, time.Second, 24*time.Hour))
}
