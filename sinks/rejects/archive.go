package rejects

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/sinks/objects"
	"tributary/stream"
)

// archiveAPI is what an archive asks of an S3 client.
type archiveAPI interface {
	objects.Putter
	objects.Getter
	objects.Lister
}

// Archive reads what Stores have kept, of any group. Of the content one object at a
// time is in memory.
type Archive struct {
	cfg    Config
	api    archiveAPI
	stream string
}

// NewArchive returns the archive of the rejects of a stream; cfg.Group is not
// looked at. It does no I/O.
func NewArchive(cfg Config, streamName string, api archiveAPI) (*Archive, error) {
	cfg.Group = cmp.Or(cfg.Group, "any")
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("rejects: %w", err)
	}
	return &Archive{cfg, api, streamName}, nil
}

// A State tells how far the replay of a reject has come.
type State string

// The states of a replay. One that was begun and is not done was cut off: the record
// may be in the stream, or not.
const (
	StateKept     State = "kept"
	StateBegun    State = "begun"
	StateReplayed State = "replayed"
)

// Kept is one reject as it lies in the archive.
type Kept struct {
	ID         string                `json:"id"` // <hash in the object's name>.<line>
	Group      string                `json:"group"`
	Object     string                `json:"object"` // key within the bucket
	Line       int                   `json:"line"`   // from 1
	Shard      stream.ShardID        `json:"shard"`
	Generation uint64                `json:"generation"`
	Sequence   stream.SequenceNumber `json:"sequence"`
	Index      uint32                `json:"index"`
	Arrival    time.Time             `json:"arrival"`
	Reason     string                `json:"reason"`
	To         string                `json:"to,omitempty"` // the one group that a replay is for; empty: all
	Bytes      int                   `json:"bytes"`
	State      State                 `json:"state"`
	Data       []byte                `json:"data,omitempty"`
}

// Selection says which rejects of a group are meant; its zero value means all.
type Selection struct {
	Since  time.Time // arrived then or later
	Reason string    // a part of the reason
	IDs    []ID      // none: any
}

// ID names one reject, or with line 0 all of one object.
type ID struct {
	hash string
	line int
}

var idPattern = regexp.MustCompile(`^([0-9a-f]{16})(?:\.([1-9][0-9]{0,8}))?$`)

// ParseID reads the id of a reject, or of an object: the last part of its name.
func ParseID(text string) (ID, error) {
	m := idPattern.FindStringSubmatch(text)
	if m == nil {
		return ID{}, fmt.Errorf("%q is no id of a reject, such as 3c1bd41b907bbed4.2", text)
	}
	line, _ := strconv.Atoi(cmp.Or(m[2], "0")) // at most nine digits
	return ID{m[1], line}, nil
}

func (i ID) String() string {
	if i.line == 0 {
		return i.hash
	}
	return i.hash + "." + strconv.Itoa(i.line)
}

func (s *Selection) hasObject(hash string) bool {
	return len(s.IDs) == 0 || slices.ContainsFunc(s.IDs, func(i ID) bool { return i.hash == hash })
}

func (s *Selection) has(hash string, n int, l *line) bool {
	if len(s.IDs) > 0 && !slices.ContainsFunc(s.IDs, func(i ID) bool { return i.hash == hash && (i.line == 0 || i.line == n) }) {
		return false
	}
	return !l.Arrival.Before(s.Since) && strings.Contains(l.Reason, s.Reason)
}

// clockSkew is how much later than S3 a shard's clock may think it is.
const clockSkew = 5 * time.Minute

// replaysFolder holds the manifests of replays, beside the groups.
const replaysFolder = "_replays"

// Groups are the groups of which rejects are kept.
func (a *Archive) Groups(ctx context.Context) (groups []string, err error) {
	in := &s3.ListObjectsV2Input{Bucket: &a.cfg.Bucket, Prefix: aws.String(a.cfg.Prefix + "/"), Delimiter: aws.String("/")}
	err = a.cfg.List(ctx, a.api, in, func(out *s3.ListObjectsV2Output) error {
		for _, p := range out.CommonPrefixes {
			name := strings.Trim(strings.TrimPrefix(aws.ToString(p.Prefix), a.cfg.Prefix), "/")
			if name != replaysFolder {
				groups = append(groups, name)
			}
		}
		return nil
	})
	return groups, err
}

// Each calls fn for the rejects of a group that are meant, day by day, shard by
// shard, in the order of their records. It ends with fn's first error.
func (a *Archive) Each(ctx context.Context, group string, sel Selection, fn func(Kept) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &a.cfg.Bucket, Prefix: aws.String(a.cfg.Prefix + "/" + group + "/")}
	states := &replays{archive: a}
	return a.cfg.List(ctx, a.api, in, func(out *s3.ListObjectsV2Output) error {
		for _, o := range out.Contents {
			key := aws.ToString(o.Key)
			name, ours := strings.CutSuffix(key, ".jsonl")
			hash := name[strings.LastIndexByte(name, '-')+1:]
			// What arrived since then was stored later.
			if !ours || !sel.hasObject(hash) || aws.ToTime(o.LastModified).Before(sel.Since.Add(-clockSkew)) {
				continue
			}
			if err := a.eachOf(ctx, group, key, hash, sel, states, fn); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachOf reads one object.
func (a *Archive) eachOf(ctx context.Context, group, key, hash string, sel Selection, states *replays, fn func(Kept) error) error {
	content, err := a.read(ctx, key)
	if err != nil {
		return err
	}
	n := 0
	for text := range bytes.Lines(content) {
		n++
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("read %s, line %d: %w", key, n, err)
		}
		if l.Version != formatVersion {
			return fmt.Errorf("read %s, line %d: it has version %d, this program reads version %d: a newer one wrote it, use that", key, n, l.Version, formatVersion)
		}
		if !sel.has(hash, n, &l) {
			continue
		}
		state, err := states.of(ctx, position{l.To, l.Shard, l.Sequence, l.Index})
		if err != nil {
			return err
		}
		err = fn(Kept{
			ID: ID{hash, n}.String(), Group: group, Object: key, Line: n, Shard: l.Shard, Generation: l.Generation, Sequence: l.Sequence,
			Index: l.Index, Arrival: l.Arrival, Reason: l.Reason, To: l.To, Bytes: len(l.Data), State: state, Data: l.Data,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read returns an object as a whole: its lines are handed out slowly, and S3 would
// not wait.
func (a *Archive) read(ctx context.Context, key string) (content []byte, err error) {
	err = objects.Patiently(ctx, func() error {
		ctx, cancel := a.cfg.Attempt(ctx, int(a.cfg.ObjectBytes))
		defer cancel()
		out, err := a.cfg.Get(ctx, a.api, &s3.GetObjectInput{Bucket: &a.cfg.Bucket, Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		content, err = io.ReadAll(out.Body)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s/%s: %w", a.cfg.Bucket, key, err)
	}
	return content, nil
}
