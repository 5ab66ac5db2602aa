package contract_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var reshardCases = []kinesisCase{
	{"children divide their parent's hash range and name it", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.split(shardID(1))
		all := s.shards(nil)
		parent, children := all[1], all[2:]
		c.Equal("children", ids(children), []string{"02", "03"})
		cover(c, children, *parent.HashKeyRange.StartingHashKey, *parent.HashKeyRange.EndingHashKey)
		for _, child := range children {
			if *child.ParentShardId != shardID(1) || child.AdjacentParentShardId != nil {
				c.Errorf("child %s names parents %v, %v", *child.ShardId, aws.ToString(child.ParentShardId), aws.ToString(child.AdjacentParentShardId))
			}
		}
		c.Equal("open shards", *s.describe().OpenShardCount, 3)
	}},
	{"children begin after their parent's end", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 2)
		s.split(shardID(0))
		all := s.shards(nil)
		end := all[0].SequenceNumberRange.EndingSequenceNumber
		if end == nil {
			c.Fatalf("the closed shard has no EndingSequenceNumber")
		}
		if number(*end).Cmp(number(sequences[1])) < 0 {
			c.Errorf("the closed shard ends at %s, before its last record %s", *end, sequences[1])
		}
		for _, child := range all[1:] {
			if child.SequenceNumberRange.EndingSequenceNumber != nil {
				c.Errorf("the open child %s has an end", *child.ShardId)
			}
			grow(c, []string{*end, *child.SequenceNumberRange.StartingSequenceNumber})
		}
	}},
	{"a closed shard is read to its end, which has no next iterator", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 5)
		s.read(shardID(0), horizon, 5)
		s.split(shardID(0))
		first := s.get(s.iterator(shardID(0), horizon), 3)
		if len(first.Records) != 3 || first.NextShardIterator == nil || first.ChildShards != nil {
			c.Fatalf("first part: %d records, next %v, children %v", len(first.Records), first.NextShardIterator, first.ChildShards)
		}
		records, _ := s.toEnd(first.NextShardIterator)
		c.Equal("rest", data(records), []string{"3", "4"})
	}},
	{"the end of a closed shard names its children", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 1)
		s.split(shardID(0))
		_, end := s.toEnd(s.iterator(shardID(0), horizon))
		var all []types.Shard
		for _, child := range end.ChildShards {
			c.Equal("parents", child.ParentShards, []string{shardID(0)})
			all = append(all, types.Shard{ShardId: child.ShardId, HashKeyRange: child.HashKeyRange})
		}
		c.Equal("children", ids(all), []string{"01", "02"})
		cover(c, all, "0", "340282366920938463463374607431768211455")
	}},
	{"an iterator from before the split reads to the end", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 2)
		it := s.iterator(shardID(0), horizon)
		s.split(shardID(0))
		records, _ := s.toEnd(it)
		c.Equal("records", data(records), []string{"0", "1"})
	}},
	{"LATEST of a closed shard is at its end", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 2)
		s.split(shardID(0))
		records, _ := s.toEnd(s.iterator(shardID(0), latest))
		c.Equal("records", data(records), []string{})
	}},
	{"AFTER_SEQUENCE_NUMBER of a closed shard's last record is at its end", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 2)
		s.split(shardID(0))
		records, _ := s.toEnd(s.iterator(shardID(0), atSequence(afterNumber, sequences[1])))
		c.Equal("records", data(records), []string{})
	}},
	{"parent and then children give each key's records in order", orderOverSplit},
	{"a parent's sequence number is refused by its child", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 1)
		s.split(shardID(0))
		_, err := k.GetShardIterator(c.Context(), s.iteratorInput(shardID(1), atSequence(afterNumber, sequences[0])))
		c.Code("get shard iterator", err, "InvalidArgumentException")
	}},
	{"a child's sequence number is refused by its parent", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.split(shardID(0))
		_, err := k.GetShardIterator(c.Context(), s.iteratorInput(shardID(0), atSequence(afterNumber, s.put("k", "x"))))
		c.Code("get shard iterator", err, "InvalidArgumentException")
	}},
	{"a shard that does not exist is not split", func(c *check, k *kinesis.Client) {
		c.Code("split", newStream(c, k, 1).splitAt(shardID(9), "5"), "ResourceNotFoundException")
	}},
	{"a closed shard is not split again", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.split(shardID(0))
		// The service says InvalidArgumentException; its documentation has a ResourceInUseException too that could mean this.
		c.Code("split", s.splitAt(shardID(0), "5"), "InvalidArgumentException", "ResourceInUseException")
	}},
	{"a shard is not split outside its hash range", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		c.Code("split above", s.splitAt(shardID(0), "340282366920938463463374607431768211455"), "InvalidArgumentException")
		c.Code("split below", s.splitAt(shardID(1), "5"), "InvalidArgumentException")
	}},
	{"a shard is not split at the start of its hash range", func(c *check, k *kinesis.Client) {
		c.Code("split", newStream(c, k, 1).splitAt(shardID(0), "0"), "InvalidArgumentException")
	}},
	{"a shard is not split one behind the start of its hash range", func(c *check, k *kinesis.Client) {
		c.Code("split", newStream(c, k, 1).splitAt(shardID(0), "1"), "InvalidArgumentException")
	}},
	{"a shard is not split at the end of its hash range", func(c *check, k *kinesis.Client) {
		c.Code("split", newStream(c, k, 1).splitAt(shardID(0), "340282366920938463463374607431768211455"), "InvalidArgumentException")
	}},
	{"a split at what is not decimal is not valid", func(c *check, k *kinesis.Client) {
		c.Code("split", newStream(c, k, 1).splitAt(shardID(0), "one"), "ValidationException")
	}},
}

// toEnd reads a closed shard to its end and gives the last answer too.
func (s stream) toEnd(it *string) (records []types.Record, end *kinesis.GetRecordsOutput) {
	for it != nil {
		end = s.get(it, 0)
		records = append(records, end.Records...)
		if it = end.NextShardIterator; it != nil && len(end.Records) == 0 {
			if *end.MillisBehindLatest == 0 {
				s.Fatalf("the end of a closed shard has a next iterator")
			}
			s.Sleep(pollEvery)
		}
	}
	if *end.MillisBehindLatest != 0 {
		s.Errorf("the end of a closed shard is %d ms behind", *end.MillisBehindLatest)
	}
	return records, end
}

func orderOverSplit(c *check, k *kinesis.Client) {
	s := newStream(c, k, 1)
	const keys, rounds = 4, 3
	put := func(first int) {
		for round := range rounds {
			for key := range keys {
				s.put(fmt.Sprint("key ", key), fmt.Sprint(first+round))
			}
		}
	}
	put(0)
	s.split(shardID(0))
	put(rounds)
	records, _ := s.toEnd(s.iterator(shardID(0), horizon))
	c.Equal("records of the parent", len(records), keys*rounds)
	for len(records) < 2*keys*rounds {
		records = append(records[:keys*rounds], s.read(shardID(1), horizon, 0)...)
		records = append(records, s.read(shardID(2), horizon, 0)...)
		s.Sleep(pollEvery)
	}
	got := make(map[string][]string)
	for _, r := range records {
		got[*r.PartitionKey] = append(got[*r.PartitionKey], string(r.Data))
	}
	for key := range keys {
		c.Equal(fmt.Sprint("records of key ", key), got[fmt.Sprint("key ", key)], []string{"0", "1", "2", "3", "4", "5"})
	}
}
