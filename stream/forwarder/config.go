package forwarder

import (
	"errors"
	"fmt"
	"time"

	"tributary/stream/ecs"
	"tributary/stream/multiline"
	"tributary/stream/refused"
)

// Config bounds the pipeline. Sizes are bytes.
type Config struct {
	// Host names this instance in every event; empty means the host name.
	Host string `koanf:"host" json:"host"`

	// Linger is the longest an event waits for company before its record is sent. Where
	// many come it is a quarter of that.
	Linger time.Duration `koanf:"linger" json:"linger"`
	// RecordBytes is the compressed size a record aims at.
	RecordBytes int64 `koanf:"record_bytes" json:"record_bytes"`
	// MaxLanes bounds how many lanes load may open.
	MaxLanes int `koanf:"max_lanes" json:"max_lanes"`
	// LaneBytes bounds the events waiting in one lane, not counting the record in
	// flight.
	LaneBytes int64 `koanf:"lane_bytes" json:"lane_bytes"`

	// PartialTimeout closes a cut line this long after its last piece, counted
	// only while the pump keeps up with what arrives.
	PartialTimeout time.Duration `koanf:"partial_timeout" json:"partial_timeout"`
	// RestartGrace is added to PartialTimeout for lines whose last piece came in
	// an earlier life: their client is still reconnecting.
	RestartGrace time.Duration `koanf:"restart_grace" json:"restart_grace"`
	// PartialMaxAge closes a cut line this long after its first piece, so that a
	// dripping container cannot hold the spool's cursor for ever.
	PartialMaxAge time.Duration `koanf:"partial_max_age" json:"partial_max_age"`
	// MaxLineBytes, MaxOpenBytes and MaxOpenLines cap rejoining: one line, all open
	// lines, their number. Over the first a line is delivered as it is, over the others
	// the longest silent one, marked incomplete.
	MaxLineBytes int64 `koanf:"max_line_bytes" json:"max_line_bytes"`
	MaxOpenBytes int64 `koanf:"max_open_bytes" json:"max_open_bytes"`
	MaxOpenLines int   `koanf:"max_open_lines" json:"max_open_lines"`

	// ECS says where the ECS agent tells of containers.
	ECS ecs.Config `koanf:"ecs" json:"ecs"`

	// Multiline says whose plain-text lines are joined to blocks, such as stack traces.
	// Services are known by what comes with each entry: labels, tag, container name. A
	// JSON field or the ECS agent does not count here.
	Multiline multiline.Rules `koanf:"multiline" json:"multiline"`
	// MultilineTimeout ends a block this long after its last line, as PartialTimeout
	// ends a line.
	MultilineTimeout time.Duration `koanf:"multiline_timeout" json:"multiline_timeout"`
	// MultilineMaxLines caps the lines of a block; MaxLineBytes, MaxOpenBytes and
	// MaxOpenLines count blocks as they count cut lines.
	MultilineMaxLines int `koanf:"multiline_max_lines" json:"multiline_max_lines"`

	// Rejects bounds what is kept of what the stream refuses for good.
	Rejects refused.Config `koanf:"rejects" json:"rejects"`

	// ListenGrace keeps the listener open after the stop signal: containers that
	// die with the instance write their last lines then.
	ListenGrace time.Duration `koanf:"listen_grace" json:"listen_grace"`
	// DrainTimeout bounds how long stopping waits for the spool to empty. What
	// remains stays on disk.
	DrainTimeout time.Duration `koanf:"drain_timeout" json:"drain_timeout"`
	// Grace is what the process is given between SIGTERM and SIGKILL: stopTimeout of
	// the ECS container. The parts of a stop must fit it.
	Grace time.Duration `koanf:"grace" json:"grace"`

	// StuckAfter is how long a lane may store nothing while something waits, or the
	// pump stand still, before the process calls itself unhealthy.
	StuckAfter time.Duration `koanf:"stuck_after" json:"stuck_after"`
}

// spare is what a stop takes besides its parts: the last cursor, closing, exiting.
const spare = 2 * time.Second

// ValidateStop checks that a stop fits Grace; drain is that of the server.
func (c Config) ValidateStop(drain time.Duration) error {
	if sum := c.ListenGrace + drain + c.DrainTimeout + spare; sum > c.Grace {
		return fmt.Errorf("grace is %v, less than listen_grace (%v), server.drain (%v), drain_timeout (%v) and %v together: "+
			"the process would be killed before it has drained; lower one of them, or raise grace if stopTimeout of the container is longer",
			c.Grace, c.ListenGrace, drain, c.DrainTimeout, spare)
	}
	return nil
}

