package contract_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	atNumber    = types.ShardIteratorTypeAtSequenceNumber
	afterNumber = types.ShardIteratorTypeAfterSequenceNumber
)

var readCases = []kinesisCase{
	{"TRIM_HORIZON starts at the oldest record", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 3)
		c.Equal("records", data(s.read(shardID(0), horizon, 3)), []string{"0", "1", "2"})
	}},
	{"LATEST gives what arrives after it was asked for", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 1)
		it := s.iterator(shardID(0), latest)
		s.put("k", "after")
		c.Equal("records", data(s.follow(it, 1)), []string{"after"})
	}},
	{"AT_SEQUENCE_NUMBER starts with the record", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 4)
		c.Equal("records", data(s.read(shardID(0), atSequence(atNumber, sequences[1]), 3)), []string{"1", "2", "3"})
	}},
	{"AT_SEQUENCE_NUMBER of the shard's start starts with its first record", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 2)
		start := *s.shards(nil)[0].SequenceNumberRange.StartingSequenceNumber
		c.Equal("records", data(s.read(shardID(0), atSequence(atNumber, start), 2)), []string{"0", "1"})
	}},
	{"AFTER_SEQUENCE_NUMBER starts behind the record", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 4)
		c.Equal("records", data(s.read(shardID(0), atSequence(afterNumber, sequences[1]), 2)), []string{"2", "3"})
	}},
	{"AFTER_SEQUENCE_NUMBER of the last record waits for the next", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 2)
		it := s.iterator(shardID(0), atSequence(afterNumber, sequences[1]))
		s.put("k", "next")
		c.Equal("records", data(s.follow(it, 1)), []string{"next"})
	}},
	{"AT_TIMESTAMP of a record starts with it", func(c *check, k *kinesis.Client) {
		s, arrived := spaced(c, k)
		c.Equal("records", data(s.read(shardID(0), atTime(arrived[1]), 2)), []string{"1", "2"})
	}},
	{"AT_TIMESTAMP between two records starts with the later", func(c *check, k *kinesis.Client) {
		s, arrived := spaced(c, k)
		c.Equal("records", data(s.read(shardID(0), atTime(arrived[0].Add(time.Millisecond)), 2)), []string{"1", "2"})
	}},
	{"AT_TIMESTAMP before all starts with the oldest record", func(c *check, k *kinesis.Client) {
		s, arrived := spaced(c, k)
		c.Equal("records", data(s.read(shardID(0), atTime(arrived[0].Add(-time.Hour)), 3)), []string{"0", "1", "2"})
	}},
	{"AT_TIMESTAMP after the last record gives what arrives later", func(c *check, k *kinesis.Client) {
		s, arrived := spaced(c, k)
		it := s.iterator(shardID(0), atTime(arrived[2].Add(time.Millisecond)))
		s.put("k", "next")
		c.Equal("records", data(s.follow(it, 1)), []string{"next"})
	}},
	{"an iterator may be used again", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 2)
		it := s.iterator(shardID(0), horizon)
		c.Equal("first time", data(s.follow(it, 2)), []string{"0", "1"})
		c.Equal("second time", data(s.follow(it, 2)), []string{"0", "1"})
	}},
	{"Limit bounds an answer and the next goes on behind it", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 3)
		s.read(shardID(0), horizon, 3) // all three are now to be read
		first := s.get(s.iterator(shardID(0), horizon), 2)
		c.Equal("first", data(first.Records), []string{"0", "1"})
		c.Equal("second", data(s.get(first.NextShardIterator, 2).Records), []string{"2"})
	}},
	{"MillisBehindLatest is above zero while there is more to read", func(c *check, k *kinesis.Client) {
		s, _ := spaced(c, k)
		out := s.get(s.iterator(shardID(0), horizon), 1)
		if len(out.Records) != 1 || *out.MillisBehindLatest <= 0 || *out.MillisBehindLatest > 600_000 {
			c.Errorf("%d records, %d ms behind", len(out.Records), *out.MillisBehindLatest)
		}
	}},
	{"MillisBehindLatest is zero at the tip", func(c *check, k *kinesis.Client) {
		s, _ := numbered(c, k, 1)
		s.read(shardID(0), horizon, 1) // to the tip
		out := s.get(s.iterator(shardID(0), latest), 0)
		c.Equal("ms behind", *out.MillisBehindLatest, 0)
		c.Equal("records", len(out.Records), 0)
		if out.NextShardIterator == nil {
			c.Errorf("an open shard has no next iterator")
		}
	}},
	{"an answer holds at most 10 MiB", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		for i := range 12 {
			s.patientPut("k", fmt.Sprintf("%02d", i)+strings.Repeat("x", 1<<20-3))
		}
		c.Sleep(time.Second)
		var total int
		for _, r := range s.get(s.iterator(shardID(0), horizon), 0).Records {
			total += len(r.Data)
		}
		if total == 0 || total > 10<<20 {
			c.Errorf("%d bytes in an answer", total)
		}
	}},
	{"Limit is at most 10,000", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		_, err := k.GetRecords(c.Context(), &kinesis.GetRecordsInput{ShardIterator: s.iterator(shardID(0), horizon), Limit: aws.Int32(10_001)})
		c.Code("get records", err, "InvalidArgumentException", "ValidationException")
	}},
	{"Limit is at least one", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		_, err := k.GetRecords(c.Context(), &kinesis.GetRecordsInput{ShardIterator: s.iterator(shardID(0), horizon), Limit: aws.Int32(0)})
		c.Code("get records", err, "InvalidArgumentException", "ValidationException")
	}},
	{"an iterator that nobody gave is an invalid argument", func(c *check, k *kinesis.Client) {
		_, err := k.GetRecords(c.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("AAAA")})
		c.Code("get records", err, "InvalidArgumentException")
	}},
	{"an unknown shard is not found", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(99), latest, "ResourceNotFoundException")
	}},
	{"an unknown iterator type is not valid", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(0), from{ShardIteratorType: "EARLIEST"}, "ValidationException")
	}},
	{"a sequence number that is no number is not valid", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(0), atSequence(atNumber, "x"), "ValidationException")
	}},
	{"a sequence number of no stream is an invalid argument", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(0), atSequence(atNumber, "4"+strings.Repeat("9", 55)), "InvalidArgumentException")
	}},
	{"AFTER_SEQUENCE_NUMBER without a number is an invalid argument", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(0), from{ShardIteratorType: afterNumber}, "InvalidArgumentException")
	}},
	{"AT_TIMESTAMP without a time is an invalid argument", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(0), from{ShardIteratorType: types.ShardIteratorTypeAtTimestamp}, "InvalidArgumentException")
	}},
	{"AT_TIMESTAMP of a time to come is an invalid argument", func(c *check, k *kinesis.Client) {
		refusesIterator(c, k, shardID(0), atTime(time.Now().Add(time.Hour)), "InvalidArgumentException")
	}},
	{"LATEST with a sequence number is an invalid argument", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 1)
		_, err := k.GetShardIterator(c.Context(), s.iteratorInput(shardID(0), atSequence(types.ShardIteratorTypeLatest, sequences[0])))
		c.Code("get shard iterator", err, "InvalidArgumentException")
	}},
}

