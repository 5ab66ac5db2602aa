package rejects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/schema"
	"tributary/sinks/objects"
	"tributary/stream"
)

// position is where a reject was found. All groups of a stream find it there, unless
// it is one that their destination refused.
type position struct {
	to       string // the group whose destination that is
	shard    stream.ShardID
	sequence stream.SequenceNumber
	index    uint32
}

// intent is written before the first record of a replay is put. It holds the records
// as they are put, so that whoever goes on after a crash puts the same: a group that
// has them drops them by epoch, lane and offset.
type intent struct {
	Version  int                   `json:"version"`
	Shard    stream.ShardID        `json:"shard"`
	Sequence stream.SequenceNumber `json:"sequence"`
	Index    uint32                `json:"index"`
	Object   string                `json:"object"` // the reject's
	Line     int                   `json:"line"`
	Begun    time.Time             `json:"begun"`
	Epoch    string                `json:"epoch"`
	Lane     uint32                `json:"lane"`
	Key      string                `json:"key"` // partition key
	Events   int                   `json:"events"`
	Records  [][]byte              `json:"records"`
}

// end is written when all records are in the stream.
type end struct {
	Version  int       `json:"version"`
	Replayed time.Time `json:"replayed"`
}

// The two manifests of a replay. A listing names them in this order.
const (
	beginSuffix = ".begun.json"
	endSuffix   = ".done.json"
	afterBoth   = ".e"
)

// base is what the names of a replay's manifests begin with. The stream is a part of
// it: shards of two streams have the same names.
func (a *Archive) base(at position) string {
	if at.to != "" {
		return fmt.Sprintf("%s/%s/%s/to=%s/%s/%064s-%010d", a.cfg.Prefix, replaysFolder, a.stream, at.to, at.shard, at.sequence, at.index)
	}
	return fmt.Sprintf("%s/%s/%s/%s/%064s-%010d", a.cfg.Prefix, replaysFolder, a.stream, at.shard, at.sequence, at.index)
}

// begin makes an intent durable, or returns the one that is there; nil if that one
// has come to its end.
func (a *Archive) begin(ctx context.Context, at position, in *intent) (*intent, error) {
	err := a.create(ctx, a.base(at)+beginSuffix, in)
	if !errors.Is(err, objects.ErrExists) {
		return in, err
	}
	state, err := (&replays{archive: a}).of(ctx, at)
	if err != nil || state == StateReplayed {
		return nil, err
	}
	return a.begun(ctx, at)
}

// begun reads the intent of a replay.
func (a *Archive) begun(ctx context.Context, at position) (*intent, error) {
	key := a.base(at) + beginSuffix
	text, err := a.read(ctx, key)
	if err != nil {
		return nil, err
	}
	var in intent
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if in.Version != formatVersion {
		return nil, fmt.Errorf("read %s: it has version %d, this program reads version %d: a newer one wrote it, use that", key, in.Version, formatVersion)
	}
	return &in, nil
}

func (a *Archive) finish(ctx context.Context, at position) error {
	err := a.create(ctx, a.base(at)+endSuffix, end{formatVersion, time.Now().UTC()})
	if errors.Is(err, objects.ErrExists) {
		return nil
	}
	return err
}

// create writes an object that must not be there yet. After any error but
// objects.ErrExists it may be there, or come to be.
func (a *Archive) create(ctx context.Context, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return objects.Patiently(ctx, func() error {
		return a.cfg.Create(ctx, a.api, objects.Object{Bucket: a.cfg.Bucket, Key: key, Content: text, ContentType: "application/json"})
	})
}

// replays tells the states of rejects that are asked for mostly in their order: a
// page of the listing answers for all up to its end.
type replays struct {
	archive  *Archive
	from, to string // what keys covers; an empty to goes to the end of the shard
	keys     []string
}

func (r *replays) of(ctx context.Context, at position) (State, error) {
	base := r.archive.base(at)
	folder := base[:strings.LastIndexByte(base, '/')+1]
	covered := strings.HasPrefix(r.from, folder) && base >= r.from && (r.to == "" || base+afterBoth <= r.to)
	if !covered {
		out, err := r.archive.cfg.Page(ctx, r.archive.api, &s3.ListObjectsV2Input{Bucket: &r.archive.cfg.Bucket, Prefix: &folder, StartAfter: &base})
		if err != nil {
			return "", err
		}
		r.from, r.to, r.keys = base, "", r.keys[:0]
		for _, o := range out.Contents {
			r.keys = append(r.keys, aws.ToString(o.Key))
		}
		if aws.ToBool(out.IsTruncated) {
			r.to = r.keys[len(r.keys)-1]
		}
	}
	if _, ok := slices.BinarySearch(r.keys, base+endSuffix); ok {
		return StateReplayed, nil
	}
	if _, ok := slices.BinarySearch(r.keys, base+beginSuffix); ok {
		return StateBegun, nil
	}
	return StateKept, nil
}

// newIntent makes the manifest of a replay of k.
func newIntent(k *Kept, epoch schema.Epoch, lane uint32, key string, events int, records [][]byte) *intent {
	return &intent{
		Version: formatVersion, Shard: k.Shard, Sequence: k.Sequence, Index: k.Index, Object: k.Object, Line: k.Line, Begun: time.Now().UTC(),
		Epoch: epoch.String(), Lane: lane, Key: key, Events: events, Records: records,
	}
}
