package consumers

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// tick looks at the stream and the table once and acts on it. Whatever fails is
// tried at the next tick; the shards already held do not depend on it, and what
// takes longer than a look goes on beside the ticks.
func (g *Group) tick(ctx, held context.Context, running *sync.WaitGroup) error {
	if err := g.list(ctx); err != nil {
		return err
	}
	if err := g.chores(ctx, running); err != nil {
		return err
	}
	v, err := g.look(ctx, false)
	if err != nil {
		return err
	}
	g.handOver(v)
	if !g.cfg.Until.IsZero() && v.complete() {
		g.complete = true
		return nil
	}
	todo := decide(v)
	if len(todo.create) > 0 {
		if err := g.create(ctx, v, todo.create); err != nil {
			return err
		}
		if v, err = g.look(ctx, true); err != nil {
			return err
		}
		todo = decide(v)
	}
	g.reportExpired(todo.expired)
	g.take(ctx, held, v, todo.take, running)
	g.claim(ctx, todo.claim, running)
	return g.forget(ctx, todo.passed)
}

// look reads the leases, and judges them together with the list of shards.
func (g *Group) look(ctx context.Context, exact bool) (view, error) {
	read := g.table.Glance
	if exact {
		read = g.table.List
	}
	items, err := read(ctx)
	if err != nil {
		return view{}, err
	}
	now := time.Now()
	g.watch.Observe(items, now)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.items = items
	left := make(map[stream.ShardID]bool)
	v := view{
		me: g.table.Worker(), shards: g.listed.shards,
		items: make(map[stream.ShardID]lease.Item, len(items)),
		held:  make(map[stream.ShardID]bool, len(g.shards)),
		free: func(i lease.Item) bool {
			return g.watch.Free(i, g.table.Duration(), now) || left[i.Shard]
		},
		stale: func(i lease.Item) bool {
			return g.watch.Claimed(i, now) >= max(g.table.Duration(), i.Duration)
		},
		orphan: func(i lease.Item) bool {
			over := g.watch.Unchanged(i, now)
			if i.Owner != "" {
				over = -g.watch.Remaining(i, g.table.Duration(), now)
			}
			return over >= 2*g.round() || left[i.Shard]
		},
		leaving: g.watch.Leaving,
		gone:    g.listed.gone,
	}
	for id := range g.shards {
		v.held[id] = true
	}
	for id := range g.taking {
		v.held[id] = true
	}
	for _, i := range items {
		v.items[i.Shard] = g.remembered(i, v.held[i.Shard], now)
		left[i.Shard] = g.left(i, v.held[i.Shard])
	}
	return v, nil
}

// left reports that a lease is still as this worker wrote it when it lost it, to a
// table that did not answer or to a sleep of its own. So nobody holds it, and this
// worker need not wait until it has seen that for long, as the others do.
func (g *Group) left(i lease.Item, held bool) bool {
	counter, ok := g.lost[i.Shard]
	if ok && (held || i.Counter > counter) {
		delete(g.lost, i.Shard)
		return false
	}
	return ok && i.Owner == g.table.Worker() && i.Counter == counter
}

// remembered adds to a sight what this worker has just asked for, which a glance
// may not show yet: counted as not asked, it would ask for as much again.
func (g *Group) remembered(i lease.Item, held bool, now time.Time) lease.Item {
	asked, ok := g.asked[i.Shard]
	switch {
	case !ok:
	case held || i.Checkpoint == lease.ShardEnd || now.Sub(asked) > g.table.Duration():
		delete(g.asked, i.Shard)
	case i.Claim == "" && i.Owner != "" && i.Owner != g.table.Worker() && now.Sub(asked) < 2*g.round():
		i.Claim = g.table.Worker()
	}
	return i
}

// round is the time between two looks at the table. A shard waits for up to two of
// them in a handover, and one beyond the lease's duration when its worker has died.
// A look costs half a read unit per 4 KB: a dozen shards. Below a second, so that
// a shard given up is another's within one.
func (g *Group) round() time.Duration { return min(900*time.Millisecond, g.table.Duration()/5) }