// spaced makes a stream of one shard that holds the records "0", "1", "2" and gives the times at which they arrived, which are some way
// apart.
func spaced(c *check, k *kinesis.Client) (s stream, arrived []time.Time) {
	s = newStream(c, k, 1)
	for i := range 3 {
		s.put("k", fmt.Sprint(i))
		c.Sleep(50 * time.Millisecond)
	}
	for _, r := range s.read(shardID(0), horizon, 3) {
		arrived = append(arrived, *r.ApproximateArrivalTimestamp)
	}
	if len(arrived) != 3 || arrived[1].Sub(arrived[0]) < 2*time.Millisecond || arrived[2].Sub(arrived[1]) < 2*time.Millisecond {
		c.Fatalf("records put one after the other arrived at %v", arrived)
	}
	return s, arrived
}

// patientPut puts a record, again and again while the shard's rate is exceeded.
func (s stream) patientPut(key, data string) {
	for {
		_, err := s.PutRecord(s.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: &key, Data: []byte(data)})
		if exceeded := (*types.ProvisionedThroughputExceededException)(nil); !errors.As(err, &exceeded) {
			s.Must("put record", err)
			return
		}
		s.Sleep(time.Second)
	}
}

func refusesIterator(c *check, k *kinesis.Client, shard string, in from, code string) {
	s := newStream(c, k, 1)
	_, err := k.GetShardIterator(c.Context(), s.iteratorInput(shard, in))
	c.Code("get shard iterator", err, code)
}
