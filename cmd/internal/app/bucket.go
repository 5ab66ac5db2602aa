package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/fx"

	"tributary/sinks/rejects"
)

// CheckBucket refuses to start without the buckets of lake and rejects, or when
// one belongs to another account than it should. A bucket that may only be written
// to cannot be looked at: the start goes on.
func CheckBucket(lc fx.Lifecycle, s *Settings, objects *s3.Client, log *slog.Logger) {
	lc.Append(fx.StartHook(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		lake := bucketCheck{objects, "lake", s.Lake.Bucket, s.Lake.ExpectedBucketOwner}
		rejects := bucketCheck{objects, "lake.rejects", s.Lake.Rejects.Bucket, s.Lake.Rejects.ExpectedBucketOwner}
		if err := lake.run(ctx, log); err != nil || rejects.bucket == lake.bucket && rejects.owner == lake.owner {
			return err
		}
		return rejects.run(ctx, log)
	}))
}

// CheckRealtimeRejects does the same for the bucket of what CloudWatch Logs refuses.
func CheckRealtimeRejects(lc fx.Lifecycle, s *Settings, objects *s3.Client, log *slog.Logger) {
	checkRejects(lc, "realtime", s.Realtime.Rejects, objects, log)
}

// CheckTreasureDataRejects does the same for the bucket of what Treasure Data refuses.
func CheckTreasureDataRejects(lc fx.Lifecycle, s *Settings, objects *s3.Client, log *slog.Logger) {
	checkRejects(lc, "treasuredata", s.TreasureData.Rejects, objects, log)
}

func checkRejects(lc fx.Lifecycle, section string, r rejects.Config, objects *s3.Client, log *slog.Logger) {
	lc.Append(fx.StartHook(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		return bucketCheck{objects, section + ".rejects", r.Bucket, r.ExpectedBucketOwner}.run(ctx, log)
	}))
}

// bucketCheck looks at one bucket, which section of the configuration names.
type bucketCheck struct {
	client                 *s3.Client
	section, bucket, owner string
}

func (c bucketCheck) run(ctx context.Context, log *slog.Logger) error {
	err := c.head(ctx, c.owner)
	switch code := answerStatus(err); {
	case err == nil:
		return nil
	case code == http.StatusNotFound:
		return Faultf("bucket %s does not exist: create it, or set %s.bucket", c.bucket, c.section)
	case code == http.StatusMovedPermanently:
		return Faultf("bucket %s lies in another region: set aws.region", c.bucket)
	case code == http.StatusForbidden && c.owner != "" && c.head(ctx, "") == nil:
		// Asked without an owner it answers, so the owner is what it refused.
		return Faultf("bucket %s does not belong to account %s: set %s.bucket or %s.expected_bucket_owner", c.bucket, c.owner, c.section, c.section)
	case code == http.StatusForbidden:
		log.Warn("bucket may not be looked at, starting all the same: s3:ListBucket is missing, or it belongs to another account",
			"bucket", c.bucket, "expected_owner", c.owner, "err", err)
		return nil
	}
	log.Warn("bucket not looked at, starting all the same", "bucket", c.bucket, "err", err)
	return nil
}

func (c bucketCheck) head(ctx context.Context, owner string) error {
	in := &s3.HeadBucketInput{Bucket: aws.String(c.bucket)}
	if owner != "" {
		in.ExpectedBucketOwner = aws.String(owner)
	}
	_, err := c.client.HeadBucket(ctx, in)
	return err
}

// answerStatus is the HTTP status of a service's answer, 0 if there was none.
func answerStatus(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