// pause is the time until the next look: a round, less while leases that were asked
// for are on their way and when a silent owner's lease runs out before, more while
// looking fails.
func (g *Group) pause(failures int) time.Duration {
	if failures > 0 {
		return min(g.round()<<min(failures-1, 4), max(g.round(), g.table.Duration()/3))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := g.round() - rand.N(g.round()/10)
	if len(g.asked) > 0 {
		wait /= 4
	}
	now := time.Now()
	for _, i := range g.items {
		if _, here := g.shards[i.Shard]; !here && i.Owner != "" {
			if left := g.watch.Remaining(i, g.table.Duration(), now); left > 0 {
				wait = min(wait, left)
			}
		}
	}
	return wait
}

// takers bounds how many leases are created, acquired or claimed at once.
const takers = 16

// create adds the items of new shards.
func (g *Group) create(ctx context.Context, v view, shards []stream.Shard) error {
	if err := g.sameStream(ctx); err != nil {
		return err
	}
	faults := make([]error, len(shards))
	var creating sync.WaitGroup
	for n, s := range shards {
		creating.Go(func() {
			defer g.oneTaker()()
			var parent stream.ShardID
			if len(s.Parents) > 0 {
				parent = s.Parents[0]
			}
			faults[n] = g.table.Create(ctx, s.ID, parent, max(inherited(s, v.items), g.cfg.Generation))
		})
	}
	creating.Wait()
	for _, err := range faults {
		if err != nil {
			return err // one tells enough: they share a table
		}
	}
	return nil
}

func (g *Group) oneTaker() (done func()) {
	g.takers <- struct{}{}
	return func() { <-g.takers }
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

// take acquires leases side by side, so that a whole share takes about as long as
// one, and starts their shards. An acquisition under way is not cut off when
// reading ends: unresolved it would keep the shard from everybody until it runs
// out. Nor does the next look wait for it.
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
	for _, item := range items {
		if v.held[item.Shard] {
			continue // free by the table, but still on its way out here
		}
		g.mark(g.taking, item.Shard)
		running.Go(func() {
			l := g.acquire(ctx, held, item)
			if l != nil {
				g.alarmIfLate(item)
				shard := listed[item.Shard]
				from, told := l.Start().Position()
				if !told {
					from = startOf(shard, g.stored, known)
				}
				g.start(ctx, held, l, shard, from, told, parentPlaces(shard, l.Item(), v.items), running)
			}
			g.unmark(g.taking, item.Shard)
		})
	}
}

// alarmIfLate tells that nobody has read a shard for longer than the stream keeps
// records: what came behind the checkpoint first may be gone, and the service goes on
// with the oldest it has without a word. Of a range that is pending the replay tells.
func (g *Group) alarmIfLate(item lease.Item) {
	until, err := time.Parse(time.RFC3339Nano, item.Timeout)
	if err != nil || g.keeps == 0 || item.Checkpoint == "" || item.Pending != nil || time.Since(until) < g.keeps {
		return
	}
	g.fixed.metrics.gaps.Inc()
	g.fixed.log.Error("nobody read a shard for longer than the stream keeps records: some may be lost",
		"shard", item.Shard, "checkpoint", item.Checkpoint, "until", until, "retention", g.keeps)
}

func (g *Group) acquire(ctx, held context.Context, item lease.Item) *lease.Lease {
	defer g.oneTaker()()
	if ctx.Err() != nil {
		return nil
	}
	l, err := g.table.Acquire(held, item)
	if err != nil && !errors.Is(err, lease.ErrLost) {
		g.warn(ctx, "lease not acquired", err)
	}
	return l
}

// claim asks the owners of leases to hand over.
func (g *Group) claim(ctx context.Context, items []lease.Item, running *sync.WaitGroup) {
	if len(items) > 0 {
		g.fixed.log.Info("asking for shards", "shards", len(items))
	}
	for _, item := range items {
		g.mark(g.asked, item.Shard)
		running.Go(func() {
			defer g.oneTaker()()
			err := ctx.Err()
			if err == nil {
				err = g.table.Claim(ctx, item)
			}
			switch {
			case err == nil:
				return
			case !errors.Is(err, lease.ErrLost):
				// It may stand all the same: kept in mind, it is withdrawn at the end.
				g.warn(ctx, "claim failed", err)
			default:
				g.unmark(g.asked, item.Shard)
			}
		})
	}
}

func (g *Group) mark(set map[stream.ShardID]time.Time, id stream.ShardID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	set[id] = time.Now()
}

func (g *Group) unmark(set map[stream.ShardID]time.Time, id stream.ShardID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(set, id)
}

// withdraw takes back the claims of a worker that stops. Nobody else would take
// those leases until the claims are old.
func (g *Group) withdraw(ctx context.Context) {
	g.mu.Lock()
	ids := slices.Collect(maps.Keys(g.asked))
	g.mu.Unlock()
	var withdrawing sync.WaitGroup
	for _, id := range ids {
		withdrawing.Go(func() {
			defer g.oneTaker()()
			if err := g.table.Withdraw(ctx, id); err != nil {
				g.fixed.log.Warn("claim not withdrawn, others wait until it is old", "shard", id, "err", err)
			}
		})
	}
	withdrawing.Wait()
}

// errClaimed ends the reading of a shard that another worker asks for.
var errClaimed = errors.New("claimed by another worker")

// handOver tells the shards held here of claims that the look has shown, so that
// they flush and let go at once.
func (g *Group) handOver(v view) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, let := range g.letGo {
		if i := v.items[id]; i.Owner == v.me && i.Claim != "" && i.Claim != v.me {
			let(i)
		}
	}
}

