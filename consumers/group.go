package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers/lease"
	"tributary/stream"
)

// Group is one worker of a consumer group.
type Group struct {
	cfg     Config
	ref     stream.Ref
	kinesis *kinesis.Client
	table   *lease.Table
	fanOut  *stream.FanOut // nil: shards are polled
	source  *stream.Source
	fixed   fixed // completed by prepare

	stored lease.Group             // what the group decided at its first start
	keeps  time.Duration           // how long the stream keeps records, as of the start
	fail   context.CancelCauseFunc // ends Run with an error

	// Of the goroutine in Run.
	watch  lease.Watch
	listed listing
	due    chores
	warned map[stream.ShardID]bool

	complete bool // Until was reached everywhere

	takers chan struct{} // one token per write that shares the table with renewals
	bell   chan struct{} // rung when the next look should not wait

	mu     sync.Mutex
	shards map[stream.ShardID]*shard           // held here
	letGo  map[stream.ShardID]func(lease.Item) // tells them of a claim
	items  []lease.Item                        // as of the last look
	taking map[stream.ShardID]time.Time        // being acquired
	asked  map[stream.ShardID]time.Time        // claimed by this worker
	lost   map[stream.ShardID]uint64           // lost by this worker: the counter it last wrote
}

// New checks its arguments and does no I/O. The metrics have no label for the
// group: a process with several wraps reg.
func New(cfg Config, dest Destination, rejects RejectStore, k *kinesis.Client, d *dynamodb.Client, ref stream.Ref, reg prometheus.Registerer, log *slog.Logger) (*Group, error) {
	faults := []error{cfg.Validate(), ref.Validate()}
	if rejects == nil {
		faults = append(faults, errors.New("a group needs a reject store: without one, undecodable records would be lost"))
	}
	if dest.Open == nil {
		faults = append(faults, errors.New("a group needs a destination"))
	}
	if len(dest.Plan) > lease.MaxPlanBytes {
		faults = append(faults, fmt.Errorf("the plan of destination %s has %d bytes, at most %d are stored", dest.Name, len(dest.Plan), lease.MaxPlanBytes))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("group %s: %w", cfg.Name, err)
	}
	log = log.With("group", cfg.Name)
	table, err := lease.New(d, cfg.lease(), reg, log)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", cfg.Name, err)
	}
	source, err := stream.NewSource(k, ref, cfg.Reader, reg, log)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", cfg.Name, err)
	}
	var fanOut *stream.FanOut
	if cfg.Reader.FanOut.Enabled {
		if fanOut, err = stream.NewFanOut(source, k, cfg.consumer(), reg, log); err != nil {
			return nil, fmt.Errorf("group %s: reader: %w", cfg.Name, err)
		}
	}
	b := newBudget(cfg.Policy.WorkerBytes)
	return &Group{
		cfg: cfg, ref: ref, kinesis: k, table: table, source: source, fanOut: fanOut,
		fixed: fixed{
			group: cfg.Name, alias: cfg.Alias,
			since: cfg.Since, until: cfg.Until, policy: cfg.Policy, dest: dest, rejects: rejects, maps: table, plans: table, budget: b,
			replays: make(chan struct{}, 1), log: log,
			metrics: newMetrics(reg, func() float64 { return float64(b.bytes()) }),
		},
		warned: make(map[stream.ShardID]bool),
		takers: make(chan struct{}, takers),
		bell:   make(chan struct{}, 1),
		shards: make(map[stream.ShardID]*shard),
		letGo:  make(map[stream.ShardID]func(lease.Item)),
		taking: make(map[stream.ShardID]time.Time),
		asked:  make(map[stream.ShardID]time.Time),
		lost:   make(map[stream.ShardID]uint64),
	}, nil
}

// errDrained ends the shards that could not flush in time after a stop. Their
// pending ranges are replayed by whoever takes them next.
var errDrained = errors.New("not flushed within drain_timeout")

