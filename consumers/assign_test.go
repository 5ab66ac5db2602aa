package consumers

import (
	"fmt"
	"testing"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

func shardName(i int) stream.ShardID { return stream.ShardID(fmt.Sprintf("shardId-%012d", i)) }

// cluster plays workers against one table until nobody has anything to do.
type cluster struct {
	t      *testing.T
	shards []stream.Shard
	items  map[stream.ShardID]lease.Item
	dead   map[string]bool
	stale  bool

	leaving map[string]bool
	doubt   bool // whether a shard that is not listed is gone
}

func newCluster(t *testing.T, shards int) *cluster {
	c := &cluster{t: t, items: map[stream.ShardID]lease.Item{}, dead: map[string]bool{}, leaving: map[string]bool{}}
	for i := range shards {
		c.shards = append(c.shards, stream.Shard{ID: shardName(i)})
	}
	return c
}

func (c *cluster) view(me string) view {
	v := view{me: me, shards: c.shards, items: c.items, held: map[stream.ShardID]bool{}}
	for id, i := range c.items {
		if i.Owner == me {
			v.held[id] = true
		}
	}
	v.free = func(i lease.Item) bool { return i.Owner == "" || c.dead[i.Owner] }
	v.stale = func(lease.Item) bool { return c.stale }
	v.orphan = func(lease.Item) bool { return false }
	v.gone = func(stream.ShardID) bool { return !c.doubt }
	v.leaving = func(worker string) bool { return c.leaving[worker] }
	return v
}

// round lets a worker act once; claimed leases are released afterwards.
func (c *cluster) round(me string) (moves int) {
	s := decide(c.view(me))
	for _, shard := range s.create {
		c.items[shard.ID] = lease.Item{Shard: shard.ID}
	}
	if len(s.create) > 0 {
		s = decide(c.view(me))
	}
	for _, i := range s.take {
		i.Owner, i.Claim = me, ""
		c.items[i.Shard] = i
	}
	for _, i := range s.claim {
		i.Claim = me
		c.items[i.Shard] = i
	}
	return len(s.take) + len(s.claim)
}

func (c *cluster) release() {
	for id, i := range c.items {
		if i.Claim != "" && i.Owner != "" {
			i.Owner = ""
			c.items[id] = i
		}
	}
}

func (c *cluster) load() map[string]int {
	load := map[string]int{}
	for _, i := range c.items {
		load[i.Owner]++
	}
	return load
}

func TestTheFirstWorkerTakesEverythingInOneRound(t *testing.T) {
	c := newCluster(t, 100)
	c.round("a")
	expect(t, "load", c.load(), map[string]int{"a": 100})
}

func TestWorkersSettleWithinOneOfEachOther(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 4, 5, 7, 16, 100} {
		for workers := 1; workers <= 6; workers++ {
			c := newCluster(t, shards)
			rounds := 0
			for moves := 1; moves > 0; rounds++ {
				if rounds > 8 {
					t.Fatalf("%d shards, %d workers: still moving after %d rounds: %v", shards, workers, rounds, c.load())
				}
				moves = 0
				for w := range workers {
					moves += c.round(fmt.Sprint("w", w))
				}
				c.release()
			}
			load := c.load()
			least, most := shards, 0
			for w := range workers {
				n := load[fmt.Sprint("w", w)]
				least, most = min(least, n), max(most, n)
			}
			if most-least > 1 || load[""] > 0 {
				t.Errorf("%d shards, %d workers: %v", shards, workers, load)
			}
		}
	}
}

func TestADeadWorkersShardsAreTakenInOneRound(t *testing.T) {
	c := newCluster(t, 8)
	for range 4 {
		c.round("a")
		c.round("b")
		c.release()
	}
	expect(t, "before", c.load(), map[string]int{"a": 4, "b": 4})
	c.dead["b"] = true
	c.round("a")
	expect(t, "after", c.load(), map[string]int{"a": 8})
}