func (g *Group) start(reading, held context.Context, l *lease.Lease, of stream.Shard, from stream.Position, reset bool, parents []lease.Place, running *sync.WaitGroup) {
	log := g.fixed.log.With("shard", string(of.ID))
	s := &shard{
		fixed: &g.fixed, id: of.ID, lease: l, start: from, reset: reset, parents: parents, log: log,
		unsettled: l.Item().Unsettled && !g.cfg.Policy.TwoPhase,
		poll:      func(from stream.Position) (reader, error) { return g.source.Open(of.ID, from) },
		open: func(from stream.Position) (reader, error) {
			if g.fanOut != nil {
				return g.fanOut.Open(of.ID, from)
			}
			return g.source.Open(of.ID, from)
		},
	}
	reading, end := context.WithCancelCause(reading)
	acquired := l.Item().Counter
	g.mu.Lock()
	g.shards[of.ID] = s
	g.letGo[of.ID] = func(i lease.Item) {
		if i.Counter >= acquired { // not a sight from before this worker took it
			l.Notice(i.Claim)
			end(errClaimed)
		}
	}
	g.fixed.metrics.shards.Set(float64(len(g.shards)))
	g.mu.Unlock()
	log.Info("took a shard", "checkpoint", l.Item().Checkpoint, "generation", l.Item().Generation)
	running.Go(func() {
		defer end(nil)
		g.keepUp(reading, held, s, l)
		g.mu.Lock()
		delete(g.shards, of.ID)
		delete(g.letGo, of.ID)
		g.fixed.metrics.shards.Set(float64(len(g.shards)))
		g.mu.Unlock()
		g.fixed.metrics.forget(of.ID)
		g.source.Forget(of.ID)
		if l.Item().Checkpoint == lease.ShardEnd {
			g.wake() // its children can start
		}
	})
}

// sameStream makes sure that what was listed are shards of the group's stream, and
// not of a later one of the same name.
func (g *Group) sameStream(ctx context.Context) error {
	asking, cancel := g.bounded(ctx)
	defer cancel()
	err := g.source.Confirm(asking)
	g.refuse(err)
	return err
}

// refuse ends the group if err says that the stream is another than the group's.
func (g *Group) refuse(err error) {
	if errors.Is(err, stream.ErrRecreated) {
		g.fail(err)
	}
}

// keepUp runs a shard and renews its lease until the shard is done; then it gives
// the lease up, unless it was lost.
func (g *Group) keepUp(reading, held context.Context, s *shard, l *lease.Lease) {
	held, lose := context.WithCancelCause(held)
	defer lose(nil)
	done := make(chan struct{})
	var beat sync.WaitGroup
	beat.Go(func() { g.renew(held, done, s, l, lose) })
	err := s.run(reading, held)
	close(done)
	beat.Wait()
	if errors.Is(err, lease.ErrLost) {
		g.fixed.metrics.lost.Inc()
		s.log.Warn("lost a shard", "err", err)
		g.mu.Lock()
		g.lost[s.id] = l.Item().Counter
		g.mu.Unlock()
		return
	}
	g.refuse(err)
	if err != nil {
		s.log.Error("stopped before everything was flushed", "err", err)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(held), 2*g.cfg.AttemptTimeout)
	defer cancel()
	if err := l.Release(last, !s.unsettled); err != nil {
		s.log.Warn("lease not released, it will run out", "err", err)
		return
	}
	s.log.Info("gave up a shard", "checkpoint", l.Item().Checkpoint)
}

// renew prolongs a lease whenever a third of its duration is over since the last
// write: a checkpoint does as well. It goes on while the shard drains. The first
// comes early by chance, so that the leases taken in one round do not meet at the
// table ever after. Renewals are not cut off by done: a write whose outcome is
// unknown ends a lease, and the release after it would be refused.
func (g *Group) renew(held context.Context, done <-chan struct{}, s *shard, l *lease.Lease, lose context.CancelCauseFunc) {
	third := g.table.Duration() / 3
	early := rand.N(third / 2)
	due := func() time.Duration { return time.Until(l.Until()) - 2*third - early }
	timer := time.NewTimer(due())
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-held.Done():
			return
		case <-timer.C:
		}
		l.Report(s.progress.report())
		if wait := due(); wait > 0 { // written meanwhile
			timer.Reset(wait)
			continue
		}
		if err := l.Renew(context.WithoutCancel(held)); err != nil {
			lose(err)
			return
		}
		early = 0
		timer.Reset(due())
	}
}
