package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Shard is one shard of a stream, open or closed.
type Shard struct {
	ID ShardID
	// Parents are the parent and the adjacent parent: none for a shard of the
	// stream's beginning, one after a split, two after a merge. They may name shards
	// that retention has removed already.
	Parents []ShardID
	// Closed is true for a shard that takes no more records. What it holds can be
	// read until it is older than the retention.
	Closed      bool
	First, Last SequenceNumber // Last is empty while the shard is open
	// StartHash and EndHash are the 128-bit hash keys it owns, decimal, both ends
	// included.
	StartHash, EndHash string
}

type listShardsAPI interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
}

// listAttempts bounds how often a listing starts again. A token lives 300 s and a
// page comes in milliseconds: expiring three times in a row is no accident.
const listAttempts = 3

// ListShards returns every shard the stream still holds, in the order of the
// service. It is all or an error: a caller that saw a part only would take the
// missing shards for finished ones.
func ListShards(ctx context.Context, api listShardsAPI, ref Ref) ([]Shard, error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	var err error
	for range listAttempts {
		var shards []Shard
		if shards, err = listPages(ctx, api, ref); err == nil {
			return shards, nil
		}
		var expired *types.ExpiredNextTokenException
		if !errors.As(err, &expired) {
			break
		}
	}
	err = fmt.Errorf("list shards of %s: %w", ref, err)
	if isMissing(err) {
		err = Permanent(err)
	}
	return nil, err
}

func listPages(ctx context.Context, api listShardsAPI, ref Ref) ([]Shard, error) {
	var shards []Shard
	in := &kinesis.ListShardsInput{StreamName: ref.name(), StreamARN: ref.arn()}
	for {
		out, err := api.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range out.Shards {
			s, err := shardOf(&out.Shards[i])
			if err != nil {
				return nil, err
			}
			shards = append(shards, s)
		}
		if aws.ToString(out.NextToken) == "" {
			return shards, nil
		}
		if in.NextToken != nil && *in.NextToken == *out.NextToken {
			return nil, errors.New("the same page token came twice")
		}
		// A token stands for the stream; Kinesis refuses it together with a name.
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

func shardOf(s *types.Shard) (Shard, error) {
	if aws.ToString(s.ShardId) == "" || s.SequenceNumberRange == nil {
		return Shard{}, errors.New("incomplete answer: a shard without id or sequence numbers")
	}
	shard := Shard{
		ID:     ShardID(*s.ShardId),
		First:  SequenceNumber(aws.ToString(s.SequenceNumberRange.StartingSequenceNumber)),
		Last:   SequenceNumber(aws.ToString(s.SequenceNumberRange.EndingSequenceNumber)),
		Closed: s.SequenceNumberRange.EndingSequenceNumber != nil,
	}
	if s.HashKeyRange != nil {
		shard.StartHash = aws.ToString(s.HashKeyRange.StartingHashKey)
		shard.EndHash = aws.ToString(s.HashKeyRange.EndingHashKey)
	}
	for _, parent := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if p := aws.ToString(parent); p != "" {
			shard.Parents = append(shard.Parents, ShardID(p))
		}
	}
	return shard, nil
}
