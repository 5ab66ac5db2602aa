package contract_test

import (
	"crypto/md5"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var putCases = []kinesisCase{
	{"a record goes to the shard that owns the MD5 of its key", routedByKey},
	{"an explicit hash key overrides the partition key", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		for _, shard := range s.shards(nil) {
			for _, hash := range []*string{shard.HashKeyRange.StartingHashKey, shard.HashKeyRange.EndingHashKey} {
				out, err := k.PutRecord(c.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: aws.String("k"), ExplicitHashKey: hash, Data: []byte("x")})
				c.Must("put with hash key "+*hash, err)
				c.Equal("shard of hash key "+*hash, *out.ShardId, *shard.ShardId)
			}
		}
	}},
	{"a hash key that is not decimal is not valid", func(c *check, k *kinesis.Client) { refusesHashKey(c, k, "0x1", "ValidationException") }},
	{"a hash key of 2^128 is an invalid argument", func(c *check, k *kinesis.Client) {
		refusesHashKey(c, k, "340282366920938463463374607431768211456", "InvalidArgumentException")
	}},
	{"a record is read as it was put", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		key, text := "ключ \"\\ \n<&>", "\x00\x01\xff{}\""
		sequence := s.put(key, text)
		got := s.read(shardID(0), horizon, 1)
		if len(got) != 1 {
			c.Fatalf("%d records", len(got))
		}
		c.Equal("key", *got[0].PartitionKey, key)
		c.Equal("data", got[0].Data, []byte(text))
		c.Equal("sequence number", *got[0].SequenceNumber, sequence)
		if time.Since(*got[0].ApproximateArrivalTimestamp).Abs() > 10*time.Minute {
			c.Errorf("arrived at %s", got[0].ApproximateArrivalTimestamp)
		}
	}},
	{"data may be empty", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.put("k", "")
		c.Equal("records", len(s.read(shardID(0), horizon, 1)), 1)
	}},
	{"a partition key has at least one character", func(c *check, k *kinesis.Client) {
		refuses(c, k, "ValidationException", entry("", "x"))
	}},
	{"a partition key has at most 256 characters", func(c *check, k *kinesis.Client) {
		refuses(c, k, "ValidationException", entry(strings.Repeat("é", 257), "x"))
	}},
	{"a partition key may have 256 characters of two bytes", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		key := strings.Repeat("é", 256)
		s.put(key, "x")
		got := s.read(shardID(0), horizon, 1)
		if len(got) != 1 || *got[0].PartitionKey != key {
			c.Errorf("got %v", got)
		}
	}},
	{"a request has at least one record", func(c *check, k *kinesis.Client) { refuses(c, k, "ValidationException") }},
	{"a request has at most 500 records", func(c *check, k *kinesis.Client) {
		refuses(c, k, "ValidationException", many(501, entry("k", "x"))...)
	}},
	{"a request may have 500 records", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		out, err := k.PutRecords(c.Context(), &kinesis.PutRecordsInput{StreamName: s.name, Records: many(500, entry("k", "x"))})
		c.Must("put records", err)
		c.Equal("failed records", *out.FailedRecordCount, 0)
		c.Equal("answers", len(out.Records), 500)
		c.Equal("records", len(s.read(shardID(0), horizon, 500)), 500)
	}},
	{"data and key may have 1 MiB together", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.put("key", strings.Repeat("x", 1<<20-3))
		got := s.read(shardID(0), horizon, 1)
		if len(got) != 1 || len(got[0].Data) != 1<<20-3 {
			c.Errorf("got %d records", len(got))
		}
	}},
	{"data and key have at most 1 MiB together", func(c *check, k *kinesis.Client) {
		// The documentation has the limit, but no word on the error.
		refuses(c, k, "ValidationException or InvalidArgumentException", entry("k", "x"), entry("key+", strings.Repeat("x", 1<<20-3)))
	}},
	{"a request has at most 10 MiB", func(c *check, k *kinesis.Client) {
		refuses(c, k, "ValidationException or InvalidArgumentException", many(11, entry("key", strings.Repeat("x", 1<<20-3)))...)
	}},
	{"a stream made for larger records takes them", func(c *check, k *kinesis.Client) {
		s := stream{c, k, aws.String(c.Name())}
		s.create(&kinesis.CreateStreamInput{ShardCount: aws.Int32(1), MaxRecordSizeInKiB: aws.Int32(1100)})
		s.put("k", strings.Repeat("x", 1100<<10-1))
		got := s.read(shardID(0), horizon, 1)
		if len(got) != 1 || len(got[0].Data) != 1100<<10-1 {
			c.Errorf("got %d records", len(got))
		}
		_, err := k.PutRecord(c.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: aws.String("k"), Data: make([]byte, 1100<<10)})
		c.Code("put more", err, "ValidationException", "InvalidArgumentException")
	}},
	{"a stream takes larger records once it is told to, and no longer when it is told again", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		_, err := s.putBytes(1100 << 10)
		c.Code("put too much", err, "ValidationException", "InvalidArgumentException")
		c.Must("raise the limit", s.limitRecords(2048))
		s.untilActive()
		c.Equal("limit", aws.ToInt32(s.describe().MaxRecordSizeInKiB), 2048)
		_, err = s.putBytes(1100 << 10)
		c.Must("put more", err)
		c.Must("lower the limit", s.limitRecords(1024))
		s.untilActive()
		c.Equal("limit", aws.ToInt32(s.describe().MaxRecordSizeInKiB), 1024)
		_, err = s.putBytes(1100 << 10)
		c.Code("put too much again", err, "ValidationException", "InvalidArgumentException")
		got := s.read(shardID(0), horizon, 1)
		if len(got) != 1 || len(got[0].Data) != 1100<<10 {
			c.Errorf("got %d records", len(got))
		}
	}},
	{"a record's limit is 1 to 10 MiB", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		c.Code("less than 1 MiB", s.limitRecords(1023), "ValidationException")
		c.Code("more than 10 MiB", s.limitRecords(10241), "ValidationException")
	}},
	{"a record's limit is changed only while the stream is ACTIVE", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 2)
		_, err := s.UpdateShardCount(c.Context(), resizeTo(s, 4))
		c.Must("update shard count", err)
		c.Code("raise the limit", s.limitRecords(2048), "ResourceInUseException")
		s.untilActive()
	}},
	{"the sequence numbers of a shard grow as numbers", func(c *check, k *kinesis.Client) {
		_, sequences := numbered(c, k, 5)
		grow(c, sequences)
	}},
	{"records of one call are read in the order of their sequence numbers", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		for range 3 {
			_, err := k.PutRecords(c.Context(), &kinesis.PutRecordsInput{StreamName: s.name, Records: many(20, entry("k", "x"))})
			c.Must("put records", err)
		}
		var sequences []string
		for _, r := range s.read(shardID(0), horizon, 60) {
			sequences = append(sequences, *r.SequenceNumber)
		}
		c.Equal("records", len(sequences), 60)
		grow(c, sequences)
	}},
	{"a record may be put after a sequence number", func(c *check, k *kinesis.Client) {
		s, sequences := numbered(c, k, 1)
		out, err := k.PutRecord(c.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: aws.String("k"), Data: []byte("1"), SequenceNumberForOrdering: &sequences[0]})
		c.Must("put record", err)
		grow(c, []string{sequences[0], *out.SequenceNumber})
	}},
	{"a record cannot be put after a sequence number of no stream", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		_, err := k.PutRecord(c.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: aws.String("k"), Data: []byte("1"), SequenceNumberForOrdering: aws.String("17")})
		c.Code("put record", err, "InvalidArgumentException")
	}},
}

