package contract_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// An upload is one in parts that a case has begun, with the parts it has sent.
type upload struct {
	objects
	key, id *string
	parts   []types.CompletedPart
}

// begin starts an upload in parts. It is aborted when the case ends, unless it is over by then.
func (o objects) begin(c *check, key string, change func(*s3.CreateMultipartUploadInput)) upload {
	in := &s3.CreateMultipartUploadInput{Bucket: o.bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32}
	if change != nil {
		change(in)
	}
	out, err := o.CreateMultipartUpload(c.Context(), in)
	c.Must("create upload", err)
	u := upload{objects: o, key: &key, id: out.UploadId}
	c.Cleanup(func(ctx context.Context) {
		_, _ = o.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: o.bucket, Key: u.key, UploadId: u.id})
	})
	return u
}

func (u *upload) tryPart(c *check, number int32, content string, change func(*s3.UploadPartInput)) (*s3.UploadPartOutput, error) {
	in := &s3.UploadPartInput{Bucket: u.bucket, Key: u.key, UploadId: u.id, PartNumber: &number, Body: strings.NewReader(content)}
	if change != nil {
		change(in)
	}
	return u.UploadPart(c.Context(), in)
}

// part sends a part and notes it for the completion, or ends the case.
func (u *upload) part(c *check, number int32, content string) {
	out, err := u.tryPart(c, number, content, nil)
	c.Must("upload part", err)
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number, ChecksumCRC32: out.ChecksumCRC32})
}

func (u *upload) complete(c *check, change func(*s3.CompleteMultipartUploadInput)) (*s3.CompleteMultipartUploadOutput, error) {
	in := &s3.CompleteMultipartUploadInput{Bucket: u.bucket, Key: u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts}}
	if change != nil {
		change(in)
	}
	return u.CompleteMultipartUpload(c.Context(), in)
}

// refused notes a fault unless the completion is refused with code; the object must not be there.
func (u *upload) refused(c *check, code string) {
	_, err := u.complete(c, nil)
	c.Code("complete upload", err, code)
	u.lacks(c, *u.key)
}

// fullPart has the least bytes that a part before the last may have.
var fullPart = strings.Repeat("0123456789abcdef", 5<<20/16)

var uploadCases = []s3Case{
	{"parts become one object when they are complete", func(c *check, o objects) {
		u := o.begin(c, c.Name()+"/dir/big", func(in *s3.CreateMultipartUploadInput) {
			in.Metadata, in.ContentType = map[string]string{"rows": "3"}, aws.String("application/vnd.apache.parquet")
		})
		u.part(c, 1, fullPart)
		u.part(c, 2, "end")
		o.lacks(c, *u.key)
		c.Equal("list before", o.list(c, s3.ListObjectsV2Input{Prefix: u.key}), []string{})
		out, err := u.complete(c, nil)
		c.Must("complete upload", err)
		c.Equal("etag", *out.ETag, etagOfParts(fullPart, "end"))
		o.holds(c, *u.key, fullPart+"end")
		head := o.head(c, *u.key)
		c.Equal("etag in the head", *head.ETag, etagOfParts(fullPart, "end"))
		c.Equal("length", *head.ContentLength, len(fullPart)+3)
		c.Equal("metadata", head.Metadata, map[string]string{"rows": "3"})
		c.Equal("type", *head.ContentType, "application/vnd.apache.parquet")
		c.Equal("list after", o.list(c, s3.ListObjectsV2Input{Prefix: u.key}), []string{*u.key})
	}},
	{"parts may come in any order, with any numbers, and one instead of another", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 10_000, "end")
		last := u.parts[0]
		u.part(c, 7, "replaced by the next one")
		u.parts = nil
		u.part(c, 7, fullPart)
		u.parts = append(u.parts, last)
		_, err := u.complete(c, nil)
		c.Must("complete upload", err)
		o.holds(c, *u.key, fullPart+"end")
	}},
	{"an object has the parts that its completion names", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "not wanted")
		u.parts = nil
		u.part(c, 2, "wanted")
		_, err := u.complete(c, nil)
		c.Must("complete upload", err)
		o.holds(c, *u.key, "wanted")
	}},
	{"a completed upload replaces an object", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		o.put(c, *u.key, "old")
		u.part(c, 1, "new")
		_, err := u.complete(c, nil)
		c.Must("complete upload", err)
		o.holds(c, *u.key, "new")
	}},
	{"a completion with If-None-Match does not overwrite", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		o.put(c, *u.key, "first")
		u.part(c, 1, "second")
		_, err := u.complete(c, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = aws.String("*") })
		c.Code("complete upload", err, "PreconditionFailed")
		o.holds(c, *u.key, "first")
	}},
	{"a completion with If-None-Match creates", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "first")
		_, err := u.complete(c, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = aws.String("*") })
		c.Must("complete upload", err)
		o.holds(c, *u.key, "first")
	}},
	{"a completion with If-Match replaces only the object that is meant", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		o.put(c, *u.key, "first")
		u.part(c, 1, "second")
		_, err := u.complete(c, func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = new(etagOf("other")) })
		c.Code("complete upload", err, "PreconditionFailed")
		o.holds(c, *u.key, "first")
		u = o.begin(c, *u.key, nil)
		u.part(c, 1, "second")
		_, err = u.complete(c, func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = new(etagOf("first")) })
		c.Must("complete upload", err)
		o.holds(c, *u.key, "second")
	}},
	{"two uploads of one key do not mix", func(c *check, o objects) {
		key := c.Name()
		one, two := o.begin(c, key, nil), o.begin(c, key, nil)
		one.part(c, 1, "one")
		two.part(c, 1, "two")
		_, err := one.complete(c, nil)
		c.Must("complete the first", err)
		o.holds(c, key, "one")
		_, err = two.complete(c, nil)
		c.Must("complete the second", err)
		o.holds(c, key, "two")
	}},
}

