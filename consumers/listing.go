package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// listing is the stream's list of shards, as of the last time it was complete.
type listing struct {
	shards  []stream.Shard
	at      time.Time
	missing map[stream.ShardID]time.Time // has a lease and is not in the list; since when
}

// goneAfter is for how long no complete list must name a shard before it counts as
// gone: one odd answer of the service is no retention. What waits for it are leases
// to be removed, and children of a shard that nobody read for at least a day.
const goneAfter = 10 * time.Minute

// renew takes a new list.
func (l *listing) renew(shards []stream.Shard, leases []lease.Item) {
	now := time.Now()
	missing := make(map[stream.ShardID]time.Time)
	for _, i := range leases {
		missing[i.Shard] = now
		if since, ok := l.missing[i.Shard]; ok {
			missing[i.Shard] = since
		}
	}
	for _, s := range shards {
		delete(missing, s.ID)
	}
	l.shards, l.at, l.missing = shards, now, missing
}

func (l *listing) gone(id stream.ShardID) bool {
	since, ok := l.missing[id]
	return ok && time.Since(since) >= goneAfter
}

// listEvery is how old the list may be. New shards come where others end, and an
// end asks for a new list at once.
const listEvery = 10 * time.Second

// list renews the list of shards when it is old, or when a lease tells that a shard
// has ended which the list shows open: its children are missing there.
func (g *Group) list(ctx context.Context) error {
	if !g.listed.at.IsZero() && time.Since(g.listed.at) < min(listEvery, g.table.Duration()/3) && !g.outdated() {
		return nil
	}
	listing, cancel := g.bounded(ctx)
	defer cancel()
	shards, err := g.allShards(listing)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listed.renew(shards, g.items)
	return nil
}

func (g *Group) outdated() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ended := make(map[stream.ShardID]bool)
	for _, i := range g.items {
		ended[i.Shard] = i.Checkpoint == lease.ShardEnd
	}
	return slices.ContainsFunc(g.listed.shards, func(s stream.Shard) bool { return !s.Closed && ended[s.ID] })
}

// allShards lists the stream's shards and refuses a list with a hole. To act on one
// would be to take a parent that is missing in it for one that has left the stream,
// and to start its children before it is read.
func (g *Group) allShards(ctx context.Context) ([]stream.Shard, error) {
	shards, err := stream.ListShards(ctx, g.kinesis, g.ref)
	if err != nil {
		return nil, err
	}
	if err := complete(shards); err != nil {
		return nil, fmt.Errorf("list shards of %s: incomplete answer: %w", g.ref, err)
	}
	return shards, nil
}

// complete checks that the open shards own every hash key once, as those of a
// stream always do.
func complete(shards []stream.Shard) error {
	type span struct{ first, last *big.Int }
	var spans []span
	for _, s := range shards {
		if s.Closed {
			continue
		}
		first, ok1 := new(big.Int).SetString(s.StartHash, 10)
		last, ok2 := new(big.Int).SetString(s.EndHash, 10)
		if !ok1 || !ok2 {
			return fmt.Errorf("shard %s has hash keys from %q to %q", s.ID, s.StartHash, s.EndHash)
		}
		spans = append(spans, span{first, last})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Cmp(b.first) })
	next, one := new(big.Int), big.NewInt(1)
	for _, s := range spans {
		if s.first.Cmp(next) != 0 {
			return fmt.Errorf("no one open shard for the hash keys from %s", next)
		}
		next = new(big.Int).Add(s.last, one)
	}
	if next.Cmp(new(big.Int).Lsh(one, 128)) != 0 {
		return errors.New("no open shard for the last hash keys")
	}
	return nil
}
