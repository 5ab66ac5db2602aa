package lease

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tributary/stream"
)

// attrUsed is when a plan was last said to be in use. A plan that was stored once
// and never again has none.
const attrUsed = "Used"

// planLife is how long a plan is kept that nobody uses or waits for. Workers say
// once a day which plan they use; a month forgives any clock and any sleep.
const planLife = 30 * 24 * time.Hour

// Swept counts the items of the state table that a Sweep removed.
type Swept struct{ Maps, Plans int }

// Sweep removes what nothing leads to any more: snapshots and chunks before the
// checkpoint of their item, those of shards whose item is gone, and plans that for
// a month nobody used and no pending range names. using is the plan of this worker,
// which says so in PutPlan.
//
// items may be old: checkpoints only grow, so an old list removes less, never too
// much. What no item leads to is judged by a second list, read after the state
// table: snapshots are written, and plans named, by who holds an item. It scans
// the whole state table: once a day is enough.
func (t *Table) Sweep(ctx context.Context, items []Item, using string) (Swept, error) {
	s, err := t.sweep(ctx, items, using)
	if err != nil {
		return s, fmt.Errorf("sweep the state table: %w", err)
	}
	return s, nil
}

func (t *Table) sweep(ctx context.Context, items []Item, using string) (swept Swept, err error) {
	places, plans, err := t.survey(ctx)
	if err != nil {
		return swept, err
	}
	again, err := t.List(ctx)
	if err != nil {
		return swept, err
	}
	known, now, named := index(items), index(again), map[string]bool{using: true}
	for _, i := range again {
		if i.Pending != nil {
			named[i.Pending.Plan] = true
		}
	}
	for key, p := range places {
		item, ok := known[p.Shard]
		_, there := now[p.Shard]
		if ok && passed(p, item) || !ok && !there {
			if _, err := t.remove(ctx, key, nil); err != nil {
				return swept, err
			}
			swept.Maps++
		}
	}
	for hash, used := range plans {
		if named[hash] {
			continue
		}
		dropped, err := t.agePlan(ctx, hash, used)
		if err != nil {
			return swept, err
		}
		if dropped {
			swept.Plans++
		}
	}
	return swept, nil
}

func index(items []Item) map[stream.ShardID]Item {
	m := make(map[stream.ShardID]Item, len(items))
	for _, i := range items {
		m[i.Shard] = i
	}
	return m
}

// survey reads the keys of the state table: snapshots and chunks with their
// places, plans by hash with their last use.
func (t *Table) survey(ctx context.Context) (places map[string]Place, plans map[string]string, err error) {
	places, plans = make(map[string]Place), make(map[string]string)
	in := &dynamodb.ScanInput{
		TableName:                t.state(),
		ProjectionExpression:     aws.String("#k, #u"),
		ExpressionAttributeNames: map[string]string{"#k": attrKey, "#u": attrUsed},
	}
	err = t.scan(ctx, in, func(a attributes) error {
		r := row{a: a}
		key, used := r.text(attrKey), r.text(attrUsed)
		if p, ok := parseKey(key); ok {
			places[key] = p
		} else if hash, ok := strings.CutPrefix(key, "plan/"); ok {
			plans[hash] = used
		}
		return r.err
	})
	return places, plans, err
}

// passed reports whether a shard is beyond a place for good. A later generation
// than the item's is not: the shard was reset since the item was read.
func passed(p Place, i Item) bool {
	return p.Generation < i.Generation || p.Generation == i.Generation && before(p.Sequence, i.Checkpoint)
}

// parseKey reads the place of a snapshot or of a chunk of one.
func parseKey(key string) (Place, bool) {
	part := strings.Split(key, "/")
	if len(part) < 4 || part[0] != "map" {
		return Place{}, false
	}
	generation, err := strconv.ParseUint(part[2], 10, 64)
	p := Place{Shard: stream.ShardID(part[1]), Generation: generation, Sequence: stream.SequenceNumber(part[3])}
	return p, err == nil && (isSequence(p.Sequence) || p.Sequence == ShardEnd)
}

// agePlan drops a plan that was last used long ago. One of which nobody knows when
// is taken for used today.
func (t *Table) agePlan(ctx context.Context, hash, used string) (dropped bool, err error) {
	at, err := time.Parse(time.RFC3339Nano, used)
	switch {
	case used == "" || err != nil:
		return false, t.usePlan(ctx, hash, &used)
	case time.Since(at) < planLife:
		return false, nil
	}
	// A worker that starts to use it at this moment writes the time first.
	gone, err := t.remove(ctx, "plan/"+hash, attributes{attrUsed: text(used)})
	return gone != nil, err
}

// usePlan notes that a plan is used now, if it is there and, when seen is given, if
// that is still its last use.
func (t *Table) usePlan(ctx context.Context, hash string, seen *string) error {
	ctx, cancel := t.attempt(ctx, opUpdate)
	defer cancel()
	in := &dynamodb.UpdateItemInput{
		TableName:                t.state(),
		Key:                      attributes{attrKey: text("plan/" + hash)},
		UpdateExpression:         aws.String("SET #u = :now"),
		ConditionExpression:      aws.String("attribute_exists(#k)"),
		ExpressionAttributeNames: map[string]string{"#k": attrKey, "#u": attrUsed},
		ExpressionAttributeValues: attributes{
			":now": text(time.Now().UTC().Format(time.RFC3339Nano)),
		},
	}
	if seen != nil && *seen == "" {
		in.ConditionExpression = aws.String("attribute_exists(#k) AND attribute_not_exists(#u)")
	}
	_, err := t.api.UpdateItem(ctx, in, once)
	if seen != nil && isConditionFailed(err) {
		return nil // dropped, or used, in the meantime
	}
	return err
}
