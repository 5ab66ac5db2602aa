package kinesis

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"tributary/deploy/local/disk"
)

const (
	metaFile = "stream.json"
	// metaVersion is the highest that is read. A stream is written as version 1 unless it has what programs that know no more would
	// lose: consumers, or a resize under way.
	metaVersion = 2
)

// streamMeta is what a stream is, records apart. It is replaced as a whole, so that a crash leaves the old or the new one.
type streamMeta struct {
	Version        int    `json:"version"`
	Name           string `json:"name"`
	CreatedMS      int64  `json:"created_ms"`
	RetentionHours int    `json:"retention_hours"`
	FloorMS        int64  `json:"floor_ms,omitempty"` // what arrived earlier has expired, whatever the retention is now
	MaxRecordKiB   int    `json:"max_record_kib"`
	// LargestRecordKiB is what records may have that were put before the limit was lowered; 0: it never was.
	LargestRecordKiB int         `json:"largest_record_kib,omitempty"`
	NextShard        int         `json:"next_shard"`
	Shards           []shardMeta `json:"shards"`
	// TargetShards is what a resize under way goes to; 0: none is. Which step comes next follows from it and the open shards.
	TargetShards int            `json:"target_shards,omitempty"`
	ResizedMS    []int64        `json:"resized_ms,omitempty"` // when resizes of the last 24 hours were asked for
	Consumers    []consumerMeta `json:"consumers,omitempty"`
	ConsumerMS   int64          `json:"consumer_ms,omitempty"` // creation time of the newest consumer, gone ones included
}

// shardMeta describes one shard. End and ClosedMS are 0 while it is open.
type shardMeta struct {
	ID             string  `json:"id"`
	Parent         string  `json:"parent,omitempty"`
	AdjacentParent string  `json:"adjacent_parent,omitempty"`
	From           hashKey `json:"from"`
	To             hashKey `json:"to"`
	Start          uint64  `json:"start"`
	End            uint64  `json:"end,omitempty"`
	OpenedMS       int64   `json:"opened_ms"`
	ClosedMS       int64   `json:"closed_ms,omitempty"`
}

func (m shardMeta) closed() bool { return m.ClosedMS != 0 }

// expired: the shard was closed before the horizon, so all its records have expired.
func (m shardMeta) expired(horizon int64) bool { return m.closed() && m.ClosedMS < horizon }

func (m shardMeta) owns(k hashKey) bool { return m.From.compare(k) <= 0 && k.compare(m.To) <= 0 }

// precedes: m ends where next begins.
func (m shardMeta) precedes(next shardMeta) bool {
	return m.To != maxHashKey && m.To.after() == next.From
}

func shardID(index int) string { return fmt.Sprintf("shardId-%012d", index) }

func (m streamMeta) save(dir string) error {
	m.Version = 1
	if len(m.Consumers) > 0 || m.TargetShards != 0 {
		m.Version = 2
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write stream metadata: %w", err)
	}
	if err := disk.ReplaceFile(filepath.Join(dir, metaFile), text); err != nil {
		return fmt.Errorf("write stream metadata: %w", err)
	}
	return nil
}

func loadMeta(dir string) (streamMeta, error) {
	text, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return streamMeta{}, fmt.Errorf("read stream metadata: %w", err)
	}
	var m streamMeta
	if err := json.Unmarshal(text, &m); err != nil {
		return streamMeta{}, fmt.Errorf("read stream metadata in %s: %w", dir, err)
	}
	if m.Version < 1 || m.Version > metaVersion {
		return streamMeta{}, fmt.Errorf("read stream metadata in %s: version %d, this program reads 1 to %d", dir, m.Version, metaVersion)
	}
	return m, nil
}