// etagOfParts is the MD5 of the parts' MD5s and their number.
func etagOfParts(parts ...string) string {
	all := md5.New()
	for _, p := range parts {
		sum := md5.Sum([]byte(p))
		_, _ = all.Write(sum[:])
	}
	return fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(all.Sum(nil)), len(parts))
}

var wrongUploadCases = []s3Case{
	{"a part before the last that is too small is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, fullPart[1:])
		u.part(c, 2, "end")
		u.refused(c, "EntityTooSmall")
	}},
	{"parts in another order are refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 2, fullPart)
		u.part(c, 1, "end")
		u.refused(c, "InvalidPartOrder")
	}},
	{"a part named twice is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, fullPart)
		u.parts = append(u.parts, u.parts[0])
		u.refused(c, "InvalidPartOrder")
	}},
	{"a part with another etag is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.parts[0].ETag = new(etagOf("y"))
		u.refused(c, "InvalidPart")
	}},
	{"a part with another checksum is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.parts[0].ChecksumCRC32 = aws.String("AAAAAA==")
		u.refused(c, "InvalidPart")
	}},
	{"a part without the checksum that the upload was begun with is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.parts[0].ChecksumCRC32 = nil
		u.refused(c, "InvalidRequest")
	}},
	{"a part that was never sent is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.parts[0].PartNumber = aws.Int32(2)
		u.refused(c, "InvalidPart")
	}},
	{"a part that was replaced is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.part(c, 1, "y")
		u.parts = u.parts[:1]
		u.refused(c, "InvalidPart")
	}},
	{"a completion of no parts is refused", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.refused(c, "MalformedXML")
	}},
	{"an upload is completed under its own key", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.key = new(c.Name())
		u.refused(c, "NoSuchUpload")
	}},
	{"an aborted upload is gone", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		_, err := o.AbortMultipartUpload(c.Context(), &s3.AbortMultipartUploadInput{Bucket: o.bucket, Key: u.key, UploadId: u.id})
		c.Must("abort upload", err)
		u.refused(c, "NoSuchUpload")
		_, err = u.tryPart(c, 1, "x", nil)
		c.Code("upload part", err, "NoSuchUpload")
	}},
	{"an unknown upload is none", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "x")
		u.id = aws.String(strings.Repeat("A", len(*u.id)))
		u.refused(c, "NoSuchUpload")
		_, err := u.tryPart(c, 1, "x", nil)
		c.Code("upload part", err, "NoSuchUpload")
		_, err = o.AbortMultipartUpload(c.Context(), &s3.AbortMultipartUploadInput{Bucket: o.bucket, Key: u.key, UploadId: u.id})
		c.Code("abort upload", err, "NoSuchUpload")
	}},
	{"parts are numbered from 1 to 10000", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		for _, number := range []int32{0, 10_001, -1} {
			_, err := u.tryPart(c, number, "x", nil)
			c.Code(fmt.Sprintf("upload part %d", number), err, "InvalidArgument")
		}
	}},
	{"a part with a wrong checksum is not kept", func(c *check, o objects) {
		u := o.begin(c, c.Name(), nil)
		u.part(c, 1, "right")
		_, err := u.tryPart(c, 1, "wrong", func(in *s3.UploadPartInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") })
		c.Code("upload part", err, "BadDigest")
		_, err = u.complete(c, nil)
		c.Must("complete upload", err)
		o.holds(c, *u.key, "right")
	}},
}
