package contract_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// pollEvery keeps within the five reads a second that a shard allows.
const pollEvery = 250 * time.Millisecond

type kinesisCase = testCase[*kinesis.Client]

var kinesisSuite = suite[*kinesis.Client]{
	service: "Kinesis",
	client:  func(_ *testing.T, cfg aws.Config) *kinesis.Client { return kinesis.NewFromConfig(cfg) },
	servers: []server{localServer, kinesisLocal, awsServer},
	cases:   slices.Concat(streamCases, putCases, readCases, shardCases, reshardCases, mergeCases, resizeCases, consumerCases, subscribeCases),
}

func TestKinesis(t *testing.T) { kinesisSuite.run(t) }

// A stream is one that a case made for itself, and the client to use it. Its methods end the case when a call fails.
type stream struct {
	*check
	*kinesis.Client
	name *string
}

// newStream makes a stream and waits until it can be used. It is deleted when the case ends.
func newStream(c *check, client *kinesis.Client, shards int32) stream {
	s := stream{c, client, aws.String(c.Name())}
	s.create(&kinesis.CreateStreamInput{ShardCount: &shards})
	return s
}

// create makes the stream as in says, which need not name it.
func (s stream) create(in *kinesis.CreateStreamInput) {
	in.StreamName = s.name
	_, err := s.CreateStream(s.Context(), in)
	s.Must("create stream", err)
	s.Cleanup(func(ctx context.Context) { // what fails here has failed in the case, or the stream is gone
		_, _ = s.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: s.name, EnforceConsumerDeletion: aws.Bool(true)})
	})
	s.untilActive()
}

func (s stream) describe() *types.StreamDescriptionSummary {
	out, err := s.DescribeStreamSummary(s.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: s.name})
	s.Must("describe stream", err)
	return out.StreamDescriptionSummary
}

func (s stream) untilActive() {
	for wait := 10 * time.Millisecond; s.describe().StreamStatus != types.StreamStatusActive; wait = min(2*wait, 2*time.Second) {
		s.Sleep(wait)
	}
}

// delete deletes the stream and waits until it is gone.
func (s stream) delete() {
	_, err := s.DeleteStream(s.Context(), &kinesis.DeleteStreamInput{StreamName: s.name})
	s.Must("delete stream", err)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		_, err := s.DescribeStreamSummary(s.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: s.name})
		if gone := (*types.ResourceNotFoundException)(nil); errors.As(err, &gone) {
			return
		}
		s.Must("describe stream", err)
		s.Sleep(wait)
	}
}

// remake deletes the stream and makes another one of one shard under its name.
func (s stream) remake() {
	s.delete()
	s.create(&kinesis.CreateStreamInput{ShardCount: aws.Int32(1)})
}

func (s stream) put(key, data string) string {
	out, err := s.PutRecord(s.Context(), &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: &key, Data: []byte(data)})
	s.Must("put record", err)
	return *out.SequenceNumber
}

func (s stream) shards(filter *types.ShardFilter) []types.Shard {
	out, err := s.ListShards(s.Context(), &kinesis.ListShardsInput{StreamName: s.name, ShardFilter: filter})
	s.Must("list shards", err)
	return out.Shards
}

// split divides a shard in the middle of its hash range and waits until that is done.
func (s stream) split(id string) {
	for _, shard := range s.shards(nil) {
		if *shard.ShardId == id {
			s.Must("split shard", s.splitAt(id, middle(shard)))
			s.untilActive()
			return
		}
	}
	s.Fatalf("no shard %s to split", id)
}

func (s stream) splitAt(id, hashKey string) error {
	_, err := s.SplitShard(s.Context(), &kinesis.SplitShardInput{StreamName: s.name, ShardToSplit: &id, NewStartingHashKey: &hashKey})
	return err
}

// from is the beginning of a reading.
type from = kinesis.GetShardIteratorInput

var (
	horizon = from{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	latest  = from{ShardIteratorType: types.ShardIteratorTypeLatest}
)

func atSequence(kind types.ShardIteratorType, sequence string) from {
	return from{ShardIteratorType: kind, StartingSequenceNumber: &sequence}
}

func atTime(at time.Time) from {
	return from{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &at}
}

func (s stream) iteratorInput(shard string, in from) *kinesis.GetShardIteratorInput {
	in.StreamName, in.ShardId = s.name, &shard
	return &in
}

func (s stream) iterator(shard string, in from) *string {
	out, err := s.GetShardIterator(s.Context(), s.iteratorInput(shard, in))
	s.Must("get shard iterator", err)
	return out.ShardIterator
}

func (s stream) get(iterator *string, limit int32) *kinesis.GetRecordsOutput {
	in := &kinesis.GetRecordsInput{ShardIterator: iterator}
	if limit > 0 {
		in.Limit = &limit
	}
	out, err := s.GetRecords(s.Context(), in)
	s.Must("get records", err)
	return out
}

// read gives the records from there on, as follow does.
func (s stream) read(shard string, in from, want int) []types.Record {
	return s.follow(s.iterator(shard, in), want)
}

// follow gives the records from the iterator to the tip, or to the end of a closed shard, asking on until an answer says that the tip is
// reached and at least want records are there: the service may answer with nothing while there is more to come.
func (s stream) follow(it *string, want int) (records []types.Record) {
	for it != nil {
		out := s.get(it, 0)
		records = append(records, out.Records...)
		if *out.MillisBehindLatest == 0 && len(records) >= want {
			return records
		}
		it = out.NextShardIterator
		if len(out.Records) == 0 {
			s.Sleep(pollEvery)
		}
	}
	return records
}

// numbered makes a stream of one shard that holds the records "0", "1", … and gives their sequence numbers.
func numbered(c *check, k *kinesis.Client, n int) (s stream, sequences []string) {
	s = newStream(c, k, 1)
	for i := range n {
		sequences = append(sequences, s.put("k", fmt.Sprint(i)))
	}
	return s, sequences
}

func data(records []types.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Data))
	}
	return all
}

// ids are the last two digits of the shards' numbers, which is how cases speak of them.
func ids(shards []types.Shard) (all []string) {
	for _, s := range shards {
		all = append(all, (*s.ShardId)[max(0, len(*s.ShardId)-2):])
	}
	return all
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }

func entry(key, data string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data)}
}

// number reads a sequence number or a hash key.
func number(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		panic("not a number: " + text)
	}
	return n
}

func middle(s types.Shard) string {
	n := new(big.Int).Add(number(*s.HashKeyRange.StartingHashKey), number(*s.HashKeyRange.EndingHashKey))
	return n.Rsh(n, 1).Add(n, big.NewInt(1)).String()
}
