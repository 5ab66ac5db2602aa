package backfill

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config is what a run may take. None of it decides what is imported, but for the
// size of a new job's ranges, which is stored with it.
type Config struct {
	// Memory is what the garbage collector is to keep the process within.
	Memory int64
	// Parallel is how many batches are read at once, if they fit into Memory.
	Parallel int
	// Range is how many bytes of lines, with a charge for each line, are imported as
	// one; 0: what fits. The larger, the fewer imports; they wait in memory, compressed
	// unless they do not compress.
	Range int64
	// Patience is how long Treasure Data may take nothing before the run ends.
	Patience time.Duration
	// KeyPatience is the same while it refuses the key.
	KeyPatience time.Duration
}

// DefaultConfig keeps the process below 256 MiB, the pages of the executable included.
func DefaultConfig() Config {
	return Config{
		Memory:   192 << 20,
		Parallel: 4,
		// Maintenance takes minutes. Whoever waits longer gives the command again.
		Patience: 15 * time.Minute,
		// A key that was just made may take some seconds to be known everywhere.
		KeyPatience: 30 * time.Second,
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Memory < 128<<20 || c.Memory > 64<<30 {
		errs = append(errs, fmt.Errorf("memory is %d, want 128MiB to 64GiB", c.Memory))
	}
	if c.Range != 0 && (c.Range < 64<<10 || c.Range > maxRange) {
		errs = append(errs, fmt.Errorf("range is %d, want 64KiB to 64MiB", c.Range))
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		errs = append(errs, fmt.Errorf("parallel is %d, want 1 to 64", c.Parallel))
	}
	if c.Patience < 0 || c.Patience > 24*time.Hour || c.KeyPatience < 0 || c.KeyPatience > 24*time.Hour {
		errs = append(errs, fmt.Errorf("patience is %v, want 0s to 24h", c.Patience))
	}
	return errors.Join(errs...)
}

const (
	// fixedBytes is what the process takes beside batches and sink.
	fixedBytes = 16 << 20
	// readBytes is what reading a batch takes beside the range that waits: objects
	// fetched ahead (5 MiB), the pages of a Parquet object, and at worst a line of 8 MiB
	// on its way into a record.
	readBytes = 24 << 20

	minRange = 8 << 20
	maxRange = 64 << 20
)

// EncodeBytes is the sink's share. A range fits in, with its bodies and
// the compressors: 24 + 18 + 8 of 56 MiB by default.
func (c Config) EncodeBytes() int64 { return c.Memory / 24 * 7 }

// rangeBytes is the size of a new job's ranges.
func (c Config) rangeBytes() int64 {
	return cmp.Or(c.Range, min(max(c.Memory/8, minRange), maxRange))
}

// batches is how many fit beside the sink.
func (c Config) batches(rangeBytes int64) int {
	return int(min(int64(c.Parallel), (c.Memory-fixedBytes-c.EncodeBytes())/(rangeBytes+readBytes)))
}
