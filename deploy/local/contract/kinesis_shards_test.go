package contract_test

import (
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var shardCases = []kinesisCase{
	{"hash ranges cover the space without gap or overlap", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 5)
		s.split(shardID(2))
		cover(c, s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest}), "0", "340282366920938463463374607431768211455")
	}},
	{"shards are listed in the order of their ids", func(c *check, k *kinesis.Client) {
		c.Equal("shards", ids(newStream(c, k, 3).shards(nil)), []string{"00", "01", "02"})
	}},
	{"without a filter all shards are listed", func(c *check, k *kinesis.Client) {
		s, _ := family(c, k)
		c.Equal("shards", ids(s.shards(nil)), []string{"00", "01", "02", "03", "04"})
	}},
	{"FROM_TRIM_HORIZON lists all shards", func(c *check, k *kinesis.Client) {
		s, _ := family(c, k)
		c.Equal("shards", ids(s.shards(&types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon})), []string{"00", "01", "02", "03", "04"})
	}},
	{"AT_TRIM_HORIZON lists the shards that were open then", func(c *check, k *kinesis.Client) {
		s, _ := family(c, k)
		c.Equal("shards", ids(s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon})), []string{"00"})
	}},
	{"AT_LATEST lists the open shards", func(c *check, k *kinesis.Client) {
		s, _ := family(c, k)
		c.Equal("shards", ids(s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest})), []string{"02", "03", "04"})
	}},
	{"AFTER_SHARD_ID lists the shards behind it", func(c *check, k *kinesis.Client) {
		s, _ := family(c, k)
		c.Equal("shards", ids(s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String(shardID(2))})), []string{"03", "04"})
	}},
	{"AT_TIMESTAMP lists the shards that were open then", func(c *check, k *kinesis.Client) {
		s, between := family(c, k)
		c.Equal("shards", ids(s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: &between})), []string{"01", "02"})
	}},
	{"FROM_TIMESTAMP lists the shards that were open then and all later ones", func(c *check, k *kinesis.Client) {
		s, between := family(c, k)
		c.Equal("shards", ids(s.shards(&types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: &between})), []string{"01", "02", "03", "04"})
	}},
	{"AFTER_SHARD_ID needs a shard", func(c *check, k *kinesis.Client) {
		refusesFilter(c, k, types.ShardFilter{Type: types.ShardFilterTypeAfterShardId})
	}},
	{"AT_TIMESTAMP needs a time", func(c *check, k *kinesis.Client) {
		refusesFilter(c, k, types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp})
	}},
	{"AT_LATEST takes no time", func(c *check, k *kinesis.Client) {
		refusesFilter(c, k, types.ShardFilter{Type: types.ShardFilterTypeAtLatest, Timestamp: aws.Time(time.Now())})
	}},
	{"FROM_TRIM_HORIZON takes no shard", func(c *check, k *kinesis.Client) {
		refusesFilter(c, k, types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon, ShardId: aws.String(shardID(0))})
	}},
	{"ExclusiveStartShardId lists the shards behind it", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 3)
		out, err := k.ListShards(c.Context(), &kinesis.ListShardsInput{StreamName: s.name, ExclusiveStartShardId: aws.String(shardID(0))})
		c.Must("list shards", err)
		c.Equal("shards", ids(out.Shards), []string{"01", "02"})
	}},
	{"shards are listed page by page", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 5)
		c.Equal("shards", s.pages(&kinesis.ListShardsInput{StreamName: s.name, MaxResults: aws.Int32(2)}, 2), [][]string{{"00", "01"}, {"02", "03"}, {"04"}})
	}},
	{"MaxResults may change from page to page", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 5)
		c.Equal("shards", s.pages(&kinesis.ListShardsInput{StreamName: s.name, MaxResults: aws.Int32(1)}, 3), [][]string{{"00"}, {"01", "02", "03"}, {"04"}})
	}},
	{"pages go on with the filter they began with", func(c *check, k *kinesis.Client) {
		s, _ := family(c, k)
		in := &kinesis.ListShardsInput{StreamName: s.name, MaxResults: aws.Int32(1), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}}
		c.Equal("shards", s.pages(in, 1), [][]string{{"02"}, {"03"}, {"04"}})
	}},
	{"a token goes with no stream name", func(c *check, k *kinesis.Client) {
		refusesToken(c, k, func(in *kinesis.ListShardsInput, s stream) { in.StreamName = s.name })
	}},
	{"a token goes with no creation time", func(c *check, k *kinesis.Client) {
		refusesToken(c, k, func(in *kinesis.ListShardsInput, s stream) { in.StreamCreationTimestamp = aws.Time(time.Now()) })
	}},
	{"a token goes with no start", func(c *check, k *kinesis.Client) {
		refusesToken(c, k, func(in *kinesis.ListShardsInput, s stream) { in.ExclusiveStartShardId = aws.String(shardID(0)) })
	}},
	{"a token that nobody gave is an invalid argument", func(c *check, k *kinesis.Client) {
		refusesToken(c, k, func(in *kinesis.ListShardsInput, s stream) { in.NextToken = aws.String("bm9ib2R5") })
	}},
}

