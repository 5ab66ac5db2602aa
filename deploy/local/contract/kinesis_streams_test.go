package contract_test

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var streamCases = []kinesisCase{
	{"a stream is described as it was created", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 3)
		got := s.describe()
		if *got.StreamName != *s.name || *got.OpenShardCount != 3 || *got.RetentionPeriodHours != 24 ||
			got.StreamModeDetails.StreamMode != types.StreamModeProvisioned || !strings.HasSuffix(*got.StreamARN, ":stream/"+*s.name) ||
			time.Since(*got.StreamCreationTimestamp).Abs() > 10*time.Minute {
			c.Errorf("got %+v", got)
		}
	}},
	{"a stream name that exists is in use", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		_, err := k.CreateStream(c.Context(), &kinesis.CreateStreamInput{StreamName: s.name, ShardCount: aws.Int32(1)})
		c.Code("create again", err, "ResourceInUseException")
	}},
	{"a stream name with a slash is not valid", func(c *check, k *kinesis.Client) {
		_, err := k.CreateStream(c.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("a/b"), ShardCount: aws.Int32(1)})
		c.Code("create", err, "ValidationException")
	}},
	{"a stream has at least one shard", func(c *check, k *kinesis.Client) {
		_, err := k.CreateStream(c.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(c.Name()), ShardCount: aws.Int32(0)})
		c.Code("create", err, "ValidationException")
	}},
	{"a stream is reached by its ARN alone", reachedByARN},
	{"a stream that does not exist is not found by any operation", unknownStream},
	{"a deleted stream is not found", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.delete()
		_, err := k.PutRecord(c.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: aws.String("k"), Data: []byte("x")})
		c.Code("put", err, "ResourceNotFoundException")
		_, err = k.DeleteStream(c.Context(), &kinesis.DeleteStreamInput{StreamName: s.name})
		c.Code("delete", err, "ResourceNotFoundException")
	}},
	{"a stream made anew under the name is younger and empty", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 1)
		before := *s.describe().StreamCreationTimestamp
		s.remake()
		if after := *s.describe().StreamCreationTimestamp; !after.After(before) {
			c.Errorf("created at %s, the first at %s", after, before)
		}
		c.Equal("records", data(s.read(shardID(0), horizon, 0)), []string{})
	}},
	{"a sequence number of a deleted stream is refused by its namesake", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 1)
		s.remake()
		_, err := k.GetShardIterator(c.Context(), s.iteratorInput(shardID(0), atSequence(types.ShardIteratorTypeAfterSequenceNumber, sequences[0])))
		c.Code("get shard iterator", err, "InvalidArgumentException")
	}},
	{"an iterator of a deleted stream is refused by its namesake", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 1)
		old := s.iterator(shardID(0), horizon)
		s.remake()
		_, err := k.GetRecords(c.Context(), &kinesis.GetRecordsInput{ShardIterator: old})
		c.Code("get records", err, "ResourceNotFoundException", "InvalidArgumentException")
	}},
	{"shards listed by the creation time of a deleted stream are not its namesake's", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		before := *s.describe().StreamCreationTimestamp
		s.remake()
		_, err := k.ListShards(c.Context(), &kinesis.ListShardsInput{StreamName: s.name, StreamCreationTimestamp: &before})
		c.Code("list shards", err, "ResourceNotFoundException")
	}},
	{"streams are listed page by page in order", listedInOrder},
	{"retention grows and shrinks", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		c.Must("increase to a week", s.increase(168))
		s.untilActive()
		c.Equal("hours", *s.describe().RetentionPeriodHours, 168)
		c.Must("decrease to two days", s.decrease(48))
		s.untilActive()
		c.Equal("hours", *s.describe().RetentionPeriodHours, 48)
	}},
	{"retention is not increased to less nor decreased to more", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		c.Must("increase to two days", s.increase(48))
		s.untilActive()
		c.Code("increase to less", s.increase(24), "InvalidArgumentException")
		c.Code("decrease to more", s.decrease(72), "InvalidArgumentException")
	}},
	{"retention is a day to a year", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		c.Code("increase to more than a year", s.increase(8761), "ValidationException", "InvalidArgumentException")
		c.Code("decrease to less than a day", s.decrease(23), "ValidationException", "InvalidArgumentException")
	}},
}

