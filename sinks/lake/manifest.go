package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tributary/sinks/objects"
	"tributary/stream"
)

// manifest ends a range's flush. Its JSON is the same in formats 1 and 2; readers
// skip fields they do not know.
type manifest struct {
	Format     int                   `json:"format"`
	Shard      stream.ShardID        `json:"shard"`
	Generation uint64                `json:"generation"`
	After      stream.SequenceNumber `json:"after"` // the last record of the range before; empty at the beginning
	First      stream.SequenceNumber `json:"first"`
	Last       stream.SequenceNumber `json:"last"`
	// Truncated: the stream no longer held the beginning of the range. Objects of
	// an earlier attempt may then exist that are not listed here.
	Truncated bool   `json:"truncated"`
	Plan      string `json:"plan"` // hex SHA-256 of the plan's text
	// Records and when the first and the last of them arrived in the stream, so that
	// a range is found by time without a look at the stream, which forgets.
	Records      int64     `json:"records"`
	ArrivalFirst time.Time `json:"arrival_first,omitzero"`
	ArrivalLast  time.Time `json:"arrival_last,omitzero"`
	Rows         int64     `json:"rows"` // in all objects
	// LineBytes, Late, Duplicates and Rejects count what this range's records held:
	// bytes of lines, events put by arrival, events dropped as delivered before,
	// input that no decoder understood.
	LineBytes  int64            `json:"line_bytes"`
	Late       int64            `json:"late"`
	Duplicates int64            `json:"duplicates"`
	Rejects    int64            `json:"rejects"`
	Objects    []manifestObject `json:"objects"` // sorted by partition
}

type manifestObject struct {
	Key    string `json:"key"` // within the bucket
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// maxManifest bounds what is read back: 337 hours of 3 kinds, each with some
// hundred services under a template that parts them, at 300 bytes an object.
const maxManifest = 64 << 20

func (m *manifest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return append(text, '\n'), nil
}

// placeManifest makes the manifest durable, or finds an equal one there.
func (l *Lake) placeManifest(ctx context.Context, bucket, key string, m *manifest) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	err = l.store.create(ctx, bucket, key, text, "application/json", nil)
	if !errors.Is(err, objects.ErrExists) {
		return err
	}
	got, err := l.store.get(ctx, bucket, key, maxManifest, "")
	if err != nil {
		return fmt.Errorf("read manifest %s/%s: %w", bucket, key, err)
	}
	var there manifest
	if err := json.Unmarshal(got.tail, &there); err != nil {
		return stream.Permanent(fmt.Errorf("read manifest %s/%s: %w", bucket, key, err))
	}
	if there.Format > formatVersion {
		return stream.Permanent(fmt.Errorf("manifest %s/%s is there with format %d, this build reads up to %d", bucket, key, there.Format, formatVersion))
	}
	same := there.Shard == m.Shard && there.Generation == m.Generation && there.First == m.First && there.Last == m.Last
	if same && (m.Truncated || there.Rows == m.Rows) {
		return nil
	}
	return stream.Permanent(fmt.Errorf("manifest %s/%s is there for other content: %s to %s of %s with %d rows, this flush has %s to %s with %d",
		bucket, key, there.First, there.Last, there.Shard, there.Rows, m.First, m.Last, m.Rows))
}
