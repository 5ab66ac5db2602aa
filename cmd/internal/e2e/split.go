package e2e

import (
	"context"
	"errors"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// streamName is the stream that the endpoints make.
const streamName = "tributary"

func newKinesis(addr string) *kinesis.Client {
	return kinesis.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + addr), Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// split splits the open shard with index pick, modulo their number, in its middle,
// and returns its name. It takes as long as the service is away; ctx bounds it.
func (s *System) split(ctx context.Context, pick uint64) (string, error) {
	open, err := s.openShards(ctx)
	if err != nil {
		return "", err
	}
	shard := open[pick%uint64(len(open))]
	in := &kinesis.SplitShardInput{
		StreamName: aws.String(streamName), ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle(shard.HashKeyRange)),
	}
	return *shard.ShardId, untilDone(ctx, func() (bool, error) {
		_, err := s.kinesis.SplitShard(ctx, in)
		if err == nil {
			return true, nil
		}
		now, listErr := s.openShards(ctx)
		if listErr != nil {
			return false, errors.Join(err, listErr)
		}
		// Perhaps only the answer was lost.
		split := !slices.ContainsFunc(now, func(o types.Shard) bool { return *o.ShardId == *shard.ShardId })
		return split, err
	})
}

// openShards are in the order of their names.
func (s *System) openShards(ctx context.Context) (open []types.Shard, err error) {
	err = untilDone(ctx, func() (bool, error) {
		open, err = s.listOpen(ctx)
		return err == nil, err
	})
	return open, err
}

func (s *System) listOpen(ctx context.Context) (open []types.Shard, err error) {
	in := &kinesis.ListShardsInput{StreamName: aws.String(streamName)}
	for {
		out, err := s.kinesis.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, shard := range out.Shards {
			if shard.SequenceNumberRange.EndingSequenceNumber == nil {
				open = append(open, shard)
			}
		}
		if out.NextToken == nil {
			return open, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// middle is the first key of the upper half.
func middle(r *types.HashKeyRange) string {
	var from, to big.Int
	from.SetString(*r.StartingHashKey, 10)
	to.SetString(*r.EndingHashKey, 10)
	half := to.Sub(&to, &from)
	return from.Add(&from, half.Rsh(half, 1)).String()
}
