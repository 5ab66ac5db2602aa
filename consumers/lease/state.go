package lease

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/stream"
)

const attrKey = "Key"

// MaxPlanBytes is the longest plan text. DynamoDB items hold 400 KB.
const MaxPlanBytes = 64 << 10

// Group is what a group decided at its very first start and keeps.
type Group struct {
	StreamARN     string
	StreamCreated time.Time // a stream deleted and created anew has other sequence numbers
	RangeBytes    int64
	DedupEntries  int64
	// Start is TRIM_HORIZON, LATEST or AT_TIMESTAMP; StartTime the moment meant by
	// the latter two.
	Start     string
	StartTime time.Time
	// Closed are the shards that were closed already at the first start.
	Closed []stream.ShardID
}

// OpenGroup stores g if the group is new, and returns what is stored.
func (t *Table) OpenGroup(ctx context.Context, g Group) (Group, error) {
	if err := t.putNew(ctx, t.state(), attrKey, encodeGroup(g)); err != nil {
		return Group{}, fmt.Errorf("store group: %w", err)
	}
	stored, ok, err := t.ReadGroup(ctx)
	if err == nil && !ok {
		err = errors.New("store group: it is not there afterwards")
	}
	return stored, err
}

// ReadGroup returns what is stored of the group, and whether anything is.
func (t *Table) ReadGroup(ctx context.Context) (Group, bool, error) {
	a, err := t.get(ctx, t.state(), attrKey, "group")
	if err != nil {
		return Group{}, false, fmt.Errorf("read group: %w", err)
	}
	if a == nil {
		return Group{}, false, nil
	}
	g, err := decodeGroup(a)
	if err != nil {
		return Group{}, false, fmt.Errorf("read group: %w", err)
	}
	return g, true, nil
}

func encodeGroup(g Group) attributes {
	a := attributes{
		attrKey:         text("group"),
		attrVersion:     number(version),
		"StreamARN":     text(g.StreamARN),
		"StreamCreated": text(g.StreamCreated.UTC().Format(time.RFC3339Nano)),
		"RangeBytes":    number(uint64(g.RangeBytes)),
		"DedupEntries":  number(uint64(g.DedupEntries)),
		"Start":         text(g.Start),
	}
	if !g.StartTime.IsZero() {
		a["StartTime"] = text(g.StartTime.UTC().Format(time.RFC3339Nano))
	}
	if len(g.Closed) > 0 {
		ids := make([]string, len(g.Closed))
		for i, id := range g.Closed {
			ids[i] = string(id)
		}
		slices.Sort(ids)
		a["Closed"] = text(strings.Join(ids, " "))
	}
	return a
}

func decodeGroup(a attributes) (Group, error) {
	r := row{a: a}
	if err := r.known(version); err != nil {
		return Group{}, err
	}
	g := Group{
		StreamARN:    r.text("StreamARN"),
		RangeBytes:   int64(r.number("RangeBytes")),
		DedupEntries: int64(r.number("DedupEntries")),
		Start:        r.text("Start"),
	}
	var err error
	if g.StreamCreated, err = time.Parse(time.RFC3339Nano, r.text("StreamCreated")); err != nil {
		r.err = first(r.err, err)
	}
	if s := r.text("StartTime"); s != "" {
		if g.StartTime, err = time.Parse(time.RFC3339Nano, s); err != nil {
			r.err = first(r.err, err)
		}
	}
	for _, id := range strings.Fields(r.text("Closed")) {
		g.Closed = append(g.Closed, stream.ShardID(id))
	}
	return g, r.err
}

// PutPlan stores a plan's text under its hash and returns the hash. Repeated, it
// says that the plan is still in use: whoever may write the hash into a pending
// range repeats it at least once a day, see Sweep.
func (t *Table) PutPlan(ctx context.Context, plan string) (string, error) {
	if len(plan) > MaxPlanBytes {
		return "", stream.Permanent(fmt.Errorf("store plan: %d bytes, at most %d", len(plan), MaxPlanBytes))
	}
	hash := planHash(plan)
	a := attributes{attrKey: text("plan/" + hash), attrVersion: number(version), "Text": text(plan)}
	missing, err := t.add(ctx, t.state(), attrKey, a)
	if err == nil && !missing {
		err = t.usePlan(ctx, hash, nil)
	}
	if err != nil {
		return "", fmt.Errorf("store plan: %w", err)
	}
	return hash, nil
}

// Plan returns the text stored under hash.
func (t *Table) Plan(ctx context.Context, hash string) (string, error) {
	a, err := t.get(ctx, t.state(), attrKey, "plan/"+hash)
	if err != nil {
		return "", fmt.Errorf("read plan: %w", err)
	}
	if a == nil {
		return "", stream.Permanent(fmt.Errorf("read plan: no plan %s in the state table", hash))
	}
	r := row{a: a}
	r.err = r.known(version)
	plan := r.text("Text")
	if r.err == nil && planHash(plan) != hash {
		r.err = stream.Permanent(fmt.Errorf("plan %s is damaged", hash))
	}
	if r.err != nil {
		return "", fmt.Errorf("read plan: %w", r.err)
	}
	return plan, nil
}

func planHash(plan string) string {
	sum := sha256.Sum256([]byte(plan))
	return hex.EncodeToString(sum[:])
}

func (t *Table) putGeneration(ctx context.Context, shard stream.ShardID, g uint64) error {
	return t.putNew(ctx, t.state(), attrKey, encodeReset(shard, Reset{Generation: g}))
}
