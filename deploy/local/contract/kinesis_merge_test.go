package contract_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var mergeCases = []kinesisCase{
	{"a merged shard has its parents' hash ranges and names both", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 3)
		s.merge(shardID(1), shardID(2))
		all := s.shards(nil)
		c.Equal("shards", ids(all), []string{"00", "01", "02", "03"})
		low, high, child := all[1], all[2], all[3]
		cover(c, []types.Shard{child}, *low.HashKeyRange.StartingHashKey, *high.HashKeyRange.EndingHashKey)
		c.Equal("parent", aws.ToString(child.ParentShardId), shardID(1))
		c.Equal("adjacent parent", aws.ToString(child.AdjacentParentShardId), shardID(2))
		c.Equal("open shards", *s.describe().OpenShardCount, 2)
	}},
	{"a merged shard begins after both its parents' ends", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		last := make(map[string]string) // by shard
		for i := range 8 {
			shard, sequence := s.putAnywhere(fmt.Sprint("key ", i), "x")
			last[shard] = sequence
		}
		s.merge(shardID(0), shardID(1))
		all := s.shards(nil)
		for _, parent := range all[:2] {
			end := parent.SequenceNumberRange.EndingSequenceNumber
			if end == nil {
				c.Fatalf("the closed shard %s has no EndingSequenceNumber", *parent.ShardId)
			}
			if sequence := last[*parent.ShardId]; sequence != "" && number(*end).Cmp(number(sequence)) < 0 {
				c.Errorf("the closed shard %s ends at %s, before its last record %s", *parent.ShardId, *end, sequence)
			}
			grow(c, []string{*end, *all[2].SequenceNumberRange.StartingSequenceNumber})
		}
	}},
	{"the ends of both merged shards name the one child and both parents", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.merge(shardID(0), shardID(1))
		for _, parent := range []string{shardID(0), shardID(1)} {
			_, end := s.toEnd(s.iterator(parent, horizon))
			if len(end.ChildShards) != 1 {
				c.Fatalf("the end of %s names %d children", parent, len(end.ChildShards))
			}
			child := end.ChildShards[0]
			c.Equal("child", *child.ShardId, shardID(2))
			c.Equal("parents", child.ParentShards, []string{shardID(0), shardID(1)})
			cover(c, []types.Shard{{ShardId: child.ShardId, HashKeyRange: child.HashKeyRange}}, "0", maxHashKey)
		}
	}},
	{"both parents and then their child give each key's records in order", orderOverMerge},
	{"what was split may be merged again", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.split(shardID(0))
		s.merge(shardID(1), shardID(2))
		all := s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
		c.Equal("open shards", ids(all), []string{"03"})
		cover(c, all, "0", maxHashKey)
	}},
	{"shards that are not adjacent are not merged", func(c *check, k *kinesis.Client) {
		c.Code("merge", newStream(c, k, 3).mergeThem(shardID(0), shardID(2)), "InvalidArgumentException")
	}},
	{"the lower of two shards to merge comes first", func(c *check, k *kinesis.Client) {
		c.Code("merge", newStream(c, k, 2).mergeThem(shardID(1), shardID(0)), "InvalidArgumentException")
	}},
	{"a shard is not merged with itself", func(c *check, k *kinesis.Client) {
		c.Code("merge", newStream(c, k, 2).mergeThem(shardID(0), shardID(0)), "InvalidArgumentException")
	}},
	{"a closed shard is not merged", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.split(shardID(1))
		// As for a split, the documentation has two codes that could mean this.
		c.Code("merge", s.mergeThem(shardID(0), shardID(1)), "InvalidArgumentException", "ResourceInUseException")
	}},
	{"a shard that does not exist is not merged", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		c.Code("merge with", s.mergeThem(shardID(0), shardID(9)), "ResourceNotFoundException")
		c.Code("merge", s.mergeThem(shardID(9), shardID(0)), "ResourceNotFoundException")
	}},
}

// merge makes one shard of two neighbours and waits until that is done.
func (s stream) merge(low, high string) {
	s.Must("merge shards", s.mergeThem(low, high))
	s.untilActive()
}

func (s stream) mergeThem(low, high string) error {
	_, err := s.MergeShards(s.Context(), &kinesis.MergeShardsInput{StreamName: s.name, ShardToMerge: &low, AdjacentShardToMerge: &high})
	return err
}

// putAnywhere tells the shard too.
func (s stream) putAnywhere(key, data string) (shard, sequence string) {
	out, err := s.PutRecord(s.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: &key, Data: []byte(data)})
	s.Must("put record", err)
	return *out.ShardId, *out.SequenceNumber
}

func orderOverMerge(c *check, k *kinesis.Client) {
	s := newStream(c, k, 2)
	const keys, rounds = 4, 3
	put := func(first int) {
		for round := range rounds {
			for key := range keys {
				s.put(fmt.Sprint("key ", key), fmt.Sprint(first+round))
			}
		}
	}
	put(0)
	s.merge(shardID(0), shardID(1))
	put(rounds)
	records, _ := s.toEnd(s.iterator(shardID(0), horizon))
	more, _ := s.toEnd(s.iterator(shardID(1), horizon))
	records = append(records, more...)
	c.Equal("records of the parents", len(records), keys*rounds)
	records = append(records, s.read(shardID(2), horizon, keys*rounds)...)
	got := make(map[string][]string)
	for _, r := range records {
		got[*r.PartitionKey] = append(got[*r.PartitionKey], string(r.Data))
	}
	for key := range keys {
		c.Equal(fmt.Sprint("records of key ", key), got[fmt.Sprint("key ", key)], []string{"0", "1", "2", "3", "4", "5"})
	}
}
