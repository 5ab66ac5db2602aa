package kinesis

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// reshardsPerSecond: "SplitShard has a limit of five transactions per second per account", and so has MergeShards.
const reshardsPerSecond = 5

// resharding is change for the calls that make shards of others: within their rate, and of a stream that is not changing already.
func (c *call) resharding(operation string, perSecond float64, ref streamRef) (*stream, func(), error) {
	if err := c.svc.rates.take(operation, perSecond, c.now); err != nil {
		return nil, nil, err
	}
	st, unlock, err := c.change(ref)
	if err != nil {
		return nil, nil, err
	}
	if err := st.active(); err != nil {
		unlock()
		return nil, nil, err
	}
	return st, unlock, nil
}

type splitShardInput struct {
	streamRef
	ShardToSplit       string
	NewStartingHashKey string
}

func (c *call) splitShard(in splitShardInput) (none, error) {
	at, err := parseHashKey("NewStartingHashKey", in.NewStartingHashKey)
	if err != nil {
		return none{}, err
	}
	st, unlock, err := c.resharding("SplitShard", reshardsPerSecond, in.streamRef)
	if err != nil {
		return none{}, err
	}
	defer unlock()
	parent, ok := st.shard(in.ShardToSplit)
	if !ok {
		return none{}, noShard(st, in.ShardToSplit)
	}
	if parent.meta.closed() {
		return none{}, invalidArgument("Shard %s in stream %s is closed and cannot be split.", parent.meta.ID, st.meta.Name)
	}
	// The service wants two keys for each child, though one would do.
	if from, to := parent.meta.From, parent.meta.To; from.compare(to) >= 0 || at.compare(from.after()) <= 0 || at.compare(to) >= 0 {
		return none{}, invalidArgument("NewStartingHashKey %s used in SplitShard on shard %s in stream %s is not both greater than one plus the shard's StartingHashKey %s and less than its EndingHashKey %s.",
			at, parent.meta.ID, st.meta.Name, from, to)
	}
	return none{}, st.split(parent, at, c.now)
}

type mergeShardsInput struct {
	streamRef
	ShardToMerge         string
	AdjacentShardToMerge string
}

func (c *call) mergeShards(in mergeShardsInput) (none, error) {
	st, unlock, err := c.resharding("MergeShards", reshardsPerSecond, in.streamRef)
	if err != nil {
		return none{}, err
	}
	defer unlock()
	low, ok := st.shard(in.ShardToMerge)
	if !ok {
		return none{}, noShard(st, in.ShardToMerge)
	}
	high, ok := st.shard(in.AdjacentShardToMerge)
	if !ok {
		return none{}, noShard(st, in.AdjacentShardToMerge)
	}
	// As the service wants it, the first shard is the lower one.
	if low.meta.closed() || high.meta.closed() || !low.meta.precedes(high.meta) {
		return none{}, invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
			low.meta.ID, high.meta.ID, st.meta.Name, accountID)
	}
	return none{}, st.merge(low, high, c.now)
}

func (st *stream) split(parent *shard, at hashKey, now time.Time) error {
	low := shardMeta{Parent: parent.meta.ID, From: parent.meta.From, To: at.before()}
	high := shardMeta{Parent: parent.meta.ID, From: at, To: parent.meta.To}
	return st.reshard([]*shard{parent}, []shardMeta{low, high}, now.UnixMilli())
}

func (st *stream) merge(low, high *shard, now time.Time) error {
	child := shardMeta{Parent: low.meta.ID, AdjacentParent: high.meta.ID, From: low.meta.From, To: high.meta.To}
	return st.reshard([]*shard{low, high}, []shardMeta{child}, now.UnixMilli())
}

// reshard closes parents and opens children in their place. Writing the metadata is the moment at which it happens: a crash before
// it leaves directories that open sweeps. The caller holds the stream's lock alone, so every record of a parent has a lower number
// than its end.
func (st *stream) reshard(parents []*shard, children []shardMeta, nowMS int64) error {
	shards, next := st.shards, st.meta.NextShard
	before := make([]shardMeta, len(parents))
	for i, p := range parents {
		before[i] = p.meta
		// A child opens no earlier than its parent's last record arrived, or AT_TIMESTAMP could miss records in both.
		nowMS = max(nowMS, p.lastMS, p.meta.OpenedMS+1)
	}
	for _, p := range parents {
		p.meta.End, p.meta.ClosedMS = st.numbers.Add(1), nowMS
	}
	err := st.addChildren(children, nowMS)
	if err == nil {
		err = st.save()
	}
	if err != nil {
		errs := []error{err}
		for _, child := range st.shards[len(shards):] {
			errs = append(errs, child.close())
		}
		for i := next; i < st.meta.NextShard; i++ {
			errs = append(errs, os.RemoveAll(filepath.Join(st.dir, shardID(i))))
		}
		st.shards, st.meta.NextShard = shards, next
		for i, p := range parents {
			p.meta = before[i]
		}
		return errors.Join(errs...)
	}
	for _, p := range parents {
		// The records are in the file; that closing it fails concerns nobody any more.
		_ = p.close()
	}
	return nil
}

func (st *stream) addChildren(children []shardMeta, nowMS int64) error {
	for _, child := range children {
		child.ID, child.Start, child.OpenedMS = st.nextShardID(), st.numbers.Add(1), nowMS
		if err := st.addShard(child); err != nil {
			return err
		}
	}
	return nil
}

// children are the shards that a closed shard was split or merged into, as far as they are still there.
func (st *stream) children(parent string) []childShard {
	var out []childShard
	for _, sh := range st.shards {
		if sh.meta.Parent != parent && sh.meta.AdjacentParent != parent {
			continue
		}
		child := childShard{ShardID: sh.meta.ID, ParentShards: []string{sh.meta.Parent}, HashKeyRange: hashKeyRange{sh.meta.From.String(), sh.meta.To.String()}}
		if sh.meta.AdjacentParent != "" {
			child.ParentShards = append(child.ParentShards, sh.meta.AdjacentParent)
		}
		out = append(out, child)
	}
	return out
}

type childShard struct {
	ShardID      string `json:"ShardId"`
	ParentShards []string
	HashKeyRange hashKeyRange
}

func noShard(st *stream, id string) error {
	return notFound("Shard %s in stream %s under account %s does not exist", id, st.meta.Name, accountID)
}
