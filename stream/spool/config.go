package spool

import (
	"errors"
	"fmt"
	"time"
)

// The two answers to "when is a request stored".
const (
	// AckSynced acknowledges after fdatasync: survives a power cut.
	AckSynced = "synced"
	// AckWritten acknowledges after write: survives SIGKILL, not a power cut.
	AckWritten = "written"
)

// What happens when MaxBytes are taken.
const (
	// OnFullBlock lets appends wait: containers block, or Docker drops by its mode.
	OnFullBlock = "block"
	// OnFullDropOldest gives up the oldest segments, counted.
	OnFullDropOldest = "drop_oldest"
)

// Config says where the spool lies and how much it may hold.
type Config struct {
	// Dir is the directory of the log. It belongs to one process at a time.
	Dir string `koanf:"dir" json:"dir"`
	// MaxBytes bounds the undeleted segments, from the cursor's to the newest.
	// The newest segment's snapshot and the quarantine come on top.
	MaxBytes int64 `koanf:"max_bytes" json:"max_bytes"`
	// SegmentBytes is the size at which a segment ends; disk space comes back in
	// steps of it.
	SegmentBytes int64 `koanf:"segment_bytes" json:"segment_bytes"`
	// PendingBytes bounds what waits in memory for its commit; the buffers that
	// hold it may be up to twice as large while they grow. It is also the largest
	// request, and the reader holds one request at a time.
	PendingBytes int64 `koanf:"pending_bytes" json:"pending_bytes"`
	// Ack is AckSynced or AckWritten.
	Ack string `koanf:"ack" json:"ack"`
	// OnFull is OnFullBlock or OnFullDropOldest.
	OnFull string `koanf:"on_full" json:"on_full"`
	// ChunkMemory is how many chunk ids are remembered.
	ChunkMemory int `koanf:"chunk_memory" json:"chunk_memory"`
	// ChunkWindow is how long a chunk id is remembered.
	ChunkWindow time.Duration `koanf:"chunk_window" json:"chunk_window"`
}

// DefaultConfig returns the configuration of a fresh installation.
func DefaultConfig() Config {
	return Config{
		Dir: "data/spool",
		// An instance that writes 1 MB/s, one shard's worth, fills 8 GiB in more
		// than two hours: longer than most regional incidents of Kinesis last.
		MaxBytes: 8 << 30,
		// The snapshot at a segment's start takes 24 bytes per chunk id, 6 MiB
		// when the memory is full: a tenth of 64 MiB.
		SegmentBytes: 64 << 20,
		// Two requests of 16 MiB (one being written, one waiting) and as much
		// again for everybody else.
		PendingBytes: 64 << 20,
		Ack:          AckSynced,
		OnFull:       OnFullBlock,
		// 262,144 ids × (24 bytes queue + about 40 bytes map) is 16 MiB of
		// memory; over 5 minutes that is 870 requests a second.
		ChunkMemory: 262_144,
		// Fluent clients resend after an ack timeout of at most 190 seconds
		// (fluentd's default); 5 minutes leave room for a reconnect.
		ChunkWindow: 5 * time.Minute,
	}
}

const (
	smallestBound = 4 << 10
	largestMemory = 1 << 30 // frame lengths are 32 bits
	largestChunks = 16 << 20
	minWindow     = time.Second
	maxWindow     = 24 * time.Hour
)

// Validate returns all faults of the configuration, joined.
func (c Config) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		bad("dir must name a directory")
	}
	if c.SegmentBytes < smallestBound || c.SegmentBytes > largestMemory {
		bad("segment_bytes is %d, must be between %d and %d", c.SegmentBytes, smallestBound, largestMemory)
	}
	if c.PendingBytes < smallestBound || c.PendingBytes > largestMemory {
		bad("pending_bytes is %d, must be between %d and %d", c.PendingBytes, smallestBound, largestMemory)
	}
	// Less, and a full spool could consist of the newest segment alone, which is
	// never deleted: everybody would wait for room that cannot come.
	if least := 2*c.SegmentBytes + 2*c.PendingBytes; c.MaxBytes < least {
		bad("max_bytes is %d, must be at least 2 × segment_bytes + 2 × pending_bytes = %d", c.MaxBytes, least)
	}
	if c.Ack != AckSynced && c.Ack != AckWritten {
		bad("ack is %q, must be %q or %q", c.Ack, AckSynced, AckWritten)
	}
	if c.OnFull != OnFullBlock && c.OnFull != OnFullDropOldest {
		bad("on_full is %q, must be %q or %q", c.OnFull, OnFullBlock, OnFullDropOldest)
	}
	if c.ChunkMemory < 1 || c.ChunkMemory > largestChunks {
		bad("chunk_memory is %d, must be between 1 and %d", c.ChunkMemory, largestChunks)
	}
	if c.ChunkWindow < minWindow || c.ChunkWindow > maxWindow {
		bad("chunk_window is %v, must be between %v and %v", c.ChunkWindow, minWindow, maxWindow)
	}
	return errors.Join(faults...)
}