// Run takes part in the group until ctx ends, or Config.Until is reached everywhere. Then reading ends: every shard
// flushes, checkpoints and gives up its lease within DrainTimeout. It returns nil
// after that, or a Permanent error when the group cannot work at all: a stream of
// another creation, a table of something else, other workers that speak another
// library's protocol.
//
// A stream that is deleted and created anew while the group runs ends it too, with
// stream.ErrRecreated, after what was read of the old one is delivered. The worker
// would otherwise look alive and never deliver anything again: its positions mean
// nothing in the new stream, and only a person can say which lease table to use.
func (g *Group) Run(ctx context.Context) error {
	g.cfg.logMemory(g.fixed.log)
	if err := g.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("start group %s: %w", g.cfg.Name, err)
	}
	held, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	ctx, g.fail = context.WithCancelCause(ctx)
	defer g.fail(nil)
	var running sync.WaitGroup
	for failures := 0; ctx.Err() == nil && !g.complete; {
		if err := g.tick(ctx, held, &running); err != nil {
			failures++
			g.warn(ctx, "shares not looked at, trying again", err)
		} else {
			failures = 0
		}
		g.rest(ctx, g.pause(failures))
	}
	deadline := time.AfterFunc(g.cfg.DrainTimeout, func() { cut(errDrained) })
	defer deadline.Stop()
	leaving, cancel := g.bounded(held)
	defer cancel()
	g.withdraw(leaving)
	running.Wait()
	if err := context.Cause(ctx); errors.Is(err, stream.ErrRecreated) {
		return fmt.Errorf("group %s: %w", g.cfg.Name, err)
	}
	return nil
}

func (g *Group) warn(ctx context.Context, message string, err error) {
	if ctx.Err() == nil {
		g.fixed.log.Warn(message, "err", err)
	}
}

// rest waits for the next look, or until it is woken.
func (g *Group) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-g.bell:
	}
}

// wake makes the next look come now. A ring that nobody has heard yet is enough.
func (g *Group) wake() {
	select {
	case g.bell <- struct{}{}:
	default:
	}
}

// prepare repeats what it takes to know the stream and the group until it
// succeeds or can never succeed.
func (g *Group) prepare(ctx context.Context) error {
	for failures := 0; ; failures++ {
		err := g.introduce(ctx)
		if err == nil || stream.IsPermanent(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.fixed.log.Warn("group cannot start yet, trying again", "failures", failures+1, "err", err)
		if err := sleep(ctx, backoff(failures)); err != nil {
			return err
		}
	}
}

func (g *Group) introduce(ctx context.Context) error {
	asking, cancel := g.bounded(ctx)
	defer cancel()
	description, err := stream.Describe(asking, g.kinesis, g.ref)
	if err != nil {
		return err
	}
	if err := g.table.Init(ctx); err != nil {
		return err
	}
	stored, known, err := g.table.ReadGroup(ctx)
	if err == nil && !known {
		stored, err = g.found(ctx, description)
	}
	if err != nil {
		return err
	}
	if err := g.adopt(stored, description); err != nil {
		return err
	}
	items, err := g.table.List(ctx)
	if err != nil {
		return err
	}
	if err := g.refuseForeign(items); err != nil {
		return err
	}
	hash, err := g.table.PutPlan(ctx, g.fixed.dest.Plan)
	if err != nil {
		return err
	}
	g.keeps = description.Retention
	g.fixed.plan = plan{text: g.fixed.dest.Plan, hash: hash}
	g.due.plan = time.Now().Round(0)
	return nil
}

// bounded is for calls about the stream: the SDK retries them, and several pages
// may come.
func (g *Group) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 10*g.cfg.AttemptTimeout)
}

// found writes down the first start of a group.
func (g *Group) found(ctx context.Context, d stream.Description) (lease.Group, error) {
	group := lease.Group{
		StreamARN: d.ARN, StreamCreated: d.Created,
		RangeBytes: g.cfg.Policy.RangeBytes, DedupEntries: g.cfg.DedupEntries, Start: g.cfg.Start,
	}
	switch g.cfg.Start {
	case StartTimestamp:
		t, err := time.Parse(time.RFC3339, g.cfg.StartTime)
		if err != nil {
			return group, stream.Permanent(fmt.Errorf("start_time: %w", err))
		}
		group.StartTime = t
	case StartLatest:
		listing, cancel := g.bounded(ctx)
		defer cancel()
		// This machine's clock may be ahead, and what arrives until then would be passed
		// over.
		now, err := stream.Clock(listing, g.kinesis, g.ref)
		if err != nil {
			return group, err
		}
		group.StartTime = now
		shards, err := g.allShards(listing)
		if err != nil {
			return group, err
		}
		for _, s := range shards {
			if s.Closed {
				group.Closed = append(group.Closed, s.ID)
			}
		}
	}
	return g.table.OpenGroup(ctx, group)
}

