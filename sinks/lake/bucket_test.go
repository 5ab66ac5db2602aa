package lake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// bucket is S3 as one test wants it: objects in memory, and a hook that sees
// each call before it happens and may replace its answer.
type bucket struct {
	mu      sync.Mutex
	objects map[string]blob
	calls   []string // "PUT key", "GET key"
	// fault returns what to do with a call; nil lets it through.
	fault func(call string) *answer
}

type blob struct {
	content  []byte
	metadata map[string]string
}

// answer comes in place of S3's. do tells whether the call happens all the
// same, as when only the answer was lost.
type answer struct {
	do  bool
	err error
}

func newBucket() *bucket { return &bucket{objects: map[string]blob{}} }

func answered(status int, code string) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      errors.New(code),
	}}
}

func (b *bucket) begin(call string) *answer {
	b.calls = append(b.calls, call)
	if b.fault == nil {
		return nil
	}
	return b.fault(call)
}

func (b *bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.begin("PUT " + *in.Key)
	if f != nil && !f.do {
		return nil, f.err
	}
	content, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	if aws.ToString(in.IfNoneMatch) != "*" {
		return nil, errors.New("test: a PUT that could overwrite")
	}
	key := *in.Bucket + "/" + *in.Key
	if _, taken := b.objects[key]; taken {
		return nil, answered(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	b.objects[key] = blob{content, in.Metadata}
	if f != nil {
		return nil, f.err
	}
	return &s3.PutObjectOutput{}, nil
}

func (b *bucket) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.begin("GET " + *in.Key); f != nil {
		return nil, f.err
	}
	o, ok := b.objects[*in.Bucket+"/"+*in.Key]
	if !ok {
		return nil, answered(http.StatusNotFound, "NoSuchKey")
	}
	out := &s3.GetObjectOutput{Metadata: o.metadata}
	content := o.content
	if suffix, ok := strings.CutPrefix(aws.ToString(in.Range), "bytes=-"); ok {
		n, err := strconv.Atoi(suffix)
		if err != nil {
			return nil, err
		}
		content = content[max(0, len(content)-n):]
		out.ContentRange = aws.String(fmt.Sprintf("bytes %d-%d/%d", len(o.content)-len(content), len(o.content)-1, len(o.content)))
	}
	out.Body = io.NopCloser(bytes.NewReader(content))
	return out, nil
}

// keys are the names of all objects, sorted, without the bucket.
func (b *bucket) keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for k := range b.objects {
		_, key, _ := strings.Cut(k, "/")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// content is an object's bytes in the bucket "logs".
func (b *bucket) content(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects["logs/"+key].content
}

// lakeClient is what a lake asks of its client.
type lakeClient interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}
