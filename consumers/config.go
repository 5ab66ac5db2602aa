package consumers

import (
	"errors"
	"fmt"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// Where a group starts that was never started before.
const (
	StartTrimHorizon = "trim_horizon" // the oldest records the stream holds
	StartLatest      = "latest"       // what arrives from now on
	StartTimestamp   = "timestamp"    // what arrived at StartTime or later
)

// Config says who reads and when what was read is flushed.
type Config struct {
	// Name of the group. All workers of a group share its lease table.
	Name string `koanf:"name" json:"name"`
	// Worker names this process; empty means host-pid-random. No two processes share
	// a name.
	Worker string `koanf:"worker" json:"worker"`
	// LeaseTable is the DynamoDB table; empty means the group's name. A second one,
	// with "-state" behind the name, stands beside it.
	LeaseTable string `koanf:"lease_table" json:"lease_table"`
	// LeaseDuration is how long a dead worker's shards wait for another.
	LeaseDuration time.Duration `koanf:"lease_duration" json:"lease_duration"`
	// AttemptTimeout bounds one call to DynamoDB.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
	// Start is where the very first start of the group begins: trim_horizon, latest
	// or timestamp. It is remembered; later starts go on from the checkpoints.
	Start string `koanf:"start" json:"start"`
	// StartTime belongs to timestamp: RFC 3339.
	StartTime string `koanf:"start_time" json:"start_time,omitempty"`
	// Until ends the group, if it is set: each shard is finished before its first record
	// that arrived at that time or later, and Run returns when all are.
	Until time.Time `koanf:"-" json:"-"`
	// Since is when the group's records begin, if it is set: of those that arrived
	// before, it only learns what producers may send again. Arrival times are
	// approximate and may go back, so a Start alone passes over less.
	Since time.Time `koanf:"-" json:"-"`
	// Alias is another group whose name this one answers to: records that are for that
	// group alone are for this one too, which delivers the same again.
	Alias string `koanf:"-" json:"-"`
	// Generation is the one that shards begin with.
	Generation uint64 `koanf:"-" json:"-"`
	// DedupEntries bounds the de-duplication map of one shard, in lanes. Like
	// range_bytes it is stored with the group, and the stored value wins.
	DedupEntries int64 `koanf:"dedup_entries" json:"dedup_entries"`
	// DrainTimeout is how long shards may flush after the group was told to stop.
	DrainTimeout time.Duration `koanf:"drain_timeout" json:"drain_timeout"`
	// TakeOver lets the group start although workers of another library seem to be
	// alive on the lease table. Delivery across such a change is at least once.
	TakeOver bool `koanf:"take_over" json:"take_over"`

	Policy Policy              `koanf:"policy" json:"policy"`
	Reader stream.ReaderConfig `koanf:"reader" json:"reader"`
}

// DefaultConfig names no group.
//
// The lease arithmetic is lease.DefaultConfig's. 65,536 lanes are what 10,000
// forwarders leave on a shard in six restarts each; the map then takes about 10 MB
// of memory per shard and three items of the state table. 25 s to drain lie below
// the 30 s that ECS gives a container before it kills it.
func DefaultConfig() Config {
	l := lease.DefaultConfig()
	return Config{
		LeaseDuration:  l.Duration,
		AttemptTimeout: l.AttemptTimeout,
		Start:          StartTrimHorizon,
		DedupEntries:   65_536,
		DrainTimeout:   25 * time.Second,
		Policy:         DefaultPolicy(),
		Reader:         stream.DefaultReaderConfig(),
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var faults []error
	if c.Name == "" {
		faults = append(faults, errors.New("name: the group needs one"))
	}
	switch c.Start {
	case StartTrimHorizon, StartLatest:
		if c.StartTime != "" {
			faults = append(faults, fmt.Errorf("start_time: only with start %q", StartTimestamp))
		}
	case StartTimestamp:
		if _, err := time.Parse(time.RFC3339, c.StartTime); err != nil {
			faults = append(faults, fmt.Errorf("start_time %q: must be RFC 3339, such as 2026-11-22T15:04:05Z", c.StartTime))
		}
	default:
		faults = append(faults, fmt.Errorf("start %q: must be %s, %s or %s", c.Start, StartTrimHorizon, StartLatest, StartTimestamp))
	}
	if c.DedupEntries < 1024 || c.DedupEntries > 1<<20 {
		faults = append(faults, fmt.Errorf("dedup_entries %d: must lie between 1024 and 1048576", c.DedupEntries))
	}
	if c.DrainTimeout < 0 || c.DrainTimeout > time.Hour {
		faults = append(faults, fmt.Errorf("drain_timeout %v: must lie between 0s and 1h", c.DrainTimeout))
	}
	if err := c.lease().Validate(); err != nil && c.Name != "" {
		faults = append(faults, fmt.Errorf("lease_table, worker, lease_duration or attempt_timeout: %w", err))
	}
	faults = append(faults, c.Policy.Validate(), c.Reader.Validate())
	return errors.Join(faults...)
}

// consumer is the name under which the stream knows the group.
func (c Config) consumer() string {
	if name := c.Reader.FanOut.ConsumerName; name != "" {
		return name
	}
	return c.Name
}

func (c Config) lease() lease.Config {
	l := lease.Config{Table: c.LeaseTable, Worker: c.Worker, Duration: c.LeaseDuration, AttemptTimeout: c.AttemptTimeout}
	if l.Table == "" {
		l.Table = c.Name
	}
	if l.Worker == "" {
		l.Worker = lease.NewWorkerName()
	}
	return l
}
