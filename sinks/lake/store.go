package lake

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/sinks/objects"
)

// s3API is what the lake asks of an S3 client.
type s3API interface {
	objects.Putter
	objects.Getter
}

// store speaks to S3, one attempt per call: the engine repeats the whole flush,
// and names make that cheap.
type store struct {
	api     s3API
	options objects.Options
}

// create writes an object that must not be there yet; objects.ErrExists if it is.
func (s *store) create(ctx context.Context, bucket, key string, body []byte, contentType string, metadata map[string]string) error {
	return s.options.Create(ctx, s.api, objects.Object{Bucket: bucket, Key: key, Content: body, ContentType: contentType, Metadata: metadata})
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
	ctx, cancel := s.options.Attempt(ctx, 0)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if rng != "" {
		in.Range = &rng
	}
	out, err := s.options.Get(ctx, s.api, in)
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
