package contract_test

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var resizeCases = []kinesisCase{
	{"UpdateShardCount answers at once with both counts", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		out, err := s.UpdateShardCount(c.Context(), resizeTo(s, 3))
		c.Must("update shard count", err)
		c.Equal("counts", fmt.Sprint(aws.ToInt32(out.CurrentShardCount), aws.ToInt32(out.TargetShardCount)), "2 3")
		c.Equal("stream", aws.ToString(out.StreamName), *s.name)
		c.Equal("ARN", aws.ToString(out.StreamARN), *s.describe().StreamARN)
	}},
	{"UpdateShardCount doubles the shards into equal ones", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.resize(4)
		uniform(c, s, 4)
	}},
	{"UpdateShardCount halves the shards into equal ones", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 4)
		s.resize(2)
		uniform(c, s, 2)
	}},
	{"UpdateShardCount makes equal shards of a count that is no multiple", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.resize(3)
		uniform(c, s, 3)
	}},
	{"UpdateShardCount to the count there is changes nothing that is equal", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.resize(2)
		uniform(c, s, 2)
	}},
	{"UpdateShardCount splits each shard to double them", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		s.resize(4)
		all := s.shards(nil)
		c.Equal("shards ever", len(all), 6)
		cover(c, all[2:], "0", maxHashKey)
		for _, child := range all[2:] {
			i := slices.IndexFunc(all[:2], func(p types.Shard) bool { return *p.ShardId == aws.ToString(child.ParentShardId) })
			if i < 0 || child.AdjacentParentShardId != nil || !within(child, all[i]) {
				c.Errorf("shard %s with parents %q, %q is not a part of its parent", *child.ShardId, aws.ToString(child.ParentShardId), aws.ToString(child.AdjacentParentShardId))
			}
		}
	}},
	{"UpdateShardCount merges neighbours to halve them", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 4)
		s.resize(2)
		all := s.shards(nil)
		c.Equal("shards ever", len(all), 6)
		for _, child := range all[4:] {
			for _, parent := range []*string{child.ParentShardId, child.AdjacentParentShardId} {
				i := slices.IndexFunc(all[:4], func(p types.Shard) bool { return *p.ShardId == aws.ToString(parent) })
				if i < 0 || !within(all[i], child) {
					c.Errorf("shard %s names a parent %q that is no part of it", *child.ShardId, aws.ToString(parent))
				}
			}
		}
	}},
	{"records put before, while and after UpdateShardCount goes on are all read", allOverResize},
	{"a stream that is UPDATING is not split, merged or resized", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 3)
		s.Must("update shard count", s.resizeTo(5))
		c.Code("resize", s.resizeTo(6), "ResourceInUseException")
		c.Code("split", s.splitAt(shardID(0), "5"), "ResourceInUseException")
		c.Code("merge", s.mergeThem(shardID(1), shardID(2)), "ResourceInUseException")
	}},
	{"a stream is at most doubled at once", func(c *check, k *kinesis.Client) {
		c.Code("resize", newStream(c, k, 2).resizeTo(5), beyondLimits...)
	}},
	{"a stream is at most halved at once", func(c *check, k *kinesis.Client) {
		c.Code("resize", newStream(c, k, 3).resizeTo(1), beyondLimits...)
	}},
	{"closed shards do not count for how far a stream may be resized", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.split(shardID(0))
		c.Code("resize", s.resizeTo(5), beyondLimits...)
		s.resize(1)
		uniform(c, s, 1)
	}},
	{"a stream is resized to at least one shard", func(c *check, k *kinesis.Client) {
		c.Code("resize", newStream(c, k, 1).resizeTo(0), "ValidationException", "InvalidArgumentException")
	}},
	{"a stream is resized in no other way than uniformly", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		in := resizeTo(s, 2)
		in.ScalingType = "OTHER_SCALING"
		_, err := s.UpdateShardCount(c.Context(), in)
		c.Code("resize", err, "ValidationException")
	}},
	{"a stream is resized ten times a day", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		for i := range 10 {
			s.resize(int32(2 - i%2))
		}
		c.Code("resize once more", s.resizeTo(2), "LimitExceededException")
	}},
}

// beyondLimits: the service says LimitExceededException; an InvalidArgumentException, "a specified parameter exceeds its restrictions",
// could mean the same.
var beyondLimits = []string{"LimitExceededException", "InvalidArgumentException"}

// maxHashKey is 2^128-1.
const maxHashKey = "340282366920938463463374607431768211455"

func resizeTo(s stream, shards int32) *kinesis.UpdateShardCountInput {
	return &kinesis.UpdateShardCountInput{StreamName: s.name, TargetShardCount: &shards, ScalingType: types.ScalingTypeUniformScaling}
}

func (s stream) resizeTo(shards int32) error {
	_, err := s.UpdateShardCount(s.Context(), resizeTo(s, shards))
	return err
}

// resize waits until the stream has been resized.
func (s stream) resize(shards int32) {
	s.Must("update shard count", s.resizeTo(shards))
	s.untilActive()
}

// uniform notes a fault unless the stream has n open shards that cover the hash space, as equal as the remainders of divisions allow.
func uniform(c *check, s stream, n int) {
	all := s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest})
	slices.SortFunc(all, func(a, b types.Shard) int {
		return number(*a.HashKeyRange.StartingHashKey).Cmp(number(*b.HashKeyRange.StartingHashKey))
	})
	c.Equal("open shards", len(all), n)
	cover(c, all, "0", maxHashKey)
	width := func(shard types.Shard) *big.Int {
		return new(big.Int).Sub(number(*shard.HashKeyRange.EndingHashKey), number(*shard.HashKeyRange.StartingHashKey))
	}
	for _, shard := range all {
		if more := new(big.Int).Sub(width(shard), width(all[0])); more.CmpAbs(big.NewInt(100)) > 0 {
			c.Errorf("shard %s is %s keys larger than %s", *shard.ShardId, more, *all[0].ShardId)
		}
	}
}

// within: the hash range of part lies in that of whole.
func within(part, whole types.Shard) bool {
	return number(*part.HashKeyRange.StartingHashKey).Cmp(number(*whole.HashKeyRange.StartingHashKey)) >= 0 &&
		number(*part.HashKeyRange.EndingHashKey).Cmp(number(*whole.HashKeyRange.EndingHashKey)) <= 0
}

func allOverResize(c *check, k *kinesis.Client) {
	s := newStream(c, k, 2)
	var want []string
	put := func() {
		want = append(want, fmt.Sprint(len(want)))
		s.put(fmt.Sprint("key ", len(want)), want[len(want)-1])
	}
	for range 5 {
		put()
	}
	s.Must("update shard count", s.resizeTo(3))
	for s.describe().StreamStatus != types.StreamStatusActive {
		put()
		s.Sleep(pollEvery)
	}
	for range 5 {
		put()
	}
	var got []string
	for _, shard := range s.shards(nil) {
		if shard.SequenceNumberRange.EndingSequenceNumber != nil {
			records, _ := s.toEnd(s.iterator(*shard.ShardId, horizon))
			got = append(got, data(records)...)
			continue
		}
		got = append(got, data(s.read(*shard.ShardId, horizon, 0))...)
	}
	slices.Sort(got)
	slices.Sort(want)
	c.Equal("records", got, want)
}
