package contract_test

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/schemas"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
)

// No server that others wrote and that the SDK can read answers SubscribeToShard: each of these cases quotes what it follows from.
// (SubscribeToShard, SubscribeToShardEvent: https://docs.aws.amazon.com/kinesis/latest/APIReference/)
var subscribeCases = []kinesisCase{
	// "Kinesis Data Streams pushes records from the shard to the consumer over this connection." "TRIM_HORIZON: Start streaming at the last
	// untrimmed record in the shard, which is the oldest data record in the shard."
	{"a subscription pushes what is there and what comes, in order", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 3)
		f := s.subscribe(s.register("lake"), shardID(0), types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
		f.until(3)
		sequences = append(sequences, s.put("k", "3"))
		f.until(4)
		c.Equal("records", data(f.records), []string{"0", "1", "2", "3"})
		for i, r := range f.records {
			c.Equal("sequence number", *r.SequenceNumber, sequences[i])
			c.Equal("partition key", *r.PartitionKey, "k")
		}
	}},
	// "LATEST: Start streaming just after the most recent record in the shard"
	{"a subscription from LATEST begins behind what is there", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 3)
		f := s.subscribe(s.register("lake"), shardID(0), types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		f.next()
		s.put("k", "new")
		f.until(1)
		c.Equal("records", data(f.records), []string{"new"})
	}},
	// "AFTER_SEQUENCE_NUMBER: Start streaming right after the position denoted by the sequence number", "AT_SEQUENCE_NUMBER: … from the position"
	{"a subscription begins at a sequence number or behind it", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 3)
		for kind, want := range map[types.ShardIteratorType][]string{afterNumber: {"2"}, types.ShardIteratorTypeAtSequenceNumber: {"1", "2"}} {
			f := s.subscribe(s.register(string(kind)), shardID(0), types.StartingPosition{Type: kind, SequenceNumber: &sequences[1]})
			f.until(len(want))
			c.Equal(string(kind), data(f.records), want)
		}
	}},
	// "Use this as SequenceNumber in the next call to SubscribeToShard, with StartingPosition set to AT_SEQUENCE_NUMBER or
	// AFTER_SEQUENCE_NUMBER. Use ContinuationSequenceNumber for checkpointing because it captures your shard progress even when no data is
	// written to the shard."
	{"a subscription goes on behind the continuation of another", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 2)
		consumer := s.register("lake")
		first := s.subscribe(consumer, shardID(0), types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
		first.until(2)
		first.Close()
		s.put("k", "2")
		c.Sleep(subscribeAgain)
		second := s.subscribe(consumer, shardID(0), types.StartingPosition{Type: afterNumber, SequenceNumber: first.last.ContinuationSequenceNumber})
		second.until(1)
		c.Equal("records", data(second.records), []string{"2"})
	}},
	{"a subscription to an empty shard has a continuation", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		consumer := s.register("lake")
		first := s.subscribe(consumer, shardID(0), types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		first.next()
		first.Close()
		s.put("k", "0")
		c.Sleep(subscribeAgain)
		second := s.subscribe(consumer, shardID(0), types.StartingPosition{Type: afterNumber, SequenceNumber: first.last.ContinuationSequenceNumber})
		second.until(1)
		c.Equal("records", data(second.records), []string{"0"})
	}},
	// "ChildShards: The list of the child shards of the current shard, returned only at the end of the current shard." That there is no
	// ContinuationSequenceNumber then is what the KCL counts on (isValidEvent of
	// https://github.com/awslabs/amazon-kinesis-client/blob/master/amazon-kinesis-client/src/main/java/software/amazon/kinesis/retrieval/fanout/FanOutRecordsPublisher.java).
	{"the end of a shard ends its subscription with the children and no continuation", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 1)
		f := s.subscribe(s.register("lake"), shardID(0), types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
		f.until(1)
		if f.last.ContinuationSequenceNumber == nil || f.last.ChildShards != nil {
			c.Errorf("before the end: continuation %v, children %v", f.last.ContinuationSequenceNumber, f.last.ChildShards)
		}
		s.split(shardID(0))
		for f.next() {
		}
		c.Must("read to the end", f.Err())
		if f.last.ContinuationSequenceNumber != nil {
			c.Errorf("the end has the continuation %s", *f.last.ContinuationSequenceNumber)
		}
		var all []types.Shard
		for _, child := range f.last.ChildShards {
			all = append(all, types.Shard{ShardId: child.ShardId, HashKeyRange: child.HashKeyRange})
			c.Equal("parents", child.ParentShards, []string{shardID(0)})
		}
		c.Equal("children", ids(all), []string{"01", "02"})
		c.Equal("records", data(f.records), []string{"0"})
	}},
	// "If you call SubscribeToShard again with the same ConsumerARN and ShardId within 5 seconds of a successful call, you'll get a
	// ResourceInUseException."
	{"a shard is not subscribed to again within five seconds", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		consumer, from := s.register("lake"), types.StartingPosition{Type: types.ShardIteratorTypeLatest}
		s.subscribe(consumer, shardID(0), from)
		c.Sleep(1100 * time.Millisecond) // one call a second is allowed
		_, err := s.trySubscribe(consumer, shardID(0), from)
		c.Code("subscribe again", err, "ResourceInUseException")
	}},
	// "If you call SubscribeToShard 5 seconds or more after a successful call, the second call takes over the subscription and the previous
	// connection expires or fails with a ResourceInUseException."
	{"a later subscription takes over", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		consumer, from := s.register("lake"), types.StartingPosition{Type: types.ShardIteratorTypeLatest}
		first := s.subscribe(consumer, shardID(0), from)
		c.Sleep(subscribeAgain)
		second := s.subscribe(consumer, shardID(0), from)
		for first.next() {
		}
		if first.Err() != nil {
			c.Code("the first one ends", first.Err(), "ResourceInUseException")
		}
		s.put("k", "x")
		second.until(1)
	}},
	{"consumers do not take one another's shards over", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 2)
		from := types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
		one, two := s.subscribe(s.register("one"), shardID(0), from), s.subscribe(s.register("two"), shardID(0), from)
		one.until(2)
		two.until(2)
		s.put("k", "2")
		one.until(3)
		two.until(3)
	}},
	// "ResourceNotFoundException: The requested resource could not be found. The stream might not be specified correctly."
	{"what does not exist is not subscribed to", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		consumer, from := s.register("lake"), types.StartingPosition{Type: types.ShardIteratorTypeLatest}
		_, err := s.trySubscribe(consumer, shardID(9), from)
		c.Code("subscribe to no shard", err, "ResourceNotFoundException")
		s.deregister(consumer)
		_, err = s.trySubscribe(consumer, shardID(0), from)
		c.Code("subscribe as nobody", err, "ResourceNotFoundException")
	}},
}

