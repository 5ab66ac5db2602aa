package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// streamName is the stream that the endpoints make.
const streamName = "tributary"

func awsConfig(addr string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + addr), Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
}

// reshard does a step and says what it did. It takes as long as the service is away
// or busy; ctx bounds it.
func (s *System) reshard(ctx context.Context, step Step) (done string, err error) {
	switch step.Verb {
	case Split:
		shard, err := s.split(ctx, step.Pick)
		return "split " + shard, err
	case Merge:
		low, high, err := s.merge(ctx, step.Pick)
		return fmt.Sprintf("merge %s and %s", low, high), err
	default:
		return fmt.Sprintf("resize to %d", step.Shards), s.resize(ctx, step.Shards)
	}
}

// split splits the open shard with index pick, modulo their number, in its middle,
// and returns its name.
func (s *System) split(ctx context.Context, pick uint64) (string, error) {
	open, err := s.openShards(ctx)
	if err != nil {
		return "", err
	}
	shard := open[pick%uint64(len(open))]
	in := &kinesis.SplitShardInput{
		StreamName: aws.String(streamName), ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle(shard.HashKeyRange)),
	}
	return *shard.ShardId, s.untilClosed(ctx, *shard.ShardId, func() error {
		_, err := s.kinesis.SplitShard(ctx, in)
		return err
	})
}

// merge merges the pair of open neighbours with index pick, modulo their number, and
// returns their names.
func (s *System) merge(ctx context.Context, pick uint64) (low, high string, err error) {
	open, err := s.openShards(ctx)
	if err != nil || len(open) < 2 {
		return "", "", errors.Join(err, fmt.Errorf("%d shards are open", len(open)))
	}
	slices.SortFunc(open, func(a, b types.Shard) int {
		return bigInt(a.HashKeyRange.StartingHashKey).Cmp(bigInt(b.HashKeyRange.StartingHashKey))
	})
	i := pick % uint64(len(open)-1)
	in := &kinesis.MergeShardsInput{StreamName: aws.String(streamName), ShardToMerge: open[i].ShardId, AdjacentShardToMerge: open[i+1].ShardId}
	return *in.ShardToMerge, *in.AdjacentShardToMerge, s.untilClosed(ctx, *in.ShardToMerge, func() error {
		_, err := s.kinesis.MergeShards(ctx, in)
		return err
	})
}

// untilClosed asks again until a shard is closed.
func (s *System) untilClosed(ctx context.Context, shard string, ask func() error) error {
	return untilDone(ctx, func() (bool, error) {
		err := ask()
		if err == nil {
			return true, nil
		}
		now, listErr := s.listShards(ctx)
		if listErr != nil {
			return false, errors.Join(err, listErr)
		}
		// Perhaps only the answer was lost.
		closed := !slices.ContainsFunc(openOf(now), func(o types.Shard) bool { return *o.ShardId == shard })
		return closed, err
	})
}

// resize goes to a number of equal shards and returns when the stream has them.
func (s *System) resize(ctx context.Context, shards int) error {
	in := &kinesis.UpdateShardCountInput{
		StreamName: aws.String(streamName), TargetShardCount: aws.Int32(int32(shards)), ScalingType: types.ScalingTypeUniformScaling,
	}
	asked := false
	return untilDone(ctx, func() (bool, error) {
		if !asked {
			_, err := s.kinesis.UpdateShardCount(ctx, in)
			// In use it is by this very resize, the answer to which was lost.
			var busy *types.ResourceInUseException
			asked = err == nil || errors.As(err, &busy)
			return false, err
		}
		out, err := s.kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: in.StreamName})
		if err != nil {
			return false, err
		}
		d := out.StreamDescriptionSummary
		return d.StreamStatus == types.StreamStatusActive && int(*d.OpenShardCount) == shards, nil
	})
}

// openShards are in the order of their names.
func (s *System) openShards(ctx context.Context) (open []types.Shard, err error) {
	err = untilDone(ctx, func() (bool, error) {
		all, err := s.listShards(ctx)
		open = openOf(all)
		return err == nil, err
	})
	return open, err
}

func openOf(shards []types.Shard) (open []types.Shard) {
	for _, shard := range shards {
		if shard.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, shard)
		}
	}
	return open
}

// listShards are all, in the order of their names.
func (s *System) listShards(ctx context.Context) (all []types.Shard, err error) {
	in := &kinesis.ListShardsInput{StreamName: aws.String(streamName)}
	for {
		out, err := s.kinesis.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Shards...)
		if out.NextToken == nil {
			slices.SortFunc(all, func(a, b types.Shard) int { return cmp.Compare(*a.ShardId, *b.ShardId) })
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// parentsOf are one after a split, two after a merge.
func parentsOf(shard types.Shard) (parents []string) {
	for _, p := range []*string{shard.ParentShardId, shard.AdjacentParentShardId} {
		if p != nil {
			parents = append(parents, *p)
		}
	}
	return parents
}

// middle is the first key of the upper half.
func middle(r *types.HashKeyRange) string {
	from, to := bigInt(r.StartingHashKey), bigInt(r.EndingHashKey)
	half := to.Sub(to, from)
	return from.Add(from, half.Rsh(half, 1)).String()
}

func bigInt(decimal *string) *big.Int {
	n, ok := new(big.Int).SetString(*decimal, 10)
	if !ok {
		panic("the service gave a hash key that is no number: " + *decimal)
	}
	return n
}
