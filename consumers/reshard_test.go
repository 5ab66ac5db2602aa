package consumers_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/consumers"
	"tributary/consumers/lease"
	"tributary/stream"
)

const middle = "170141183460469231731687303715884105728"

func shardID(n int) stream.ShardID {
	return stream.ShardID("shardId-00000000000" + string(rune('0'+n)))
}

func (b *bubble) split(n int) {
	b.t.Helper()
	_, err := b.site.kinesis().SplitShard(b.t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String(streamName), ShardToSplit: aws.String(string(shardID(n))), NewStartingHashKey: aws.String(middle),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) merge(n, adjacent int) {
	b.t.Helper()
	_, err := b.site.kinesis().MergeShards(b.t.Context(), &kinesis.MergeShardsInput{
		StreamName: aws.String(streamName), ShardToMerge: aws.String(string(shardID(n))), AdjacentShardToMerge: aws.String(string(shardID(adjacent))),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// repeat lets the next lines be those sent last, as a producer sends them to the
// children that did not hear that the parents have them.
func (b *bubble) repeat() {
	for lane := range b.site.offset {
		b.site.offset[lane] -= min(10, b.site.offset[lane])
	}
}

// lease returns a shard's item, if there is one.
func (b *bubble) lease(n int) (lease.Item, bool) {
	items := b.items()
	at := slices.IndexFunc(items, func(i lease.Item) bool { return i.Shard == shardID(n) })
	if at < 0 {
		return lease.Item{}, false
	}
	return items[at], true
}

// only lets flushes of one shard wait at the gate.
func (g *gated) only(id stream.ShardID, dest consumers.Destination) consumers.Destination {
	plain, held := dest.Open, g.destination(dest).Open
	dest.Open = func(ctx context.Context, shard stream.ShardID, plan string) (consumers.Sink, error) {
		if shard == id {
			return held(ctx, shard, plan)
		}
		return plain(ctx, shard, plan)
	}
	return dest
}

func (g *gated) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}

func TestAMergedShardStartsWhenBothParentsAreFinishedAndKnowsWhatTheyDelivered(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		gate := &gated{shut: make(chan struct{})}
		w := b.startInto(bubbleConfig("w"), gate.only(shardID(1), b.lake.destination()))
		b.until("both are read", 5*time.Second, func() bool { return len(w.held()) == 2 })
		b.site.send(40)
		b.until("one flushes", 5*time.Second, func() bool { return gate.waiting.Load() == 1 })
		b.merge(0, 1)
		b.repeat()
		b.site.send(40)
		time.Sleep(30 * time.Second)
		if one, _ := b.lease(0); one.Checkpoint != lease.ShardEnd {
			t.Errorf("the free parent stands at %q", one.Checkpoint)
		}
		if _, there := b.lease(2); there {
			t.Error("the child was started while a parent is not finished")
		}
		gate.open()
		b.until("all is delivered", 10*time.Second, b.site.delivered)
		b.until("the child is read", 5*time.Second, func() bool { return slices.Equal(w.held(), []stream.ShardID{shardID(2)}) })
		b.site.exactlyOnce()
	})
}

// The worker dies with a range pending and the shard is split behind its back. The
// heir delivers exactly that range, the rest of the parent, then the children.
func TestAPendingRangeOfAClosedShardIsReplayedBeforeItsChildren(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		gate := &gated{shut: make(chan struct{})}
		dead := b.startInto(bubbleConfig("dead"), gate.destination(b.lake.destination()))
		b.until("it reads", 5*time.Second, func() bool { return len(dead.held()) == 1 })
		b.site.send(24)
		b.until("it flushes", 5*time.Second, func() bool { return gate.waiting.Load() == 1 })
		dead.line.set(func(l *line) { l.cut = true })
		pending := b.item().Pending
		b.site.send(16)
		b.split(0)
		b.repeat()
		b.site.send(40)
		heir := b.start(bubbleConfig("heir"))
		b.until("all is delivered", 20*time.Second, b.site.delivered)
		b.until("the children are read", 5*time.Second, func() bool { return len(heir.held()) == 2 })
		gate.open() // the flush of the dead goes through at last
		time.Sleep(time.Second)
		b.site.exactlyOnce()
		found := false
		for r := range b.lake.ranges {
			found = found || pending != nil && r.First == pending.First && r.Last == pending.Last
		}
		if !found {
			t.Errorf("range %+v was not delivered as it was written down", pending)
		}
	})
}

// R7 of the library before: children of a reshard without a checkpoint began at
// LATEST, and what came to them before was lost.
func TestAFirstStartAtLatestReadsChildrenFromTheirBeginning(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.site.send(8)
		clear(b.site.sent) // older than the group: not for it
		time.Sleep(10 * time.Second)
		cfg := bubbleConfig("w")
		cfg.Start = consumers.StartLatest
		w := b.start(cfg)
		b.until("it reads", 5*time.Second, func() bool { return len(w.held()) == 1 })
		if err := w.stop(); err != nil { // before it has seen anything
			t.Fatal(err)
		}
		b.site.send(16)
		b.split(0)
		b.site.send(40)
		time.Sleep(time.Minute) // longer than any margin of the clocks
		b.site.send(40)
		cfg.Worker = "next"
		b.start(cfg)
		b.until("all is delivered", 20*time.Second, b.site.delivered)
		b.site.exactlyOnce()
	})
}

