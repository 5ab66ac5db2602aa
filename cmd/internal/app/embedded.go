package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/fx"

	"tributary/deploy/local"
	"tributary/stream"
)

// localKey is any key: the embedded Treasure Data takes each.
const localKey = "1/local"

// Embedded provides the clients of the endpoints in this process. They are the
// same clients as AWS's; only address and credentials differ.
var Embedded = fx.Options(
	fx.Provide(func(s *Settings) aws.Config {
		return withTransport(aws.Config{
			Region:       s.AWS.Region,
			BaseEndpoint: aws.String("http://" + s.Local.Listen),
			Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
			// What LoadDefaultConfig sets, so that the requests are those of production.
			RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
			ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		})
	}),
	clients,
)

// RunEndpoints serves the embedded endpoints and makes stream and buckets when
// they are missing.
func RunEndpoints(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, s *Settings, k *kinesis.Client, objects *s3.Client, log *slog.Logger) {
	ready := make(chan struct{})
	Run(lc, sd, out, "local endpoints", ready, func(ctx context.Context) (err error) {
		e, err := local.Open(s.Local.Config, log)
		if errors.Is(err, local.ErrLocked) {
			return Faultf("data directory %s is in use by another process: stop that one, or set local.dir (flag --dir)", s.Local.Dir)
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, e.Close()) }()
		ln, err := net.Listen("tcp", s.Local.Listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		close(ready)
		return e.Run(ctx, ln)
	})
	lc.Append(fx.StartHook(func(ctx context.Context) error {
		return errors.Join(makeStream(ctx, k, s), makeBucket(ctx, objects, s.Lake.Bucket), makeBucket(ctx, objects, s.Lake.Rejects.Bucket), makeBucket(ctx, objects, s.Realtime.Rejects.Bucket),
			makeBucket(ctx, objects, s.TreasureData.Rejects.Bucket))
	}))
}

func makeStream(ctx context.Context, k *kinesis.Client, s *Settings) error {
	name := aws.String(s.Stream.Name)
	_, err := k.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(int32(s.Local.Shards))})
	var exists *ktypes.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("make stream %s: %w", s.Stream.Name, err)
	}
	for {
		d, err := stream.Describe(ctx, k, s.Stream.Ref)
		if err != nil {
			return err
		}
		if d.Status == string(ktypes.StreamStatusActive) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for stream %s: %w", s.Stream.Name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func makeBucket(ctx context.Context, objects *s3.Client, bucket string) error {
	if _, err := objects.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(bucket)}); err == nil {
		return nil
	}
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return fmt.Errorf("make bucket %s: %w", bucket, err)
	}
	return nil
}
