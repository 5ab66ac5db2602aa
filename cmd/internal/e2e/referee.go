package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/stream"
)

// A Referee looks at the lease table while others play. It sees that no checkpoint
// and no counter goes back and that nobody holds a child before its parents are
// finished, and it knows who held a shard when.
type Referee struct {
	system *System
	db     *dynamodb.Client

	mu      sync.Mutex
	sights  map[string]sight
	tenures map[string][]tenure // by shard
	parents map[string][]string
	early   map[string]bool // children that were held when last looked at
	faults  []string
}

// sight is a lease as it was last seen.
type sight struct {
	owner      string
	counter    int
	checkpoint stream.SequenceNumber
	generation string
}

const shardEnd = "SHARD_END"

// tenure is the time from which on a lease was seen with an owner, "" for none.
type tenure struct {
	owner string
	since time.Time
}

// NewReferee looks at the lake's leases.
func NewReferee(s *System) *Referee {
	return &Referee{
		system: s, db: dynamodb.NewFromConfig(awsConfig(s.AWS)),
		sights: make(map[string]sight), tenures: make(map[string][]tenure), parents: make(map[string][]string), early: make(map[string]bool),
	}
}

// Watch looks until ctx ends.
func (r *Referee) Watch(ctx context.Context) error {
	for sleep(ctx, 50*time.Millisecond) == nil {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("look at the leases: %w", err)
		}
	}
	return nil
}

func (r *Referee) look(ctx context.Context) error {
	seen := make(map[string]sight)
	pages := dynamodb.NewScanPaginator(r.db, &dynamodb.ScanInput{TableName: aws.String("tributary-lake"), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		var missing *types.ResourceNotFoundException
		if errors.As(err, &missing) {
			return nil // no worker has come yet
		}
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			seen[attribute(item, "ShardID")] = sight{
				owner: attribute(item, "AssignedTo"), counter: number(attribute(item, "Counter")),
				checkpoint: stream.SequenceNumber(attribute(item, "Checkpoint")), generation: attribute(item, "Generation"),
			}
		}
	}
	if err := r.learn(ctx, seen); err != nil {
		return err
	}
	r.take(seen, time.Now())
	return nil
}

// take compares a look with the one before.
func (r *Referee) take(seen map[string]sight, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard, now := range seen {
		r.judge(shard, now, at)
	}
	r.judgeChildren()
}

// learn asks for the shards when there are leases of unknown ones.
func (r *Referee) learn(ctx context.Context, seen map[string]sight) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard := range seen {
		if _, known := r.parents[shard]; known {
			continue
		}
		all, err := r.system.listShards(ctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			r.parents[*s.ShardId] = parentsOf(s)
		}
		return nil
	}
	return nil
}

func (r *Referee) judge(shard string, now sight, at time.Time) {
	before := r.sights[shard]
	r.sights[shard] = now
	if now.counter < before.counter || now.generation != before.generation && before.generation != "" || backwards(before.checkpoint, now.checkpoint) {
		r.faults = append(r.faults, fmt.Sprintf("the lease of %s went back from %+v to %+v", shard, before, now))
	}
	if held := r.tenures[shard]; len(held) == 0 || held[len(held)-1].owner != now.owner {
		r.tenures[shard] = append(held, tenure{now.owner, at})
		r.system.note("%s is of %q at checkpoint %q", shard, now.owner, now.checkpoint)
	}
}

func backwards(from, to stream.SequenceNumber) bool {
	switch {
	case from == "" || to == shardEnd:
		return false
	case from == shardEnd || to == "":
		return true
	}
	return to.Compare(from) < 0
}

// judgeChildren is one look late: a look takes its time, and a parent that was read
// early in it may be finished when its child is read.
func (r *Referee) judgeChildren() {
	for shard := range r.early {
		for _, p := range r.parents[shard] {
			if parent, known := r.sights[p]; known && parent.checkpoint != shardEnd {
				r.faults = append(r.faults, fmt.Sprintf("%s was held while its parent %s was at %q", shard, p, parent.checkpoint))
			}
		}
	}
	clear(r.early)
	for shard, s := range r.sights {
		if s.owner != "" && s.checkpoint != shardEnd {
			r.early[shard] = true
		}
	}
}

// Faults are what was seen that must not be.
func (r *Referee) Faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// Held are the unfinished shards of a process as last seen.
func (r *Referee) Held(pid int) (shards []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard, s := range r.sights {
		if s.checkpoint != shardEnd && isOf(s.owner, pid) {
			shards = append(shards, shard)
		}
	}
	slices.Sort(shards)
	return shards
}

// isOf tells by the name that a worker gives itself: host-pid-random.
func isOf(owner string, pid int) bool { return strings.Contains(owner, fmt.Sprintf("-%d-", pid)) }

// Failovers tells for each shard that a process held at a time how long it took from
// then until another one held it. Shards that nobody took are not in it: it had read
// them to their end, or kept them.
func (r *Referee) Failovers(pid int, at time.Time) (took []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, tenures := range r.tenures {
		i := slices.IndexFunc(tenures, func(t tenure) bool { return t.since.After(at) })
		if i <= 0 || !isOf(tenures[i-1].owner, pid) {
			continue
		}
		next := slices.IndexFunc(tenures[i:], func(t tenure) bool { return t.owner != "" && !isOf(t.owner, pid) })
		if next >= 0 {
			took = append(took, tenures[i+next].since.Sub(at))
		}
	}
	return took
}

func attribute(item map[string]types.AttributeValue, name string) string {
	switch v := item[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

// number is 0 for a text that is none.
func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
