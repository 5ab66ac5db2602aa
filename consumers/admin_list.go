package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/consumers/lease"
	"tributary/stream"
)

// GroupLine is one group in a list.
type GroupLine struct {
	Group    string `json:"group"`
	Stream   string `json:"stream"`   // ARN; empty when the tables do not say it
	Foreign  bool   `json:"foreign"`  // another library's, which never started here
	Shards   int    `json:"shards"`   // with an item in the lease table
	Held     int    `json:"held"`     // by a worker that renews
	Finished int    `json:"finished"` // closed and read to their end
	Pending  int    `json:"pending"`  // ranges written down and not checkpointed
	Workers  int    `json:"workers"`  // that hold shards
	// Problem is why the tables cannot be read; then nothing else is known.
	Problem string `json:"problem,omitempty"`
}

// List finds the groups of the account in the region, sorted by name: every lease
// table with a state table beside it, and, when foreign is true, every other table
// with the key of a lease table, which takes a call for each table there is. One
// that cannot be read hides none of the others.
func (a *Admin) List(ctx context.Context, foreign bool) ([]GroupLine, error) {
	twins, others, err := lease.Names(ctx, a.tables)
	if err != nil {
		return nil, err
	}
	if foreign {
		twins = append(twins, others...)
	}
	var mu sync.Mutex
	lines := []GroupLine{}
	var eg errgroup.Group
	eg.SetLimit(around)
	for _, name := range twins {
		eg.Go(func() error {
			line, ok, err := a.line(ctx, name)
			if err != nil {
				line, ok = GroupLine{Group: name, Problem: err.Error()}, true
			}
			mu.Lock()
			defer mu.Unlock()
			if ok && (foreign || !line.Foreign) {
				lines = append(lines, line)
			}
			return ctx.Err()
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, fmt.Errorf("look at the groups: %w", err)
	}
	slices.SortFunc(lines, func(a, b GroupLine) int { return strings.Compare(a.Group, b.Group) })
	return lines, nil
}

// line is false for a table that is no lease table, or went away meanwhile.
func (a *Admin) line(ctx context.Context, name string) (GroupLine, bool, error) {
	table, err := a.table(name)
	if err != nil {
		return GroupLine{}, false, nil // a name too long for a state table beside it
	}
	kind, err := again(ctx, func() (lease.Kind, error) { return table.Kind(ctx) })
	if err != nil || kind == lease.Missing || kind == lease.Alien {
		return GroupLine{}, false, err
	}
	g, err := a.open(ctx, name)
	if errors.Is(err, ErrRefused) {
		return GroupLine{}, false, nil
	}
	if err != nil {
		return GroupLine{}, false, err
	}
	line := GroupLine{Group: name, Stream: g.stored.StreamARN, Foreign: g.kind == lease.Foreign, Shards: len(g.items)}
	workers := make(map[string]bool)
	for _, i := range g.items {
		switch {
		case i.Checkpoint == lease.ShardEnd:
			line.Finished++
		case i.Owner != "" && !isSilent(i, time.Now()):
			line.Held++
			workers[i.Owner] = true
		}
		if i.Pending != nil {
			line.Pending++
		}
	}
	line.Workers = len(workers)
	return line, true, nil
}

// isSilent reports that a lease has run out by the clocks of its owner and of this
// machine: good enough to show, never to act upon.
func isSilent(i lease.Item, now time.Time) bool {
	until, err := time.Parse(time.RFC3339Nano, i.Timeout)
	return err == nil && now.After(until)
}

// parentsOf names a shard's parents that the stream still lists.
func parentsOf(shard stream.Shard, listed map[stream.ShardID]bool) (ids []stream.ShardID) {
	for _, p := range shard.Parents {
		if listed[p] {
			ids = append(ids, p)
		}
	}
	return ids
}
