package refused

import "fmt"

// Config bounds the rejects on disk.
type Config struct {
	// MaxBytes bounds the files of rejects, which lie in the spool's directory and come
	// on top of its max_bytes.
	MaxBytes int64 `koanf:"max_bytes" json:"max_bytes"`
}

// DefaultConfig keeps some 150,000 rejects of usual lines, or 64 of the largest.
func DefaultConfig() Config {
	// A line of 500 bytes is a record of 350, compressed alone, and takes 60 more and
	// its reason: 64 MiB are a day of two such lines a second, and less than a hundredth
	// of what the spool may take.
	return Config{MaxBytes: 64 << 20}
}

// The smallest bound holds one record of the largest stream, 10 MiB.
const smallestBound, largestBound = 16 << 20, 1 << 30

// Validate tells what is wrong.
func (c Config) Validate() error {
	if c.MaxBytes < smallestBound || c.MaxBytes > largestBound {
		return fmt.Errorf("max_bytes is %d, must be between %d and %d", c.MaxBytes, smallestBound, largestBound)
	}
	return nil
}

// segmentBytes is the size at which a segment ends, and so how much is dropped at a
// time: a sixteenth, and never more than is read at once.
func (c Config) segmentBytes() int64 { return min(c.MaxBytes/16, 4<<20) }
