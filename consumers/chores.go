package consumers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tributary/consumers/lease"
)

// chores are done once a day. Their times are wall clock: a machine that slept for a
// month must not take its plan for fresh because its own clock stood still.
type chores struct{ plan, sweep time.Time }

const daily = 24 * time.Hour

// chores says that this worker's plan is in use, before a shard is taken by it, and
// sweeps the state table beside everything else.
func (g *Group) chores(ctx context.Context, running *sync.WaitGroup) error {
	now := time.Now().Round(0)
	if now.Sub(g.due.plan) >= daily {
		if _, err := g.table.PutPlan(ctx, g.fixed.plan.text); err != nil {
			return err
		}
		g.due.plan = now
	}
	if now.Sub(g.due.sweep) >= daily {
		g.due.sweep = now
		running.Go(func() { g.sweep(ctx) })
	}
	return nil
}

func (g *Group) sweep(ctx context.Context) {
	items, err := g.table.List(ctx)
	var swept lease.Swept
	if err == nil {
		swept, err = g.table.Sweep(ctx, items, g.fixed.plan.hash)
	}
	switch {
	case err != nil:
		g.warn(ctx, "left-over state not swept, next try tomorrow", err)
	case swept != lease.Swept{}:
		g.fixed.log.Info("swept left-over state", "map_items", swept.Maps, "plans", swept.Plans)
	}
}

// forget removes the leases of shards that are finished, have left the stream, and
// whose children have run. It looks once more, at the very latest state, before it
// removes anything.
func (g *Group) forget(ctx context.Context, passed []lease.Item) error {
	if len(passed) == 0 {
		return nil
	}
	g.listed.at = time.Time{}
	if err := g.list(ctx); err != nil {
		return err
	}
	if err := g.sameStream(ctx); err != nil {
		return err
	}
	v, err := g.look(ctx, true)
	if err != nil {
		return err
	}
	for _, i := range decide(v).passed {
		if i.Owner != "" {
			continue // its last holder is still on its way out
		}
		forgotten, err := g.table.Forget(ctx, i)
		if err != nil {
			return fmt.Errorf("remove a finished lease: %w", err)
		}
		if forgotten {
			g.fixed.log.Info("removed the lease of a finished shard", "shard", i.Shard)
		}
	}
	return nil
}