// subscribeAgain is after how long a shard may be subscribed to again, and a bit more for the clocks.
const subscribeAgain = 5200 * time.Millisecond

// A feed is a subscription with what it has pushed.
type feed struct {
	*check
	*kinesis.SubscribeToShardEventStream
	records []types.Record
	last    types.SubscribeToShardEvent
}

func (s stream) trySubscribe(consumer *string, shard string, from types.StartingPosition) (*kinesis.SubscribeToShardOutput, error) {
	in := &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: aws.String(shard), StartingPosition: &from}
	return s.SubscribeToShard(s.Context(), in, func(o *kinesis.Options) {
		// The event streams of one client race for a buffer of its protocol (https://github.com/aws/smithy-go/issues/714).
		o.Protocol = awsjson.New11(schemas.Kinesis_20131202)
	})
}

// subscribe opens a subscription, which is closed when the case ends.
func (s stream) subscribe(consumer *string, shard string, from types.StartingPosition) *feed {
	out, err := s.trySubscribe(consumer, shard, from)
	s.Must("subscribe to shard", err)
	f := &feed{check: s.check, SubscribeToShardEventStream: out.GetStream()}
	s.Cleanup(func(context.Context) { _ = f.Close() })
	return f
}

// next reads an event; false: the stream has ended.
func (f *feed) next() bool {
	select {
	case event, ok := <-f.Events():
		if !ok {
			return false
		}
		pushed, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			f.Fatalf("an event of another kind: %+v", event)
		}
		f.last = pushed.Value
		f.records = append(f.records, f.last.Records...)
		return true
	case <-f.Context().Done():
		f.Fatalf("the case's time is over at %d records", len(f.records))
		return false
	}
}

// until reads until there are n records.
func (f *feed) until(n int) {
	for len(f.records) < n {
		if !f.next() {
			f.Fatalf("the stream ended at %d records, want %d: %v", len(f.records), n, f.Err())
		}
	}
}
