package consumers

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// view is what a worker knows at one moment: the stream's complete list of shards
// and all leases, and its own judgement of both.
type view struct {
	me     string
	shards []stream.Shard
	items  map[stream.ShardID]lease.Item
	held   map[stream.ShardID]bool
	// free reports that nobody holds a lease any more; stale that a claim is so old
	// that the claimer must have died.
	free  func(lease.Item) bool
	stale func(lease.Item) bool
}

// steps are what a worker does about a view.
type steps struct {
	create  []stream.Shard // shards without an item whose parents are finished
	take    []lease.Item
	claim   []lease.Item
	expired []stream.ShardID // left the stream before they were read to their end
}

// decide shares the shards evenly: a worker takes its whole share in one round as
// far as leases are free, and asks the fullest worker for the rest until they
// differ by one at most.
func decide(v view) steps {
	var s steps
	listed := make(map[stream.ShardID]bool, len(v.shards))
	for _, shard := range v.shards {
		listed[shard.ID] = true
	}
	var open []lease.Item
	for _, shard := range v.shards {
		item, known := v.items[shard.ID]
		if known && item.Checkpoint == lease.ShardEnd || !v.parentsFinished(shard, listed) {
			continue
		}
		if !known {
			s.create = append(s.create, shard)
			continue
		}
		open = append(open, item)
	}
	for id, item := range v.items {
		if !listed[id] && item.Checkpoint != lease.ShardEnd {
			s.expired = append(s.expired, id)
		}
	}
	slices.Sort(s.expired)
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	s.take, s.claim = v.share(open)
	return s
}

// parentsFinished is true when all parents were read to their end. A parent that
// the complete list does not name has left the stream: nobody can read it.
func (v view) parentsFinished(shard stream.Shard, listed map[stream.ShardID]bool) bool {
	for _, p := range shard.Parents {
		if listed[p] && v.items[p].Checkpoint != lease.ShardEnd {
			return false
		}
	}
	return true
}

func (v view) share(open []lease.Item) (take, claim []lease.Item) {
	load := map[string]int{v.me: 0} // leases by live worker, claims counted as granted
	var free, taken []lease.Item
	for _, i := range open {
		claimed := i.Claim != "" && !v.stale(i)
		switch {
		case claimed:
			load[i.Claim]++
			if v.free(i) && i.Claim == v.me {
				take = append(take, i)
			}
			if !v.free(i) {
				load[i.Owner] += 0 // gives this one up, but is alive and counts
			}
		case v.held[i.Shard]:
			load[v.me]++
		case v.free(i):
			free = append(free, i)
		default:
			load[i.Owner]++
			taken = append(taken, i)
		}
	}
	fair := (len(open) + len(load) - 1) / len(load)
	for _, i := range free {
		if load[v.me] >= fair {
			return take, nil
		}
		take = append(take, i)
		load[v.me]++
	}
	for load[v.me] < fair {
		fullest := v.fullest(load)
		at := slices.IndexFunc(taken, func(i lease.Item) bool { return i.Owner == fullest && i.Claim == "" })
		if load[fullest]-load[v.me] < 2 || at < 0 {
			break
		}
		claim = append(claim, taken[at])
		taken = slices.Delete(taken, at, at+1)
		load[fullest]--
		load[v.me]++
	}
	return take, claim
}

func (v view) fullest(load map[string]int) string {
	type worker struct {
		name  string
		count int
	}
	found := worker{v.me, load[v.me]}
	for name, count := range load {
		if c := cmp.Compare(count, found.count); c > 0 || c == 0 && name < found.name {
			found = worker{name, count}
		}
	}
	return found.name
}

// startOf is where a shard without a checkpoint begins. A group that first
// started at LATEST means the moment it started, remembered, not the moment at
// which it first gets to a shard. Shards that came into being after that start,
// known by a parent that was still open then, are read whole.
func startOf(shard stream.Shard, g lease.Group, known func(stream.ShardID) bool) stream.Position {
	switch g.Start {
	case StartTimestamp:
		return stream.AtTime(g.StartTime)
	case StartLatest:
		for _, p := range shard.Parents {
			if known(p) && !slices.Contains(g.Closed, p) {
				return stream.TrimHorizon()
			}
		}
		return stream.AtTime(g.StartTime)
	}
	return stream.TrimHorizon()
}

// parentPlaces are the final maps of a shard's parents. A shard that was reset on
// its own, hence with a generation above theirs, starts without.
func parentPlaces(shard stream.Shard, item lease.Item, items map[stream.ShardID]lease.Item) []lease.Place {
	var places []lease.Place
	for _, p := range shard.Parents {
		places = append(places, lease.Place{Shard: p, Generation: items[p].Generation, Sequence: lease.ShardEnd})
	}
	if item.Generation > inherited(shard, items) {
		return nil
	}
	return places
}

// inherited is the generation a child begins with: its parents' maximum.
func inherited(shard stream.Shard, items map[stream.ShardID]lease.Item) (g uint64) {
	for _, p := range shard.Parents {
		g = max(g, items[p].Generation)
	}
	return g
}

// latestMargin is taken off a first start at LATEST, because this machine's clock
// may be ahead of the service's.
const latestMargin = 5 * time.Second
