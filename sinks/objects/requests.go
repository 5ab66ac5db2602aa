package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Putter, Getter and Header are what is asked of an S3 client.
type (
	// Putter writes.
	Putter interface {
		PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	}
	// Getter reads.
	Getter interface {
		GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	}
	// Header asks what is known of an object.
	Header interface {
		HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	}
)

// Object is what is to be created.
type Object struct {
	Bucket, Key string
	Content     []byte
	ContentType string
	Metadata    map[string]string
}

// ErrExists says that the key is taken.
var ErrExists = errors.New("object exists")

// Attempt bounds one request. Large bodies get a second more per MiB, because a
// fixed bound would make them fail for ever over a slow line.
func (o Options) Attempt(ctx context.Context, body int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, o.AttemptTimeout+time.Duration(body>>20)*time.Second)
}

// Create writes an object that must not be there yet; ErrExists if it is. Every
// other error leaves open whether the object was, or will be, written.
func (o Options) Create(ctx context.Context, api Putter, object Object) error {
	ctx, cancel := o.Attempt(ctx, len(object.Content))
	defer cancel()
	in := &s3.PutObjectInput{
		Bucket:               &object.Bucket,
		Key:                  &object.Key,
		Body:                 bytes.NewReader(object.Content),
		ContentLength:        aws.Int64(int64(len(object.Content))),
		ContentType:          &object.ContentType,
		IfNoneMatch:          aws.String("*"),
		Metadata:             object.Metadata,
		ServerSideEncryption: types.ServerSideEncryption(o.ServerSideEncryption),
		SSEKMSKeyId:          given(o.KMSKeyID),
		StorageClass:         types.StorageClass(o.StorageClass),
		ACL:                  types.ObjectCannedACL(o.ACL),
		ExpectedBucketOwner:  o.owner(),
	}
	if o.BucketKeyEnabled {
		in.BucketKeyEnabled = aws.Bool(true)
	}
	_, err := api.PutObject(ctx, in, once)
	switch {
	case err == nil:
		return nil
	case Status(err) == http.StatusPreconditionFailed:
		return ErrExists
	}
	return fmt.Errorf("put %s/%s: %w", object.Bucket, object.Key, o.explain(err))
}

// Get begins to read an object. The caller bounds it by Attempt and closes it.
func (o Options) Get(ctx context.Context, api Getter, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	in.ExpectedBucketOwner = o.owner()
	out, err := api.GetObject(ctx, in, once)
	return out, o.explain(err)
}

// Head asks for an object's metadata.
func (o Options) Head(ctx context.Context, api Header, bucket, key string) (map[string]string, error) {
	ctx, cancel := o.Attempt(ctx, 0)
	defer cancel()
	out, err := api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, ExpectedBucketOwner: o.owner()}, once)
	if err != nil {
		return nil, o.explain(err)
	}
	return out.Metadata, nil
}

// explain adds to a refusal what S3 does not say: its word is the same for
// another owner and for a missing right.
func (o Options) explain(err error) error {
	if err == nil || o.ExpectedBucketOwner == "" || Status(err) != http.StatusForbidden {
		return err
	}
	return fmt.Errorf("the bucket does not belong to account %s (expected_bucket_owner), or a right is missing: %w", o.ExpectedBucketOwner, err)
}

func (o Options) owner() *string { return given(o.ExpectedBucketOwner) }

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// once keeps the client from repeating a request inside one attempt, where the
// time-out of the attempt would cut the repetition short anyway: callers repeat
// what they do as a whole.
func once(o *s3.Options) {
	o.RetryMaxAttempts = 1
	// Part of an object has no checksum to validate; the client would say so each time.
	o.DisableLogOutputChecksumValidationSkipped = true
}

// Status is the HTTP status of S3's answer, 0 if there was none.
func Status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}
