package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Lister names what is there.
type Lister interface {
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// List calls each for one page of a listing after the other, until it returns an
// error.
func (o Options) List(ctx context.Context, api Lister, in *s3.ListObjectsV2Input, each func(*s3.ListObjectsV2Output) error) error {
	for {
		out, err := o.Page(ctx, api, in)
		if err != nil {
			return err
		}
		if err := each(out); err != nil {
			return err
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// Page is one page of a listing. It is asked for patiently.
func (o Options) Page(ctx context.Context, api Lister, in *s3.ListObjectsV2Input) (out *s3.ListObjectsV2Output, err error) {
	in.ExpectedBucketOwner = o.owner()
	err = Patiently(ctx, func() (err error) {
		ctx, cancel := o.Attempt(ctx, 0)
		defer cancel()
		out, err = api.ListObjectsV2(ctx, in, once)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list s3://%s/%s: %w", aws.ToString(in.Bucket), aws.ToString(in.Prefix), o.explain(err))
	}
	return out, nil
}

// A request is tried up to tries times, after waits from firstWait on that double:
// 13 seconds in all.
const (
	tries     = 7
	firstWait = 200 * time.Millisecond
)

// Patiently repeats what may succeed the next time. It is for commands that a person
// or a clock starts: what runs for ever has a patience of its own.
func Patiently(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		s := Status(err)
		final := s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests && s != http.StatusConflict
		if err == nil || errors.Is(err, ErrExists) || final || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(firstWait << (try - 1)):
		}
	}
}