// family makes a stream of which shard 0 was split into 1 and 2, and later 1 into 3 and 4, and gives a time between the two splits.
func family(c *check, k *kinesis.Client) (s stream, between time.Time) {
	s = newStream(c, k, 1)
	c.Sleep(10 * time.Millisecond)
	s.split(shardID(0))
	c.Sleep(50 * time.Millisecond)
	between = s.now()
	c.Sleep(50 * time.Millisecond)
	s.split(shardID(1))
	c.Sleep(10 * time.Millisecond)
	return s, between
}

// now is the time by the service's clock: the arrival of a record that is put for that.
func (s stream) now() time.Time {
	sequence := s.put("now", "now")
	for {
		for _, shard := range s.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest}) {
			for _, r := range s.read(*shard.ShardId, horizon, 0) {
				if *r.SequenceNumber == sequence {
					return *r.ApproximateArrivalTimestamp
				}
			}
		}
		s.Sleep(pollEvery)
	}
}

// pages lists shards page by page, the first as in says, the others with limit results.
func (s stream) pages(in *kinesis.ListShardsInput, limit int32) (pages [][]string) {
	for {
		out, err := s.ListShards(s.Context(), in)
		s.Must("list shards", err)
		pages = append(pages, ids(out.Shards))
		if out.NextToken == nil {
			return pages
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: &limit}
	}
}

func refusesFilter(c *check, k *kinesis.Client, filter types.ShardFilter) {
	s := newStream(c, k, 1)
	_, err := k.ListShards(c.Context(), &kinesis.ListShardsInput{StreamName: s.name, ShardFilter: &filter})
	c.Code("list shards", err, "InvalidArgumentException")
}

// refusesToken asks that a page is refused when the request for it is spoiled.
func refusesToken(c *check, k *kinesis.Client, spoil func(*kinesis.ListShardsInput, stream)) {
	s := newStream(c, k, 2)
	first, err := k.ListShards(c.Context(), &kinesis.ListShardsInput{StreamName: s.name, MaxResults: aws.Int32(1)})
	c.Must("list shards", err)
	in := &kinesis.ListShardsInput{NextToken: first.NextToken}
	spoil(in, s)
	_, err = k.ListShards(c.Context(), in)
	c.Code("list shards", err, "InvalidArgumentException")
}

// cover asks that the shards' hash ranges follow one another from first to last.
func cover(c *check, shards []types.Shard, first, last string) {
	slices.SortFunc(shards, func(a, b types.Shard) int {
		return number(*a.HashKeyRange.StartingHashKey).Cmp(number(*b.HashKeyRange.StartingHashKey))
	})
	next := number(first)
	for _, shard := range shards {
		if number(*shard.HashKeyRange.StartingHashKey).Cmp(next) != 0 {
			c.Errorf("shard %s starts at %s, want %s", *shard.ShardId, *shard.HashKeyRange.StartingHashKey, next)
		}
		next = number(*shard.HashKeyRange.EndingHashKey)
		next.Add(next, big.NewInt(1))
	}
	if next.Sub(next, big.NewInt(1)); next.Cmp(number(last)) != 0 {
		c.Errorf("the last range ends at %s, want %s", next, last)
	}
}
