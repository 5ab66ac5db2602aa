package consumers

import (
	"errors"
	"fmt"
	"time"

	"tributary/schema"
)

// minRangeBytes lets any one record fit into a range: decoded, or as a reject of
// the largest record Kinesis takes.
const minRangeBytes = schema.MaxDecoded + 10<<20

// Policy is when a shard flushes and checkpoints.
type Policy struct {
	// MaxBytes flushes a sink that holds this much, by its Size.
	MaxBytes int64 `koanf:"max_bytes" json:"max_bytes"`
	// RangeBytes bounds a range, in decoded bytes before de-duplication: what a
	// replay has to hold at once. The group keeps the value of its first start,
	// whatever is configured later: a pending range must fit any worker.
	RangeBytes int64 `koanf:"range_bytes" json:"range_bytes"`
	// WorkerBytes bounds what this process has decoded and not made durable: the Size
	// of all sinks, rejects not yet stored, and the records on their way there, each
	// counted as the largest there may be (8 MiB) until it is decoded. See
	// Config.MemoryBytes.
	WorkerBytes int64 `koanf:"worker_bytes" json:"worker_bytes"`
	// MaxAge flushes the oldest unflushed record.
	MaxAge time.Duration `koanf:"max_age" json:"max_age"`
	// CheckpointEvery spares checkpoints of groups without TwoPhase that flush often.
	CheckpointEvery time.Duration `koanf:"checkpoint_every" json:"checkpoint_every"`
	// TwoPhase writes each range down before it is flushed, and replays it as it was.
	TwoPhase bool `koanf:"two_phase" json:"two_phase"`
	// StuckAfter drops a sink whose flush has failed for so long; its records are
	// read again later.
	StuckAfter time.Duration `koanf:"stuck_after" json:"stuck_after"`
	// ParkedRetry is the first wait before a shard is tried again that a permanent
	// failure, a panic or a stuck sink stopped. It doubles up to sixteen times itself.
	ParkedRetry time.Duration `koanf:"parked_retry" json:"parked_retry"`
}

// DefaultPolicy suits a task of half a GiB: the sinks hold one range of the largest
// size, hence any replay, even in the clear. A shard takes 1 MB/s of compressed input,
// about 5 MB/s decoded: a range of 256 MiB is 50 s of a shard at its limit, and about a
// quarter of that where a sink keeps records as they came. With several shards at
// their limit the largest flushes when all together hold 256 MiB; quiet shards flush
// by age.
func DefaultPolicy() Policy {
	return Policy{
		MaxBytes:        64 << 20,
		RangeBytes:      256 << 20,
		WorkerBytes:     256 << 20,
		MaxAge:          time.Minute,
		CheckpointEvery: 5 * time.Second,
		TwoPhase:        true,
		StuckAfter:      10 * time.Minute,
		ParkedRetry:     30 * time.Second,
	}
}

// Validate joins all faults.
func (p Policy) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.MaxBytes < 1 || p.MaxBytes > p.WorkerBytes {
		fault("max_bytes %d: must lie between 1 and worker_bytes (%d)", p.MaxBytes, p.WorkerBytes)
	}
	if p.RangeBytes < minRangeBytes || p.RangeBytes > p.WorkerBytes {
		fault("range_bytes %d: must lie between %d (one record) and worker_bytes (%d)", p.RangeBytes, minRangeBytes, p.WorkerBytes)
	}
	if p.MaxAge < 100*time.Millisecond || p.MaxAge > 12*time.Hour {
		fault("max_age %v: must lie between 100ms and 12h, half of the shortest retention", p.MaxAge)
	}
	if p.CheckpointEvery < 0 || p.CheckpointEvery > time.Hour {
		fault("checkpoint_every %v: must lie between 0s and 1h", p.CheckpointEvery)
	}
	if p.StuckAfter < time.Second || p.StuckAfter > 24*time.Hour {
		fault("stuck_after %v: must lie between 1s and 24h", p.StuckAfter)
	}
	if p.ParkedRetry < 100*time.Millisecond || p.ParkedRetry > time.Hour {
		fault("parked_retry %v: must lie between 100ms and 1h", p.ParkedRetry)
	}
	return errors.Join(faults...)
}
