package contract_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

type s3Case = testCase[objects]

var s3Suite = suite[objects]{
	service: "S3",
	client:  newObjects,
	servers: []server{localServer, versitygw, awsServer},
	cases: slices.Concat(objectCases, keyCases(), missingCases(), rangeCases(), conditionalReadCases, conditionalWriteCases(), objectRaceCases,
		checksumCases(), trailerCases(), listCases(), deleteCases, bucketCases, uploadCases, wrongUploadCases,
		storageClassCases(), storageCases, ownerCases()),
}

func TestS3(t *testing.T) { s3Suite.run(t) }

// objects is a client and a bucket that the cases of one server share: each case writes under keys that begin with a name of its own and
// may leave them behind.
type objects struct {
	*s3.Client
	bucket  *string
	account string
}

func newObjects(t *testing.T, cfg aws.Config) objects {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil })
	o := objects{client, new((&check{}).Name()), accountOf(t, cfg)}
	if _, err := o.CreateBucket(t.Context(), o.bucketInput(*o.bucket)); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	if cfg.BaseEndpoint != nil {
		return o // the bucket goes with the server's directory
	}
	t.Cleanup(func() { // the test's own context has ended by now
		ctx, cancel := context.WithTimeout(context.Background(), cleanupPatience)
		defer cancel()
		if err := o.drop(ctx); err != nil {
			t.Errorf("delete bucket: %v", err)
		}
	})
	return o
}

// bucketInput names the client's region, as the service demands everywhere but in its first one.
func (o objects) bucketInput(name string) *s3.CreateBucketInput {
	in := &s3.CreateBucketInput{Bucket: &name}
	if region := o.Options().Region; region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	return in
}

// drop deletes the bucket with all that is in it.
func (o objects) drop(ctx context.Context) error {
	for p := s3.NewListObjectsV2Paginator(o.Client, &s3.ListObjectsV2Input{Bucket: o.bucket}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, found := range page.Contents {
			if _, err := o.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: o.bucket, Key: found.Key}); err != nil {
				return err
			}
		}
	}
	_, err := o.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: o.bucket})
	return err
}

// newBucket makes a bucket. It is deleted when the case ends, with what is in it.
func (o objects) newBucket(c *check) objects {
	own := objects{o.Client, new(c.Name()), o.account}
	_, err := o.CreateBucket(c.Context(), o.bucketInput(*own.bucket))
	c.Must("create bucket", err)
	c.Cleanup(func(ctx context.Context) { _ = own.drop(ctx) }) // it may be gone
	return own
}

// put stores an object, or ends the case.
func (o objects) put(c *check, key, body string) {
	_, err := o.tryPut(c, key, body, nil)
	c.Must("put object "+key, err)
}

func (o objects) tryPut(c *check, key, body string, change func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	in := &s3.PutObjectInput{Bucket: o.bucket, Key: &key, Body: strings.NewReader(body)}
	if change != nil {
		change(in)
	}
	return o.PutObject(c.Context(), in)
}

// holds notes a fault unless the object is there with this content.
func (o objects) holds(c *check, key, want string) {
	got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key})
	c.Must("get object "+key, err)
	c.Equal("content of "+key, digest(got.content), digest(want))
}

// lacks notes a fault if the object is there.
func (o objects) lacks(c *check, key string) {
	_, err := o.HeadObject(c.Context(), &s3.HeadObjectInput{Bucket: o.bucket, Key: &key})
	c.Code("head object "+key, err, "NotFound")
}

type answer struct {
	*s3.GetObjectOutput
	content string
}

func (o objects) tryGet(c *check, in *s3.GetObjectInput) (answer, error) {
	in.Bucket = o.bucket
	out, err := o.GetObject(c.Context(), in)
	if err != nil {
		return answer{}, err
	}
	content, err := io.ReadAll(out.Body)
	return answer{out, string(content)}, errors.Join(err, out.Body.Close())
}

func (o objects) head(c *check, key string) *s3.HeadObjectOutput {
	out, err := o.HeadObject(c.Context(), &s3.HeadObjectInput{Bucket: o.bucket, Key: &key})
	c.Must("head object "+key, err)
	return out
}

// digest shows a short text as it is and a long one by its length and sum.
func digest(content string) string {
	if len(content) < 100 {
		return fmt.Sprintf("%q", content)
	}
	return fmt.Sprintf("%d bytes, md5 %x", len(content), md5.Sum([]byte(content)))
}

func etagOf(content string) string {
	sum := md5.Sum([]byte(content))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
