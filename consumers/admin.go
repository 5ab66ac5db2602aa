package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers/lease"
	"tributary/stream"
)

// Admin looks at consumer groups and resets them, without taking part in one. A
// group goes by the name of its lease table. Safe for concurrent use.
type Admin struct {
	cfg     AdminConfig
	kinesis *kinesis.Client
	tables  *dynamodb.Client
	log     *slog.Logger
}

// AdminConfig is what an Admin has to know of groups it did not start.
type AdminConfig struct {
	// Stream is that of groups whose tables do not name theirs: another library's.
	Stream stream.Ref
	// LeaseDuration is how long a lease lasts of which the table does not say it.
	LeaseDuration time.Duration
	// AttemptTimeout bounds one call to DynamoDB.
	AttemptTimeout time.Duration
}

// ErrRefused marks what a person has to change: a group that is not there, workers
// that live, a position that does not exist.
var ErrRefused = errors.New("refused")

// refusal is an ErrRefused that reads as its reason alone.
type refusal struct{ reason string }

func (r refusal) Error() string        { return r.reason }
func (r refusal) Is(target error) bool { return target == ErrRefused }

func refuse(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }

// NewAdmin does no I/O.
func NewAdmin(cfg AdminConfig, k *kinesis.Client, d *dynamodb.Client, log *slog.Logger) *Admin {
	return &Admin{cfg: cfg, kinesis: k, tables: d, log: log}
}

// around is how many shards, or tables, an Admin asks about at once.
const around = 8

func (a *Admin) table(group string) (*lease.Table, error) {
	cfg := lease.Config{Table: group, Worker: lease.NewWorkerName(), Duration: a.cfg.LeaseDuration, AttemptTimeout: a.cfg.AttemptTimeout}
	// Its counters are nobody's: each look has a registry of its own.
	t, err := lease.New(a.tables, cfg, prometheus.NewRegistry(), a.log)
	if err != nil {
		return nil, refuse("group %q: %v", group, err)
	}
	return t, nil
}

// groupAt is a group as an Admin found it.
type groupAt struct {
	name   string
	table  *lease.Table
	kind   lease.Kind
	known  bool // stored is the group's
	stored lease.Group
	ref    stream.Ref
	items  map[stream.ShardID]lease.Item
}

// open reads a group's tables. It makes none.
func (a *Admin) open(ctx context.Context, name string) (*groupAt, error) {
	table, err := a.table(name)
	if err != nil {
		return nil, err
	}
	g := &groupAt{name: name, table: table, ref: a.cfg.Stream, items: make(map[stream.ShardID]lease.Item)}
	if g.kind, err = again(ctx, func() (lease.Kind, error) { return table.Kind(ctx) }); err != nil {
		return nil, fmt.Errorf("look at group %s: %w", name, err)
	}
	switch g.kind {
	case lease.Missing:
		return nil, refuse("there is no group %q: it has no lease table of that name in this region", name)
	case lease.Alien:
		return nil, refuse("table %q is no lease table: its key is another", name)
	case lease.Ours:
		g.stored, err = again(ctx, func() (s lease.Group, err error) { s, g.known, err = table.ReadGroup(ctx); return s, err })
		if err != nil {
			return nil, fmt.Errorf("look at group %s: %w", name, err)
		}
	}
	if g.known {
		g.ref = stream.Ref{ARN: g.stored.StreamARN}
	}
	items, err := again(ctx, func() ([]lease.Item, error) { return table.List(ctx) })
	if err != nil {
		return nil, fmt.Errorf("look at group %s: %w", name, err)
	}
	for _, i := range items {
		g.items[i.Shard] = i
	}
	return g, nil
}

// reset is what is stored of a shard's resets.
func (g *groupAt) reset(ctx context.Context, shard stream.ShardID) (lease.Reset, error) {
	if g.kind != lease.Ours {
		return lease.Reset{}, nil
	}
	return again(ctx, func() (lease.Reset, error) { return g.table.Reset(ctx, shard) })
}

// position is where the group reads on in a shard.
func (g *groupAt) position(shard stream.Shard, reset lease.Reset, listed map[stream.ShardID]bool) stream.Position {
	if at := g.items[shard.ID].Checkpoint; at != "" && at != lease.ShardEnd {
		return stream.After(at)
	}
	if at, told := reset.Start.Position(); told {
		return at
	}
	return startOf(shard, g.stored, func(id stream.ShardID) bool {
		_, item := g.items[id]
		return item || listed[id]
	})
}

// attempts bounds how often an Admin makes a call that fails: a person waits.
const attempts = 5

// again repeats a call that a later one may mend.
func again[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for failures := 0; ; failures++ {
		got, err := call()
		if err == nil || failures+1 >= attempts || stream.IsPermanent(err) || errors.Is(err, lease.ErrLost) {
			return got, err
		}
		if sleep(ctx, backoff(failures)) != nil {
			return got, err
		}
	}
}
