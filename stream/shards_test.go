package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/stream"
)

// pages is a stream of many shards that lists two at a time.
type pages struct {
	shards  []types.Shard
	fail    func(call int, in *kinesis.ListShardsInput) error
	calls   int
	stuck   bool // every page names the same next one
	summary *types.StreamDescriptionSummary
}

func newPages(n int) *pages {
	p := &pages{}
	for i := range n {
		p.shards = append(p.shards, types.Shard{
			ShardId:             aws.String(fmt.Sprintf("shardId-%012d", i)),
			HashKeyRange:        &types.HashKeyRange{StartingHashKey: aws.String("0"), EndingHashKey: aws.String("9")},
			SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1")},
		})
	}
	return p
}

func (p *pages) ListShards(_ context.Context, in *kinesis.ListShardsInput, _ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	p.calls++
	if p.fail != nil {
		if err := p.fail(p.calls, in); err != nil {
			return nil, err
		}
	}
	if in.NextToken != nil && (in.StreamName != nil || in.StreamARN != nil) {
		return nil, &types.InvalidArgumentException{Message: aws.String("NextToken and StreamName cannot be provided together")}
	}
	var at int
	if in.NextToken != nil {
		fmt.Sscan(*in.NextToken, &at)
	}
	end := min(at+2, len(p.shards))
	out := &kinesis.ListShardsOutput{Shards: p.shards[at:end]}
	switch {
	case p.stuck:
		out.NextToken = aws.String("0")
	case end < len(p.shards):
		out.NextToken = aws.String(fmt.Sprint(end))
	}
	return out, nil
}

func (p *pages) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	if p.fail != nil {
		if err := p.fail(1, nil); err != nil {
			return nil, err
		}
	}
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: p.summary}, nil
}

var logs = stream.Ref{Name: "logs"}

func TestAListingIsCompleteOrAnError(t *testing.T) {
	expired := &types.ExpiredNextTokenException{Message: aws.String("token expired")}
	tests := map[string]struct {
		change    func(*pages)
		want      int // shards; 0: an error
		permanent bool
	}{
		"five shards on three pages": {func(*pages) {}, 5, false},
		"a token that expires once starts the listing again": {func(p *pages) {
			p.fail = func(call int, _ *kinesis.ListShardsInput) error {
				if call == 3 {
					return expired
				}
				return nil
			}
		}, 5, false},
		"a token that always expires": {func(p *pages) {
			p.fail = func(_ int, in *kinesis.ListShardsInput) error {
				if in.NextToken != nil {
					return expired
				}
				return nil
			}
		}, 0, false},
		"a page that fails": {func(p *pages) {
			p.fail = func(call int, _ *kinesis.ListShardsInput) error {
				if call == 2 {
					return errors.New("connection reset")
				}
				return nil
			}
		}, 0, false},
		"a stream that does not exist": {func(p *pages) {
			p.fail = func(int, *kinesis.ListShardsInput) error { return &types.ResourceNotFoundException{} }
		}, 0, true},
		"pages without end":               {func(p *pages) { p.stuck = true }, 0, false},
		"a shard without id":              {func(p *pages) { p.shards[3].ShardId = nil }, 0, false},
		"a shard without sequence number": {func(p *pages) { p.shards[3].SequenceNumberRange = nil }, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPages(5)
			test.change(p)
			shards, err := stream.ListShards(t.Context(), p, logs)
			if len(shards) != test.want || (err == nil) != (test.want > 0) {
				t.Fatalf("%d shards and error %v, want %d", len(shards), err, test.want)
			}
			if stream.IsPermanent(err) != test.permanent {
				t.Errorf("permanent %v: %v", !test.permanent, err)
			}
			for i, s := range shards {
				if want := stream.ShardID(fmt.Sprintf("shardId-%012d", i)); s.ID != want {
					t.Errorf("shard %d is %s", i, s.ID)
				}
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	created := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	summary := types.StreamDescriptionSummary{
		StreamARN: aws.String("arn:aws:kinesis:us-east-1:1:stream/logs"), StreamName: aws.String("logs"), StreamCreationTimestamp: &created,
		StreamStatus: types.StreamStatusActive, OpenShardCount: aws.Int32(3),
	}
	plain := stream.Description{ARN: "arn:aws:kinesis:us-east-1:1:stream/logs", Name: "logs", Created: created, Status: "ACTIVE", Shards: 3, MaxRecordBytes: 1 << 20}
	large, automatic := plain, plain
	large.MaxRecordBytes = 10 << 20
	automatic.Automatic = true
	tests := map[string]struct {
		change func(*types.StreamDescriptionSummary)
		want   stream.Description
	}{
		"a record is a MiB unless the stream says otherwise": {func(*types.StreamDescriptionSummary) {}, plain},
		"large records":          {func(s *types.StreamDescriptionSummary) { s.MaxRecordSizeInKiB = aws.Int32(10240) }, large},
		"automatic distribution": {func(s *types.StreamDescriptionSummary) { s.RecordDistributionStrategy = "AUTO" }, automatic},
		"distribution by key":    {func(s *types.StreamDescriptionSummary) { s.RecordDistributionStrategy = "USER_PARTITION_KEY" }, plain},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := summary
			test.change(&s)
			got, err := stream.Describe(t.Context(), &pages{summary: &s}, logs)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("a stream that does not exist is a permanent error", func(t *testing.T) {
		p := &pages{fail: func(int, *kinesis.ListShardsInput) error { return &types.ResourceNotFoundException{} }}
		if _, err := stream.Describe(t.Context(), p, logs); !stream.IsPermanent(err) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an empty answer is an error", func(t *testing.T) {
		if _, err := stream.Describe(t.Context(), &pages{}, logs); err == nil {
			t.Error("no error")
		}
	})
}

func TestAStreamHasANameOrAnARN(t *testing.T) {
	tests := map[string]struct {
		ref  stream.Ref
		want string // in the error
	}{
		"a name":           {stream.Ref{Name: "logs"}, ""},
		"an ARN":           {stream.Ref{ARN: "arn:aws:kinesis:us-east-1:1:stream/logs"}, ""},
		"neither":          {stream.Ref{}, "name or its arn"},
		"both":             {stream.Ref{Name: "logs", ARN: "arn:aws:kinesis:us-east-1:1:stream/logs"}, "not both"},
		"a name as an ARN": {stream.Ref{ARN: "logs"}, "not an ARN"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.ref.Validate()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestSequenceNumbersCompareAsNumbers(t *testing.T) {
	tests := []struct {
		a, b stream.SequenceNumber
		want int
	}{
		{"9", "10", -1}, {"10", "9", 1}, {"10", "10", 0}, {"", "1", -1}, {"", "", 0}, {"007", "7", 0},
		{"49590338271490256608559692538361571095921575989136588898", "49590338271490256608559692538361571095921575989136588899", -1},
	}
	for _, test := range tests {
		if got := test.a.Compare(test.b); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