// What arrives at the service after the start lies behind the moment that is
// remembered, however wrong this machine's clock is.
func TestAFirstStartAtLatestIsTimedByTheServicesClock(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.behind = 3 * time.Minute
		cfg := bubbleConfig("w")
		cfg.Start = consumers.StartLatest
		began := time.Now().Add(-b.behind)
		w := b.start(cfg)
		b.until("it reads", 5*time.Second, func() bool { return len(w.held()) == 1 })
		group, _, err := b.tableOf("onlooker").ReadGroup(b.t.Context())
		if early := began.Sub(group.StartTime); err != nil || early < 0 || early > time.Second {
			b.t.Errorf("starts at %v, %v before %v by the service's clock; %v", group.StartTime, early, began, err)
		}
	})
}

// keys of the state table that begin with a prefix.
func (b *bubble) keys(prefix string) (keys []string) {
	b.t.Helper()
	out, err := dynamodb.NewFromConfig(b.aws).Scan(b.t.Context(), &dynamodb.ScanInput{TableName: aws.String("lake-state"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, a := range out.Items {
		var key string
		data, _ := json.Marshal(a["Key"])
		var v struct{ Value string }
		_ = json.Unmarshal(data, &v)
		if key = v.Value; len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestAFinishedLeaseGoesWhenItsChildrenHaveRunAndRetentionHasPassed(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		cfg := bubbleConfig("w")
		cfg.Reader.PollInterval, cfg.LeaseDuration = 5*time.Second, 30*time.Second
		w := b.start(cfg)
		b.site.send(16)
		b.until("all is delivered", 10*time.Second, b.site.delivered)
		b.split(0)
		b.until("the children are read", 10*time.Second, func() bool { return len(w.held()) == 2 })
		time.Sleep(11 * time.Minute)
		if _, there := b.lease(0); !there {
			t.Fatal("removed while the stream still names it")
		}
		_ = w.stop()
		time.Sleep(25 * time.Hour) // retention
		cfg.Worker = "later"
		later := b.start(cfg)
		b.until("the children are read", 10*time.Second, func() bool { return len(later.held()) == 2 })
		time.Sleep(11 * time.Minute)
		if _, there := b.lease(0); !there {
			t.Fatal("removed before its children have run: they begin with its map")
		}
		b.repeat()
		b.site.send(40)
		b.until("all is delivered", 10*time.Second, b.site.delivered)
		time.Sleep(11 * time.Minute)
		if i, there := b.lease(0); there {
			t.Errorf("still there: %+v", i)
		}
		if keys := b.keys("map/" + string(shardID(0))); len(keys) > 0 {
			t.Errorf("left behind: %v", keys)
		}
		b.site.exactlyOnce()
	})
}

// A list of shards without some of them: nothing is removed, and no child starts
// for want of its parent.
func TestAnIncompleteListOfShardsIsNotActedOn(t *testing.T) {
	for name, hide := range map[string]int{"an open shard is missing": 2, "a parent is missing": 0} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				gate := &gated{shut: make(chan struct{})}
				w := b.startInto(bubbleConfig("w"), gate.destination(b.lake.destination()))
				b.until("it reads", 5*time.Second, func() bool { return len(w.held()) == 1 })
				b.site.send(16)
				b.until("it flushes", 5*time.Second, func() bool { return gate.waiting.Load() == 1 })
				w.line.set(func(l *line) { l.answer = without(shardID(hide)) })
				b.split(0)
				b.site.send(40)
				time.Sleep(time.Minute)
				if _, there := b.lease(1); there {
					t.Error("a child was started before its parent was finished")
				}
				if i, there := b.lease(0); !there || i.Owner != "w" {
					t.Errorf("the parent's lease: %v, %+v", there, i)
				}
				gate.open()
				time.Sleep(10 * time.Second)
				if _, there := b.lease(1); there && hide == 2 {
					t.Error("a list with a hole was acted on")
				}
				w.line.set(func(l *line) { l.answer = nil })
				b.until("all is delivered", 15*time.Second, b.site.delivered)
				b.site.exactlyOnce()
			})
		})
	}
}

// without hides a shard in answers to ListShards.
func without(id stream.ShardID) func(string, []byte) []byte {
	return func(operation string, body []byte) []byte {
		if operation != "ListShards" {
			return body
		}
		var answer struct {
			NextToken string `json:",omitempty"`
			Shards    []map[string]any
		}
		if json.Unmarshal(body, &answer) != nil {
			return body
		}
		answer.Shards = slices.DeleteFunc(answer.Shards, func(s map[string]any) bool { return s["ShardId"] == string(id) })
		body, _ = json.Marshal(answer)
		return body
	}
}
