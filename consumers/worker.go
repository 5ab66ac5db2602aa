package consumers

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// tick looks at the stream and the table once and acts on it. Whatever fails is
// tried at the next tick; the shards already held do not depend on it.
func (g *Group) tick(ctx, held context.Context, running *sync.WaitGroup) {
	listing, cancel := g.bounded(ctx)
	shards, err := stream.ListShards(listing, g.kinesis, g.ref)
	cancel()
	if err != nil {
		g.warn(ctx, "shards not listed", err)
		return
	}
	v, err := g.look(ctx, shards)
	if err != nil {
		g.warn(ctx, "leases not listed", err)
		return
	}
	todo := decide(v)
	if len(todo.create) > 0 {
		g.create(ctx, v, todo.create)
		if v, err = g.look(ctx, shards); err != nil {
			g.warn(ctx, "leases not listed", err)
			return
		}
		todo = decide(v)
	}
	g.reportExpired(todo.expired)
	g.take(ctx, held, v, todo.take, running)
	for _, item := range todo.claim {
		g.fixed.log.Info("claiming a shard", "shard", item.Shard, "owner", item.Owner)
		if err := g.table.Claim(ctx, item); err != nil && !errors.Is(err, lease.ErrLost) {
			g.warn(ctx, "claim failed", err)
		}
	}
}

func (g *Group) warn(ctx context.Context, message string, err error) {
	if ctx.Err() == nil {
		g.fixed.log.Warn(message, "err", err)
	}
}

func (g *Group) look(ctx context.Context, shards []stream.Shard) (view, error) {
	items, err := g.table.List(ctx)
	if err != nil {
		return view{}, err
	}
	g.watch.Observe(items, time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.items = items
	v := view{
		me: g.table.Worker(), shards: shards,
		items: make(map[stream.ShardID]lease.Item, len(items)),
		held:  make(map[stream.ShardID]bool, len(g.shards)),
		free: func(i lease.Item) bool {
			return g.watch.Free(i, g.table.Duration(), time.Now())
		},
		stale: func(i lease.Item) bool {
			return g.watch.Unchanged(i, time.Now()) >= max(g.table.Duration(), i.Duration)
		},
	}
	for _, i := range items {
		v.items[i.Shard] = i
	}
	for id := range maps.Keys(g.shards) {
		v.held[id] = true
	}
	return v, nil
}

func (g *Group) create(ctx context.Context, v view, shards []stream.Shard) {
	for _, s := range shards {
		var parent stream.ShardID
		if len(s.Parents) > 0 {
			parent = s.Parents[0]
		}
		if err := g.table.Create(ctx, s.ID, parent, inherited(s, v.items)); err != nil {
			g.warn(ctx, "lease not created", err)
		}
	}
}

// reportExpired raises an alarm once per shard that retention removed unread.
func (g *Group) reportExpired(ids []stream.ShardID) {
	for _, id := range ids {
		if !g.warned[id] {
			g.warned[id] = true
			g.fixed.metrics.expired.Inc()
			g.fixed.log.Error("shard left the stream before it was read to its end", "shard", id)
		}
	}
}

// takers bounds how many leases are acquired at once.
const takers = 16

// take acquires leases side by side, so that a whole share takes about as long as
// one, and starts their shards. An acquisition under way is not cut off when
// reading ends: unresolved it would keep the shard from everybody until it runs
// out.
func (g *Group) take(ctx, held context.Context, v view, items []lease.Item, running *sync.WaitGroup) {
	listed := make(map[stream.ShardID]stream.Shard, len(v.shards))
	for _, s := range v.shards {
		listed[s.ID] = s
	}
	known := func(id stream.ShardID) bool {
		_, here := listed[id]
		_, there := v.items[id]
		return here || there
	}
	tokens := make(chan struct{}, takers)
	var taking sync.WaitGroup
	for _, item := range items {
		if v.held[item.Shard] {
			continue // free by the table, but still on its way out here
		}
		tokens <- struct{}{}
		taking.Go(func() {
			defer func() { <-tokens }()
			l, err := g.table.Acquire(held, item)
			if err != nil {
				if !errors.Is(err, lease.ErrLost) {
					g.warn(ctx, "lease not acquired", err)
				}
				return
			}
			shard := listed[item.Shard]
			g.start(ctx, held, l, shard, startOf(shard, g.stored, known), parentPlaces(shard, l.Item(), v.items), running)
		})
	}
	taking.Wait()
}

func (g *Group) start(reading, held context.Context, l *lease.Lease, of stream.Shard, from stream.Position, parents []lease.Place, running *sync.WaitGroup) {
	log := g.fixed.log.With("shard", string(of.ID))
	s := &shard{
		fixed: &g.fixed, id: of.ID, lease: l, start: from, parents: parents, log: log,
		open: func(from stream.Position) (reader, error) {
			return stream.NewReader(g.kinesis, g.ref, of.ID, from, g.cfg.Reader, g.readers, g.fixed.log)
		},
	}
	g.mu.Lock()
	g.shards[of.ID] = s
	g.fixed.metrics.shards.Set(float64(len(g.shards)))
	g.mu.Unlock()
	log.Info("took a shard", "checkpoint", l.Item().Checkpoint, "generation", l.Item().Generation)
	running.Go(func() {
		g.keepUp(reading, held, s, l)
		g.mu.Lock()
		delete(g.shards, of.ID)
		g.fixed.metrics.shards.Set(float64(len(g.shards)))
		g.mu.Unlock()
		g.fixed.metrics.forget(of.ID)
		g.readers.Forget(of.ID)
	})
}

// keepUp runs a shard and renews its lease until the shard is done; then it gives
// the lease up, unless it was lost.
func (g *Group) keepUp(reading, held context.Context, s *shard, l *lease.Lease) {
	held, lose := context.WithCancelCause(held)
	defer lose(nil)
	done := make(chan struct{})
	var beat sync.WaitGroup
	beat.Go(func() { g.renew(held, done, l, lose) })
	err := s.run(reading, held)
	close(done)
	beat.Wait()
	if errors.Is(err, lease.ErrLost) {
		g.fixed.metrics.lost.Inc()
		s.log.Warn("lost a shard", "err", err)
		return
	}
	if err != nil {
		s.log.Error("stopped before everything was flushed", "err", err)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(held), 2*g.cfg.AttemptTimeout)
	defer cancel()
	if err := l.Release(last); err != nil {
		s.log.Warn("lease not released, it will run out", "err", err)
		return
	}
	s.log.Info("gave up a shard", "checkpoint", l.Item().Checkpoint)
}

// renew prolongs a lease every third of its duration. It does so while the shard
// drains as well. Renewals are not cut off by done: a write whose outcome is
// unknown ends a lease, and the release after it would be refused.
func (g *Group) renew(held context.Context, done <-chan struct{}, l *lease.Lease, lose context.CancelCauseFunc) {
	ticker := time.NewTicker(g.table.Duration() / 3)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-held.Done():
			return
		case <-ticker.C:
		}
		if err := l.Renew(context.WithoutCancel(held)); err != nil {
			lose(err)
			return
		}
	}
}
