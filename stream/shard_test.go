package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream"
)

// shard is one shard in memory, on the clock of the test's bubble. An iterator is
// the index of a record, the time it was made, and lives five minutes.
type shard struct {
	mu       sync.Mutex
	records  []types.Record
	closed   bool
	children []string
	limit    int // records in one answer
	fail     func(call int) error
	began    time.Time
	calls    []time.Duration // of GetRecords
	limits   []int32         // asked for by them
	located  []*kinesis.GetShardIteratorInput
	behind   int64     // MillisBehindLatest of empty answers
	reopened time.Time // iterators from before are unknown
	created  time.Time // of the stream, if not began
	looks    int       // of DescribeStreamSummary
	overlap  int       // an iterator by sequence number begins so many records too early
}

func newShard() *shard { return &shard{limit: 10_000, began: time.Now()} }

// write appends records that arrive now; their sequence numbers are 8, 9, 10 …,
// because "10" < "9" as text.
func (s *shard) write(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range lines {
		s.records = append(s.records, types.Record{
			SequenceNumber:              aws.String(fmt.Sprint(8 + len(s.records))),
			ApproximateArrivalTimestamp: aws.Time(time.Now()),
			Data:                        []byte(line),
		})
	}
}

// change sets something while a Reader calls.
func (s *shard) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// made are the times of the GetRecords calls so far.
func (s *shard) made() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *shard) asked() []int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.limits)
}

func (s *shard) lastLocated() *kinesis.GetShardIteratorInput {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.located[len(s.located)-1]
}

func (s *shard) GetShardIterator(_ context.Context, in *kinesis.GetShardIteratorInput, _ ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.located = append(s.located, in)
	first := func(match func(types.Record) bool) int {
		if i := slices.IndexFunc(s.records, match); i >= 0 {
			return i
		}
		return len(s.records)
	}
	var at int
	switch in.ShardIteratorType {
	case types.ShardIteratorTypeLatest:
		at = len(s.records)
	case types.ShardIteratorTypeAtTimestamp:
		if in.Timestamp.After(time.Now()) {
			return nil, &types.InvalidArgumentException{Message: aws.String("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis.")}
		}
		at = first(func(r types.Record) bool { return !r.ApproximateArrivalTimestamp.Before(*in.Timestamp) })
	case types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber:
		if *in.StartingSequenceNumber == "666" {
			return nil, &types.InvalidArgumentException{Message: aws.String("StartingSequenceNumber 666 is invalid")}
		}
		order := 0
		if in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber {
			order = 1
		}
		at = first(func(r types.Record) bool {
			return stream.SequenceNumber(*r.SequenceNumber).Compare(stream.SequenceNumber(*in.StartingSequenceNumber)) >= order
		})
		at = max(0, at-s.overlap)
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: s.iterator(at)}, nil
}

func (s *shard) iterator(at int) *string {
	return aws.String(fmt.Sprint(at, " ", time.Now().UnixNano()))
}

func (s *shard) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, time.Since(s.began))
	s.limits = append(s.limits, *in.Limit)
	if s.fail != nil {
		if err := s.fail(len(s.calls)); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var at int
	var made int64
	fmt.Sscan(*in.ShardIterator, &at, &made)
	if time.Unix(0, made).Before(s.reopened) {
		return nil, &types.InvalidArgumentException{Message: aws.String("Invalid ShardIterator.")}
	}
	if time.Since(time.Unix(0, made)) > 5*time.Minute {
		return nil, &types.ExpiredIteratorException{Message: aws.String("iterator expired")}
	}
	end := min(at+s.limit, at+int(*in.Limit), len(s.records))
	out := &kinesis.GetRecordsOutput{Records: slices.Clone(s.records[at:end]), MillisBehindLatest: aws.Int64(s.behind)}
	if end < len(s.records) {
		out.MillisBehindLatest = aws.Int64(max(1, time.Since(*s.records[end].ApproximateArrivalTimestamp).Milliseconds()))
	}
	if end == len(s.records) && s.closed {
		for _, id := range s.children {
			out.ChildShards = append(out.ChildShards, types.ChildShard{ShardId: aws.String(id)})
		}
		return out, nil
	}
	out.NextShardIterator = s.iterator(end)
	return out, nil
}

func (s *shard) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	created := s.created
	if created.IsZero() {
		created = s.began
	}
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &types.StreamDescriptionSummary{StreamCreationTimestamp: &created}}, nil
}

type reading struct {
	*stream.Reader
	t    *testing.T
	reg  *prometheus.Registry
	logs *bytes.Buffer
}

func read(t *testing.T, api *shard, from stream.Position, change ...func(*stream.ReaderConfig)) reading {
	t.Helper()
	cfg := stream.DefaultReaderConfig()
	for _, c := range change {
		c(&cfg)
	}
	reg := prometheus.NewRegistry()
	logs := new(bytes.Buffer)
	src, err := stream.NewSource(api, stream.Ref{Name: "logs"}, cfg, reg, slog.New(slog.NewTextHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	src.Pin(api.began)
	r, err := src.Open("shardId-0", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return reading{r, t, reg, logs}
}

// one waits for a record.
func (r reading) one() stream.Batch {
	r.t.Helper()
	for {
		b, err := r.Next(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if b.Sequence != "" {
			return b
		}
	}
}

// lines are the lines of the records that come, up to the first pause or the end.
func (r reading) lines() (lines []string, err error) {
	r.t.Helper()
	for {
		b, err := r.Next(r.t.Context())
		if err != nil || b.Sequence == "" {
			return lines, err
		}
		for _, e := range b.Events {
			lines = append(lines, string(e.Line))
		}
	}
}

func (r reading) want(want ...string) {
	r.t.Helper()
	got, err := r.lines()
	if err != nil {
		r.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("read %v, want %v", got, want)
	}
}
