package rejects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/sinks/objects"
	"tributary/stream"
)

// formatVersion is that of a line.
const formatVersion = 1

// s3API is what the store asks of an S3 client.
type s3API interface {
	objects.Putter
	objects.Header
}

// Item is a reject with its position in the stream.
type Item struct {
	// Refused by the destination: other groups may well have delivered it, so that a
	// replay goes to this group alone.
	Refused  bool
	Sequence stream.SequenceNumber
	Arrival  time.Time
	Reject   schema.Reject
}

// Store keeps the rejects of one group. It is safe for concurrent use.
type Store struct {
	cfg   Config
	api   s3API
	log   *slog.Logger
	items *prometheus.CounterVec
	bytes prometheus.Counter
}

// New returns a store. It does no I/O. Several groups of one process may share
// reg; their metrics differ in the label group.
func New(cfg Config, api s3API, reg prometheus.Registerer, log *slog.Logger) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("rejects: %w", err)
	}
	group := prometheus.Labels{"group": cfg.Group}
	s := &Store{
		cfg: cfg,
		api: api,
		log: log,
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_rejects_items_total", Help: "Rejects made durable, by reason; a replay counts again.", ConstLabels: group,
		}, []string{"reason"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tributary_rejects_data_bytes_total", Help: "Bytes of the rejects made durable, as they came.", ConstLabels: group,
		}),
	}
	if err := errors.Join(reg.Register(s.items), reg.Register(s.bytes)); err != nil {
		return nil, fmt.Errorf("rejects: register metrics: %w", err)
	}
	return s, nil
}

// Put makes the items durable and returns nil once all of them are. The same
// range and items, in the same order, give the same objects: a second Put stores
// nothing. Items are only read. An error is permanent only when S3 holds
// something else under an object's name.
func (s *Store) Put(ctx context.Context, r stream.Range, items []Item) error {
	for rest := items; len(rest) > 0; {
		content, n, err := s.encode(r, rest)
		if err == nil {
			err = s.place(ctx, r, rest[:n], content)
		}
		if err != nil {
			return fmt.Errorf("put rejects of %s: %w", r.Shard, err)
		}
		rest = rest[n:]
	}
	s.count(r, items)
	return nil
}

// line is one reject in format 1.
type line struct {
	Version    int                   `json:"version"`
	Shard      stream.ShardID        `json:"shard"`
	Generation uint64                `json:"generation"`
	Sequence   stream.SequenceNumber `json:"sequence"`
	Index      uint32                `json:"index"`
	Arrival    time.Time             `json:"arrival"`
	Reason     string                `json:"reason"`
	To         string                `json:"to,omitempty"`
	Data       []byte                `json:"data"`
}

// encode writes as many items as an object holds, one at least, and returns
// their number.
func (s *Store) encode(r stream.Range, items []Item) ([]byte, int, error) {
	var out bytes.Buffer
	for i, it := range items {
		l := line{
			Version: formatVersion, Shard: r.Shard, Generation: r.Generation, Sequence: it.Sequence, Index: it.Reject.Index,
			Arrival: it.Arrival.UTC(), Reason: it.Reject.Reason, Data: append([]byte{}, it.Reject.Data...),
		}
		if it.Refused {
			l.To = s.cfg.Group
		}
		text, err := json.Marshal(l)
		if err != nil {
			return nil, 0, fmt.Errorf("encode reject: %w", err)
		}
		if i > 0 && int64(out.Len()+len(text)) >= s.cfg.ObjectBytes {
			return out.Bytes(), i, nil
		}
		out.Write(text)
		out.WriteByte('\n')
	}
	return out.Bytes(), len(items), nil
}

const (
	metaItems  = "tributary-items"
	metaSHA256 = "tributary-sha256"
)

// place creates the object, or finds it there.
func (s *Store) place(ctx context.Context, r stream.Range, items []Item, content []byte) error {
	digest := sha256.Sum256(content)
	sum := hex.EncodeToString(digest[:])
	key := s.key(r, items[0].Arrival, sum)
	err := s.cfg.Create(ctx, s.api, objects.Object{
		Bucket:      s.cfg.Bucket,
		Key:         key,
		Content:     content,
		ContentType: "application/x-ndjson",
		Metadata:    map[string]string{metaItems: strconv.Itoa(len(items)), metaSHA256: sum},
	})
	if errors.Is(err, objects.ErrExists) {
		return s.compare(ctx, key, sum)
	}
	return err
}

// compare accepts an object that is there when its content is this one's.
func (s *Store) compare(ctx context.Context, key, sum string) error {
	there, err := s.cfg.Head(ctx, s.api, s.cfg.Bucket, key)
	if err != nil {
		return fmt.Errorf("look at %s/%s: %w", s.cfg.Bucket, key, err)
	}
	if got := there[metaSHA256]; got != sum {
		return stream.Permanent(fmt.Errorf("%s/%s is there with other content: its SHA-256 is %q, not %q", s.cfg.Bucket, key, got, sum))
	}
	return nil
}

func (s *Store) key(r stream.Range, arrival time.Time, sum string) string {
	generation := ""
	if r.Generation > 0 {
		generation = "-g" + strconv.FormatUint(r.Generation, 10)
	}
	return fmt.Sprintf("%s/%s/dt=%s/%s%s-%s-%s.jsonl", s.cfg.Prefix, s.cfg.Group,
		arrival.UTC().Format(time.DateOnly), r.Shard, generation, r.First, sum[:16])
}

// count follows a Put that succeeded, also one that found its objects there: the
// answer to the PUT that wrote them may have been lost. A replay counts again.
func (s *Store) count(r stream.Range, items []Item) {
	if len(items) == 0 {
		return
	}
	for _, it := range items {
		s.items.WithLabelValues(it.Reject.Reason).Inc()
		s.bytes.Add(float64(len(it.Reject.Data)))
	}
	s.log.Warn("rejects stored", "group", s.cfg.Group, "shard", r.Shard, "first", r.First,
		"items", len(items), "reason", items[0].Reject.Reason)
}
