package consumers

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"tributary/consumers/lease"
	"tributary/stream"
)

// view is what a worker knows at one moment: a complete list of the stream's
// shards and all leases, and its own judgement of both.
type view struct {
	me     string
	shards []stream.Shard
	items  map[stream.ShardID]lease.Item
	held   map[stream.ShardID]bool // or being taken at this moment
	// free reports that nobody holds a lease any more; stale that a claim is so old
	// that the claimer must have died; orphan that a free lease was left by those
	// who should have taken it; leaving that a worker gives up what it has.
	free, stale, orphan func(lease.Item) bool
	leaving             func(worker string) bool
	// gone reports that a shard the list does not name has left the stream. One list
	// without it proves little.
	gone func(stream.ShardID) bool
}

// steps are what a worker does about a view.
type steps struct {
	create  []stream.Shard // shards without an item whose parents are finished
	take    []lease.Item
	claim   []lease.Item
	expired []stream.ShardID // left the stream before they were read to their end
	passed  []lease.Item     // finished, and nothing in the stream needs them any more
}

// decide shares the shards evenly: a worker takes its whole share in one round as
// far as leases are free, and asks the fullest worker for the rest until they
// differ by one at most.
func decide(v view) steps {
	var s steps
	listed := make(map[stream.ShardID]stream.Shard, len(v.shards))
	children := make(map[stream.ShardID][]stream.ShardID)
	for _, shard := range v.shards {
		listed[shard.ID] = shard
		for _, p := range shard.Parents {
			children[p] = append(children[p], shard.ID)
		}
	}
	for id, item := range v.items {
		if item.Parent != "" {
			children[item.Parent] = append(children[item.Parent], id)
		}
	}
	var open []lease.Item
	for _, shard := range v.shards {
		item, known := v.items[shard.ID]
		if v.finished(shard.ID, children) || !v.ready(shard, listed, children) {
			continue
		}
		if !known {
			s.create = append(s.create, shard)
			continue
		}
		open = append(open, item)
	}
	for id, item := range v.items {
		switch _, here := listed[id]; {
		case here || !v.gone(id):
		case item.Checkpoint != lease.ShardEnd:
			s.expired = append(s.expired, id)
		case v.haveRun(children[id]):
			s.passed = append(s.passed, item)
		}
	}
	slices.Sort(s.expired)
	s.take, s.claim = v.share(open)
	return s
}

// finished is true of a shard that was read to its end. One without an item counts
// when a child of it was read here: leases of finished shards are removed some day,
// and should the stream name such a shard once more, it must not be read again.
// Children of another library's making prove nothing, it may have passed over the
// parent.
func (v view) finished(id stream.ShardID, children map[stream.ShardID][]stream.ShardID) bool {
	if item, known := v.items[id]; known {
		return item.Checkpoint == lease.ShardEnd
	}
	return slices.ContainsFunc(children[id], func(child stream.ShardID) bool {
		item := v.items[child]
		return item.Counted && item.Checkpoint != ""
	})
}

// complete is true when every shard of the stream was read to its end.
func (v view) complete() bool {
	return len(v.shards) > 0 && !slices.ContainsFunc(v.shards, func(s stream.Shard) bool { return v.items[s.ID].Checkpoint != lease.ShardEnd })
}

// ready is true when all parents were read to their end. Nobody can read a parent
// that has left the stream.
func (v view) ready(shard stream.Shard, listed map[stream.ShardID]stream.Shard, children map[stream.ShardID][]stream.ShardID) bool {
	for _, p := range shard.Parents {
		_, here := listed[p]
		item, known := v.items[p]
		unread := known && item.Checkpoint != lease.ShardEnd
		if here && !v.finished(p, children) || !here && unread && !v.gone(p) {
			return false
		}
	}
	return true
}

// haveRun is true when each of the shards has made something durable and hence no
// longer begins where its parents ended.
func (v view) haveRun(ids []stream.ShardID) bool {
	return !slices.ContainsFunc(ids, func(id stream.ShardID) bool { return v.items[id].Checkpoint == "" })
}

// share says which of the open leases this worker takes and which it asks for.
//
// All workers deal the free leases out by the same rule, to the least loaded, so
// that those who look at the same moment do not reach for the same lease. A lease
// that was dealt to somebody who does not take it is an orphan after a while, and
// goes to whoever comes first.
func (v view) share(open []lease.Item) (take, claim []lease.Item) {
	load := v.loads(open)
	var free, taken []lease.Item
	for _, i := range open {
		switch {
		case i.Claim != "" && !v.stale(i):
			if v.free(i) && i.Claim == v.me && !v.held[i.Shard] {
				take = append(take, i)
			}
		case v.held[i.Shard]:
		case v.free(i):
			free = append(free, i)
		default:
			taken = append(taken, i)
		}
	}
	slices.SortFunc(free, func(a, b lease.Item) int { return cmp.Compare(a.Shard, b.Shard) })
	for _, i := range free {
		next := least(load)
		if v.orphan(i) {
			next = v.me
		}
		if next == v.me {
			take = append(take, i)
		}
		load[next]++
	}
	return take, v.ask(load, taken, len(open))
}

// loads are the leases by live worker, claims counted as granted. Workers that
// leave, and those one of whose leases ran out, get nothing more; what they hold is
// not theirs to keep.
func (v view) loads(open []lease.Item) map[string]int {
	load := map[string]int{v.me: 0}
	gone := make(map[string]bool)
	for _, i := range open {
		claimed := i.Claim != "" && !v.stale(i)
		switch {
		case claimed:
			load[i.Claim]++
			if i.Owner != "" {
				load[i.Owner] += 0 // gives this one up, but is there and counts
			}
		case v.held[i.Shard]:
			load[v.me]++
		case i.Owner != "":
			load[i.Owner]++
		}
		if i.Owner != "" && !v.held[i.Shard] && v.free(i) {
			gone[i.Owner] = true
		}
	}
	for worker := range load {
		if worker != v.me && (gone[worker] || v.leaving(worker)) {
			delete(load, worker)
		}
	}
	return load
}

// ask chooses the leases to claim: of the fullest worker, as long as it has two
// more than this one and this one less than its share.
func (v view) ask(load map[string]int, taken []lease.Item, open int) (claim []lease.Item) {
	rand.Shuffle(len(taken), func(i, j int) { taken[i], taken[j] = taken[j], taken[i] })
	by := make(map[string][]lease.Item)
	for _, i := range taken {
		if i.Claim == "" {
			by[i.Owner] = append(by[i.Owner], i)
		}
	}
	fair := (open + len(load) - 1) / len(load)
	for load[v.me] < fair {
		full := fullest(load)
		if load[full]-load[v.me] < 2 || len(by[full]) == 0 {
			break
		}
		claim = append(claim, by[full][0])
		by[full] = by[full][1:]
		load[full]--
		load[v.me]++
	}
	return claim
}

// least is the worker with the fewest leases, the first by name among equals.
func least(load map[string]int) string { return outermost(load, -1) }

// fullest is the worker with the most leases, the first by name among equals.
func fullest(load map[string]int) string { return outermost(load, 1) }

func outermost(load map[string]int, sign int) (found string) {
	first := true
	for name, count := range load {
		c := sign * cmp.Compare(count, load[found])
		if first || c > 0 || c == 0 && name < found {
			found, first = name, false
		}
	}
	return found
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