func (s stream) increase(hours int32) error {
	_, err := s.IncreaseStreamRetentionPeriod(s.Context(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: s.name, RetentionPeriodHours: &hours})
	return err
}

func (s stream) decrease(hours int32) error {
	_, err := s.DecreaseStreamRetentionPeriod(s.Context(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: s.name, RetentionPeriodHours: &hours})
	return err
}

func reachedByARN(c *check, k *kinesis.Client) {
	s, _ := numbered(c, k, 1)
	arn, ctx := s.describe().StreamARN, c.Context()
	described, err := k.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamARN: arn})
	c.Must("describe", err)
	c.Equal("name", *described.StreamDescriptionSummary.StreamName, *s.name)
	listed, err := k.ListShards(ctx, &kinesis.ListShardsInput{StreamARN: arn})
	c.Must("list shards", err)
	c.Equal("shards", ids(listed.Shards), []string{"00"})
	_, err = k.PutRecord(ctx, &kinesis.PutRecordInput{StreamARN: arn, PartitionKey: aws.String("k"), Data: []byte("1")})
	c.Must("put record", err)
	put, err := k.PutRecords(ctx, &kinesis.PutRecordsInput{StreamARN: arn, Records: []types.PutRecordsRequestEntry{entry("k", "2")}})
	c.Must("put records", err)
	c.Equal("failed records", *put.FailedRecordCount, 0)
	at, err := k.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamARN: arn, ShardId: aws.String(shardID(0)), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	c.Must("get shard iterator", err)
	_, err = k.GetRecords(ctx, &kinesis.GetRecordsInput{StreamARN: arn, ShardIterator: at.ShardIterator})
	c.Must("get records", err)
	c.Equal("records", data(s.read(shardID(0), horizon, 3)), []string{"0", "1", "2"})
	_, err = k.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamARN: arn})
	c.Must("delete", err)
}

func unknownStream(c *check, k *kinesis.Client) {
	ctx, name, shard := c.Context(), aws.String(c.Name()), aws.String(shardID(0))
	_, err := k.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
	c.Code("describe", err, "ResourceNotFoundException")
	_, err = k.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name})
	c.Code("list shards", err, "ResourceNotFoundException")
	_, err = k.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("x")})
	c.Code("put record", err, "ResourceNotFoundException")
	_, err = k.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{entry("k", "x")}})
	c.Code("put records", err, "ResourceNotFoundException")
	_, err = k.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: shard, ShardIteratorType: types.ShardIteratorTypeLatest})
	c.Code("get shard iterator", err, "ResourceNotFoundException")
	_, err = k.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: shard, NewStartingHashKey: aws.String("5")})
	c.Code("split shard", err, "ResourceNotFoundException")
	_, err = k.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, ShardToMerge: shard, AdjacentShardToMerge: aws.String(shardID(1))})
	c.Code("merge shards", err, "ResourceNotFoundException")
	_, err = k.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: name, TargetShardCount: aws.Int32(2), ScalingType: types.ScalingTypeUniformScaling})
	c.Code("update shard count", err, "ResourceNotFoundException")
	_, err = k.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(48)})
	c.Code("increase retention", err, "ResourceNotFoundException")
	_, err = k.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name})
	c.Code("delete", err, "ResourceNotFoundException")
}

func listedInOrder(c *check, k *kinesis.Client) {
	var want []string
	for range 3 {
		want = append(want, *newStream(c, k, 1).name)
	}
	slices.Sort(want)
	var got []string
	in := &kinesis.ListStreamsInput{Limit: aws.Int32(2)}
	for {
		out, err := k.ListStreams(c.Context(), in)
		c.Must("list streams", err)
		got = append(got, out.StreamNames...)
		if !*out.HasMoreStreams {
			break
		}
		in.ExclusiveStartStreamName = &out.StreamNames[len(out.StreamNames)-1]
		c.Sleep(10 * time.Millisecond)
	}
	if !slices.IsSorted(got) {
		c.Errorf("not in order: %v", got)
	}
	// Other cases make and delete streams meanwhile.
	c.Equal("our streams", slices.DeleteFunc(got, func(name string) bool { return !slices.Contains(want, name) }), want)
}