func (s stream) putBytes(n int) (*kinesis.PutRecordOutput, error) {
	return s.PutRecord(s.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: aws.String("k"), Data: make([]byte, n)})
}

func (s stream) limitRecords(kib int32) error {
	_, err := s.UpdateMaxRecordSize(s.Context(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: s.describe().StreamARN, MaxRecordSizeInKiB: &kib})
	return err
}

func routedByKey(c *check, k *kinesis.Client) {
	s := newStream(c, k, 3)
	var entries []types.PutRecordsRequestEntry
	for i := range 50 {
		entries = append(entries, entry(fmt.Sprint("key ", i), fmt.Sprint(i)))
	}
	out, err := k.PutRecords(c.Context(), &kinesis.PutRecordsInput{StreamName: s.name, Records: entries})
	c.Must("put records", err)
	c.Equal("answers", len(out.Records), len(entries))
	for i, r := range out.Records {
		sum := md5.Sum([]byte(*entries[i].PartitionKey))
		hash := new(big.Int).SetBytes(sum[:])
		for _, shard := range s.shards(nil) {
			owns := number(*shard.HashKeyRange.StartingHashKey).Cmp(hash) <= 0 && hash.Cmp(number(*shard.HashKeyRange.EndingHashKey)) <= 0
			if owns != (*shard.ShardId == *r.ShardId) {
				c.Errorf("record %d with hash %s went to %s; %s owns it: %t", i, hash, *r.ShardId, *shard.ShardId, owns)
			}
		}
	}
}

// refuses asks that PutRecords refuses the records as a whole, and with one of the codes.
func refuses(c *check, k *kinesis.Client, codes string, records ...types.PutRecordsRequestEntry) {
	s := newStream(c, k, 1)
	if records == nil {
		records = []types.PutRecordsRequestEntry{}
	}
	_, err := k.PutRecords(c.Context(), &kinesis.PutRecordsInput{StreamName: s.name, Records: records})
	c.Code("put records", err, strings.Split(codes, " or ")...)
	c.Equal("records stored", len(s.read(shardID(0), horizon, 0)), 0)
}

func refusesHashKey(c *check, k *kinesis.Client, hash, code string) {
	bad := entry("k", "bad")
	bad.ExplicitHashKey = &hash
	refuses(c, k, code, entry("k", "good"), bad)
}

func many(n int, e types.PutRecordsRequestEntry) []types.PutRecordsRequestEntry {
	entries := make([]types.PutRecordsRequestEntry, n)
	for i := range entries {
		entries[i] = e
	}
	return entries
}

// grow asks that each sequence number is greater than the one before.
func grow(c *check, sequences []string) {
	for i := 1; i < len(sequences); i++ {
		if number(sequences[i]).Cmp(number(sequences[i-1])) <= 0 {
			c.Errorf("sequence number %s does not follow %s", sequences[i], sequences[i-1])
		}
	}
}