func TestAFreeShardWaitsForItsClaimerUnlessThatDied(t *testing.T) {
	c := newCluster(t, 1)
	c.items[shardName(0)] = lease.Item{Shard: shardName(0), Claim: "b"}
	expect(t, "moves of another", c.round("a"), 0)
	c.stale = true
	c.round("a")
	expect(t, "load", c.load(), map[string]int{"a": 1})
}

func TestChildrenWaitForAllTheirParents(t *testing.T) {
	for name, c := range map[string]struct {
		listed  []int
		ended   []int
		created bool
	}{
		"both parents are read": {[]int{0, 1}, []int{0, 1}, true},
		"one parent is not":     {[]int{0, 1}, []int{0}, false},
		"none is":               {[]int{0, 1}, nil, false},
		"a parent left the stream, the other is read":     {[]int{1}, []int{1}, true},
		"a parent left the stream, the other is not read": {[]int{1}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := newCluster(t, 0).view("a")
			for _, i := range c.listed {
				v.shards = append(v.shards, stream.Shard{ID: shardName(i), Closed: true})
				v.items[shardName(i)] = lease.Item{Shard: shardName(i), Checkpoint: "5"}
			}
			for _, i := range c.ended {
				v.items[shardName(i)] = lease.Item{Shard: shardName(i), Checkpoint: lease.ShardEnd}
			}
			child := stream.Shard{ID: shardName(9), Parents: []stream.ShardID{shardName(0), shardName(1)}}
			v.shards = append(v.shards, child)
			expect(t, "created", len(decide(v).create) > 0, c.created)
			v.items[child.ID] = lease.Item{Shard: child.ID} // another library made it too early
			taken := false
			for _, i := range decide(v).take {
				taken = taken || i.Shard == child.ID
			}
			expect(t, "taken", taken, c.created)
		})
	}
}

func TestAShardThatExpiredUnreadIsReported(t *testing.T) {
	v := newCluster(t, 1).view("a")
	v.items["gone"] = lease.Item{Shard: "gone", Checkpoint: "5"}
	v.items["done"] = lease.Item{Shard: "done", Checkpoint: lease.ShardEnd}
	expect(t, "expired", decide(v).expired, []stream.ShardID{"gone"})
}

func TestWhereAShardStarts(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	latest := lease.Group{Start: StartLatest, StartTime: at, Closed: []stream.ShardID{"closed before"}}
	root := stream.Shard{ID: "root"}
	childOf := func(p ...stream.ShardID) stream.Shard { return stream.Shard{ID: "child", Parents: p} }
	for name, c := range map[string]struct {
		group lease.Group
		shard stream.Shard
		want  stream.Position
	}{
		"from the beginning":                          {lease.Group{Start: StartTrimHorizon}, root, stream.TrimHorizon()},
		"from a moment":                               {lease.Group{Start: StartTimestamp, StartTime: at}, childOf("open then"), stream.AtTime(at)},
		"latest: a shard of that time":                {latest, root, stream.AtTime(at)},
		"latest: a child of a shard closed before":    {latest, childOf("closed before"), stream.AtTime(at)},
		"latest: a child of a shard long gone":        {latest, childOf("unknown"), stream.AtTime(at)},
		"latest: a child of a shard open at the time": {latest, childOf("open then"), stream.TrimHorizon()},
		"latest: a merge of old and new":              {latest, childOf("closed before", "open then"), stream.TrimHorizon()},
	} {
		t.Run(name, func(t *testing.T) {
			known := func(id stream.ShardID) bool { return id != "unknown" }
			expect(t, "start", startOf(c.shard, c.group, known), c.want)
		})
	}
}

func TestAResetShardStartsWithoutItsParentsMaps(t *testing.T) {
	items := map[stream.ShardID]lease.Item{"a": {Generation: 1}, "b": {Generation: 3}}
	child := stream.Shard{ID: "c", Parents: []stream.ShardID{"a", "b"}}
	expect(t, "inherited", inherited(child, items), 3)
	expect(t, "as it came", parentPlaces(child, lease.Item{Generation: 3}, items), []lease.Place{
		{Shard: "a", Generation: 1, Sequence: lease.ShardEnd}, {Shard: "b", Generation: 3, Sequence: lease.ShardEnd}})
	expect(t, "reset on its own", len(parentPlaces(child, lease.Item{Generation: 4}, items)), 0)
}

