package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// s3API is what the lake asks of an S3 client.
type s3API interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// errExists is a PUT's answer that the key is taken.
var errExists = errors.New("object exists")

// store speaks to S3, one attempt per call: the engine repeats the whole flush,
// and names make that cheap.
type store struct {
	api     s3API
	timeout time.Duration
}

// once keeps the client from repeating a request inside one attempt, where the
// time-out of the attempt would cut the repetition short anyway.
func once(o *s3.Options) {
	o.RetryMaxAttempts = 1
	// Part of an object has no checksum to validate; the client would say so each time.
	o.DisableLogOutputChecksumValidationSkipped = true
}

// attempt bounds one request. Large bodies get a second more per MiB, because a
// fixed bound would make them fail for ever over a slow line.
func (s *store) attempt(ctx context.Context, body int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout+time.Duration(body>>20)*time.Second)
}

// create writes an object that must not be there yet; errExists if it is. Every
// other error leaves open whether the object was, or will be, written.
func (s *store) create(ctx context.Context, bucket, key string, body []byte, contentType string, metadata map[string]string) error {
	ctx, cancel := s.attempt(ctx, len(body))
	defer cancel()
	_, err := s.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket:        &bucket,
		Key:           &key,
		Body:          bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))),
		ContentType:   &contentType,
		IfNoneMatch:   aws.String("*"),
		Metadata:      metadata,
	}, once)
	switch {
	case err == nil:
		return nil
	case status(err) == http.StatusPreconditionFailed:
		return errExists
	}
	return fmt.Errorf("put %s/%s: %w", bucket, key, err)
}

// stored is what S3 says of an object, with its last bytes.
type stored struct {
	tail     []byte
	size     int64
	metadata map[string]string
}

// tail reads the last n bytes of an object, all of it when it is shorter.
func (s *store) tail(ctx context.Context, bucket, key string, n int64) (stored, error) {
	got, err := s.get(ctx, bucket, key, n, "bytes=-"+strconv.FormatInt(n, 10))
	if err != nil {
		return stored{}, fmt.Errorf("read the end of %s/%s: %w", bucket, key, err)
	}
	return got, nil
}

// get reads at most limit bytes; an answer with more is an error.
func (s *store) get(ctx context.Context, bucket, key string, limit int64, rng string) (stored, error) {
	ctx, cancel := s.attempt(ctx, 0)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if rng != "" {
		in.Range = &rng
	}
	out, err := s.api.GetObject(ctx, in, once)
	if err != nil {
		return stored{}, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err != nil {
		return stored{}, err
	}
	if int64(len(body)) > limit {
		return stored{}, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	size := int64(len(body))
	if out.ContentRange != nil {
		if size, err = rangeTotal(*out.ContentRange); err != nil {
			return stored{}, err
		}
	}
	return stored{body, size, out.Metadata}, nil
}

// rangeTotal reads the size out of "bytes 100-199/200".
func rangeTotal(contentRange string) (int64, error) {
	_, total, _ := strings.Cut(contentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("content range %q: %w", contentRange, err)
	}
	return size, nil
}

// status is the HTTP status of S3's answer, 0 if there was none.
func status(err error) int {
	var re *awshttp.ResponseError
	if errors.As(err, &re) {
		return re.HTTPStatusCode()
	}
	return 0
}