// adopt checks that the stored group belongs to this stream and takes over what
// was decided at its first start: range_bytes, because any worker must be able to
// replay any pending range, and dedup_entries, because a replay must drop what the
// first pass dropped. Changing them takes a new group.
func (g *Group) adopt(stored lease.Group, d stream.Description) error {
	if stored.StreamARN != d.ARN {
		return stream.Permanent(fmt.Errorf("the lease table belongs to stream %s, not to %s: name another lease_table", stored.StreamARN, d.ARN))
	}
	if !sameCreation(stored, d) {
		return stream.Permanent(fmt.Errorf("stream %s was created at %s, the checkpoints are of one created at %s: it was deleted and created anew, its old positions mean nothing; use a new lease_table",
			d.Name, d.Created.Format(time.RFC3339), stored.StreamCreated.Format(time.RFC3339)))
	}
	if stored.RangeBytes != g.cfg.Policy.RangeBytes || stored.DedupEntries != g.cfg.DedupEntries {
		g.fixed.log.Warn("the group keeps the values of its first start", "range_bytes", stored.RangeBytes, "dedup_entries", stored.DedupEntries)
	}
	if stored.RangeBytes > g.cfg.Policy.WorkerBytes {
		return stream.Permanent(fmt.Errorf("worker_bytes %d: the group's ranges have up to %d bytes (range_bytes of its first start)", g.cfg.Policy.WorkerBytes, stored.RangeBytes))
	}
	g.source.Pin(stored.StreamCreated)
	g.stored = stored
	g.fixed.policy.RangeBytes = stored.RangeBytes
	g.fixed.entries = int(stored.DedupEntries)
	return nil
}

// sameCreation compares creation times as far as the service tells them.
func sameCreation(stored lease.Group, d stream.Description) bool {
	return stored.StreamCreated.Truncate(time.Millisecond).Equal(d.Created.Truncate(time.Millisecond))
}

// refuseForeign protects a group of another library that still runs: its writes
// erase ours and know no conditions.
func (g *Group) refuseForeign(items []lease.Item) error {
	for _, i := range items {
		until, err := time.Parse(time.RFC3339Nano, i.Timeout)
		if i.Owner == "" || i.Counted || err != nil || time.Now().After(until) {
			continue
		}
		if !g.cfg.TakeOver {
			return stream.Permanent(fmt.Errorf("worker %q of another library holds %s until %s: stop it first, or set take_over (delivery is then at least once)", i.Owner, i.Shard, i.Timeout))
		}
		g.fixed.log.Warn("taking over from another library", "shard", i.Shard, "owner", i.Owner)
	}
	return nil
}

// Status is every shard the group knows of, sorted.
func (g *Group) Status() []ShardStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[stream.ShardID]ShardStatus, len(g.items))
	for _, i := range g.items {
		s := ShardStatus{Shard: i.Shard, State: StateElsewhere, Owner: i.Owner, Checkpoint: i.Checkpoint}
		if i.Checkpoint == lease.ShardEnd {
			s.State = StateFinished
		}
		all[i.Shard] = s
	}
	for id, held := range g.shards {
		s := held.progress.status(id)
		s.Owner, s.Checkpoint = g.table.Worker(), held.lease.Item().Checkpoint
		all[id] = s
	}
	statuses := make([]ShardStatus, 0, len(all))
	for _, s := range all {
		statuses = append(statuses, s)
	}
	slices.SortFunc(statuses, func(a, b ShardStatus) int { return strings.Compare(string(a.Shard), string(b.Shard)) })
	return statuses
}

// Counters are what this worker did since New.
func (g *Group) Counters() Counters { return g.fixed.metrics.counters() }