// DefaultConfig fits one ECS instance.
func DefaultConfig() Config {
	return Config{
		// At 15 lines/s, a quiet instance, one second gathers 15 lines: zstd gains 3x
		// on ten lines of app logs, 2.2x on three.
		Linger: time.Second,
		// A quarter of a shard-second: a record of 1 MiB would occupy a shard's whole
		// write rate for a second and be throttled as a lump.
		RecordBytes: 256 << 10,
		// A lane is meant to carry a third of a shard's write rate, about 1.7 MiB/s of
		// lines, and can carry three times that: 16 lanes are 27 to 80 MiB/s of lines
		// from one instance.
		MaxLanes: 16,
		// Most of a record's worth of lines while the previous one is in flight: 200 KiB
		// at 5x compression; 16 lanes hold 16 MiB.
		LaneBytes: 1 << 20,
		// Docker sends the pieces of a line within microseconds of each other; two
		// seconds is a thousand times a slow one, and bounds the wait for the crash
		// message of a container that died without a newline.
		PartialTimeout: 2 * time.Second,
		// Docker's retry wait starts at 1 s and grows by 1.5: 1 + 1.5 + 2.25 + 3.4 s.
		RestartGrace:  15 * time.Second,
		PartialMaxAge: time.Minute,
		// A line over 4 MiB is a dump, not a log line; 2 of them fit the total. Pieces come
		// within moments of each other, so what the total holds is mostly lines whose end
		// is lost: they make room for the others, sooner than their timeout if need be.
		MaxLineBytes: 4 << 20,
		MaxOpenBytes: 8 << 20,
		MaxOpenLines: 1024,
		// A program prints a trace at once; a second bounds how late the last line of a
		// burst is.
		MultilineTimeout: time.Second,
		// The stacks of a thousand goroutines at ten lines each.
		MultilineMaxLines: 10_000,
		Rejects:           refused.DefaultConfig(),
		// ECS kills 30 s after SIGTERM: 8 s listening, 8 s at most for what is in the
		// sockets (fluent.Config.Drain), 10 s for the spool, 4 s to spare.
		ListenGrace:  8 * time.Second,
		DrainTimeout: 10 * time.Second,
		Grace:        30 * time.Second,
		// Thirty attempts of 10 s (stream.ProducerConfig.AttemptTimeout): a shard that
		// is throttled takes a record now and then, and resharding is over by then.
		StuckAfter: 5 * time.Minute,
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Linger >= 10*time.Millisecond && c.Linger <= time.Minute, "linger is %v, want 10ms to 1m", c.Linger)
	check(c.RecordBytes >= 1<<10 && c.RecordBytes <= SmallRecordBytes, "record_bytes is %d, want 1 KiB to 1 MiB, which every stream takes", c.RecordBytes)
	check(c.MaxLanes >= 1 && c.MaxLanes <= 256, "max_lanes is %d, want 1 to 256", c.MaxLanes)
	check(c.LaneBytes >= 64<<10, "lane_bytes is %d, want at least 64 KiB", c.LaneBytes)
	check(c.PartialTimeout >= 100*time.Millisecond && c.PartialTimeout <= 10*time.Minute, "partial_timeout is %v, want 100ms to 10m", c.PartialTimeout)
	check(c.RestartGrace >= 0 && c.RestartGrace <= 10*time.Minute, "restart_grace is %v, want 0 to 10m", c.RestartGrace)
	check(c.PartialMaxAge >= c.PartialTimeout, "partial_max_age is %v, want at least partial_timeout (%v)", c.PartialMaxAge, c.PartialTimeout)
	// Above this the parts of one line would need more offsets than an entry has.
	check(c.MaxLineBytes >= 64<<10 && c.MaxLineBytes <= 256<<20, "max_line_bytes is %d, want 64 KiB to 256 MiB", c.MaxLineBytes)
	check(c.MaxOpenBytes >= c.MaxLineBytes, "max_open_bytes is %d, want at least max_line_bytes (%d)", c.MaxOpenBytes, c.MaxLineBytes)
	check(c.MaxOpenLines >= 1 && c.MaxOpenLines <= 4096, "max_open_lines is %d, want 1 to 4096", c.MaxOpenLines)
	for _, err := range []error{c.ECS.Validate(), c.Multiline.Validate()} {
		if err != nil {
			faults = append(faults, err)
		}
	}
	check(c.MultilineTimeout >= 100*time.Millisecond && c.MultilineTimeout <= time.Minute, "multiline_timeout is %v, want 100ms to 1m", c.MultilineTimeout)
	check(c.MultilineMaxLines >= 2 && c.MultilineMaxLines <= 1_000_000, "multiline_max_lines is %d, want 2 to 1000000", c.MultilineMaxLines)
	if err := c.Rejects.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("rejects.%w", err))
	}
	check(c.ListenGrace >= 0, "listen_grace is %v, want 0 or more", c.ListenGrace)
	check(c.DrainTimeout >= time.Second, "drain_timeout is %v, want at least 1s", c.DrainTimeout)
	check(c.Grace >= 3*time.Second && c.Grace <= time.Hour, "grace is %v, want 3s to 1h", c.Grace)
	check(c.StuckAfter >= 10*time.Second && c.StuckAfter <= 24*time.Hour, "stuck_after is %v, want 10s to 24h", c.StuckAfter)
	return errors.Join(faults...)
}