func TestAListOfShardsIsCompleteWhenTheOpenOnesOwnEveryHashKeyOnce(t *testing.T) {
	const last = "340282366920938463463374607431768211455"
	shard := func(first, last string, closed bool) stream.Shard {
		return stream.Shard{ID: stream.ShardID(first + "-" + last), StartHash: first, EndHash: last, Closed: closed}
	}
	for name, c := range map[string]struct {
		shards   []stream.Shard
		complete bool
	}{
		"one shard":                     {[]stream.Shard{shard("0", last, false)}, true},
		"two in any order":              {[]stream.Shard{shard("100", last, false), shard("0", "99", false)}, true},
		"closed ones do not count":      {[]stream.Shard{shard("0", last, true), shard("0", "99", false), shard("100", last, false)}, true},
		"none":                          {nil, false},
		"closed ones only":              {[]stream.Shard{shard("0", last, true)}, false},
		"the first is missing":          {[]stream.Shard{shard("100", last, false)}, false},
		"one in the middle is missing":  {[]stream.Shard{shard("0", "99", false), shard("200", last, false)}, false},
		"the last is missing":           {[]stream.Shard{shard("0", "99", false)}, false},
		"two own the same keys":         {[]stream.Shard{shard("0", "99", false), shard("99", last, false)}, false},
		"hash keys that are no numbers": {[]stream.Shard{shard("", last, false)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := complete(c.shards); (err == nil) != c.complete {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAFinishedShardWhoseLeaseWasRemovedIsNotReadAgain(t *testing.T) {
	parent, child := shardName(0), stream.Shard{ID: shardName(1), Parents: []stream.ShardID{shardName(0)}}
	for name, c := range map[string]struct {
		child   lease.Item
		created bool
	}{
		"a child of ours has run":                     {lease.Item{Shard: child.ID, Counted: true, Checkpoint: "5"}, false},
		"a child of another library's making has run": {lease.Item{Shard: child.ID, Checkpoint: "5"}, true},
		"a child was created and has not run":         {lease.Item{Shard: child.ID, Counted: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newCluster(t, 0).view("a")
			v.shards = []stream.Shard{{ID: parent, Closed: true}, child}
			v.items[child.ID] = c.child
			s := decide(v)
			expect(t, "created", len(s.create) == 1 && s.create[0].ID == parent, c.created)
			expect(t, "child taken", len(s.take) == 1, !c.created)
		})
	}
}

func TestWhenTheLeaseOfAFinishedShardIsPassed(t *testing.T) {
	for name, c := range map[string]struct {
		listed, doubt bool
		parent, child lease.Item
		passed        bool
	}{
		"its child has run":             {false, false, lease.Item{Checkpoint: lease.ShardEnd}, lease.Item{Checkpoint: "5"}, true},
		"its child is finished":         {false, false, lease.Item{Checkpoint: lease.ShardEnd}, lease.Item{Checkpoint: lease.ShardEnd}, true},
		"its child has not run":         {false, false, lease.Item{Checkpoint: lease.ShardEnd}, lease.Item{}, false},
		"the stream still names it":     {true, false, lease.Item{Checkpoint: lease.ShardEnd}, lease.Item{Checkpoint: "5"}, false},
		"one list only did not name it": {false, true, lease.Item{Checkpoint: lease.ShardEnd}, lease.Item{Checkpoint: "5"}, false},
		"it was never read to its end":  {false, false, lease.Item{Checkpoint: "3"}, lease.Item{Checkpoint: "5"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t, 0)
			cl.doubt = c.doubt
			v := cl.view("a")
			child := stream.Shard{ID: shardName(1), Parents: []stream.ShardID{shardName(0)}}
			v.shards = []stream.Shard{child}
			if c.listed {
				v.shards = append(v.shards, stream.Shard{ID: shardName(0), Closed: true})
			}
			c.parent.Shard, c.child.Shard = shardName(0), child.ID
			v.items[shardName(0)], v.items[child.ID] = c.parent, c.child
			expect(t, "passed", len(decide(v).passed) == 1, c.passed)
		})
	}
}

// No record ever comes, and two shards are merged and split again and again. Each is
// finished without a record, which is a checkpoint, too: at any time only the
// parents of open shards wait.
func TestAnIdleStreamThatIsReshardedOftenKeepsOnlyTheParentsOfItsOpenShards(t *testing.T) {
	c := newCluster(t, 2)
	for reshards, next := 0, 2; reshards < 50; reshards++ {
		c.round("a")
		for _, i := range decide(c.view("a")).passed {
			delete(c.items, i.Shard)
		}
		if open := len(c.shards); len(c.items) > open+2 {
			t.Fatalf("%d leases for %d open shards after %d reshards", len(c.items), open, reshards)
		}
		var parents []stream.ShardID
		for _, shard := range c.shards { // read to its end, and then trimmed
			item := c.items[shard.ID]
			if len(shard.Parents) > 0 {
				item.Parent = shard.Parents[0]
			}
			item.Owner, item.Checkpoint = "", lease.ShardEnd
			c.items[shard.ID] = item
			parents = append(parents, shard.ID)
		}
		c.shards = nil
		for range 3 - len(parents) { // two become one, one becomes two
			c.shards = append(c.shards, stream.Shard{ID: shardName(next), Parents: parents})
			next++
		}
	}
}

func TestFreeLeasesAreDealtOutToThoseWhoStay(t *testing.T) {
	free := func(c *cluster, from, to int) {
		for i := from; i < to; i++ {
			c.items[shardName(i)] = lease.Item{Shard: shardName(i)}
		}
	}
	own := func(c *cluster, worker string, from, to int) {
		for i := from; i < to; i++ {
			c.items[shardName(i)] = lease.Item{Shard: shardName(i), Owner: worker}
		}
	}
	t.Run("workers that look at the same moment reach for different leases", func(t *testing.T) {
		c := newCluster(t, 12)
		own(c, "a", 0, 3)
		own(c, "b", 3, 6)
		free(c, 6, 12)
		seen := map[stream.ShardID]string{}
		for _, me := range []string{"a", "b"} {
			for _, i := range decide(c.view(me)).take {
				if other := seen[i.Shard]; other != "" {
					t.Errorf("%s is taken by %s and %s", i.Shard, other, me)
				}
				seen[i.Shard] = me
			}
		}
		expect(t, "taken", len(seen), 6)
	})
	t.Run("a worker that leaves gets nothing back", func(t *testing.T) {
		c := newCluster(t, 12)
		own(c, "a", 0, 4)
		own(c, "b", 4, 8)
		own(c, "leaver", 8, 9)
		free(c, 9, 12)
		c.leaving["leaver"] = true
		got := len(decide(c.view("a")).take) + len(decide(c.view("b")).take)
		expect(t, "taken by those who stay", got, 3)
	})
	t.Run("nor does one that died with a lease run out", func(t *testing.T) {
		c := newCluster(t, 4)
		own(c, "a", 0, 2)
		own(c, "dead", 2, 4)
		v := c.view("a")
		v.free = func(i lease.Item) bool { return i.Shard == shardName(2) } // the other is not over yet
		expect(t, "taken", len(decide(v).take), 1)
	})
	t.Run("an orphan goes to whoever comes first", func(t *testing.T) {
		c := newCluster(t, 4)
		own(c, "a", 0, 3)
		free(c, 3, 4)
		own(c, "b", 0, 1)
		v := c.view("a") // b has one, a two: it is dealt to b
		expect(t, "taken at first", len(decide(v).take), 0)
		v.orphan = func(lease.Item) bool { return true }
		expect(t, "taken later", len(decide(v).take), 1)
	})
}
