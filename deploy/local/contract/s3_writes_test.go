package contract_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// statusOf is the HTTP status of a refusal, 0 of none.
func statusOf(err error) int {
	var refusal *awshttp.ResponseError
	if errors.As(err, &refusal) {
		return refusal.HTTPStatusCode()
	}
	return 0
}

func conditionalWriteCases() (cases []s3Case) {
	one := etagOf("one")
	for _, w := range []struct {
		name, there, ifMatch, ifNoneMatch, code, after string
	}{
		{"a put with If-None-Match does not overwrite", "one", "", "*", "PreconditionFailed", "one"},
		{"a put with If-None-Match creates", "", "", "*", "", "new"},
		{"a put with If-Match replaces the object that is meant", "one", one, "", "", "new"},
		{"a put with If-Match takes an etag without quotes", "one", strings.Trim(one, `"`), "", "", "new"},
		{"a put with If-Match does not replace another object", "two", one, "", "PreconditionFailed", "two"},
		{"a put with If-Match creates nothing", "", one, "", "NoSuchKey", ""},
		{"a put with If-None-Match of an etag is not implemented", "", "", one, "NotImplemented", ""},
	} {
		cases = append(cases, s3Case{w.name, func(c *check, o objects) {
			key := c.Name()
			if w.there != "" {
				o.put(c, key, w.there)
			}
			_, err := o.tryPut(c, key, "new", func(in *s3.PutObjectInput) { in.IfMatch, in.IfNoneMatch = optional(w.ifMatch), optional(w.ifNoneMatch) })
			if w.code == "" {
				c.Must("put object", err)
			} else {
				c.Code("put object", err, w.code)
			}
			if w.after == "" {
				o.lacks(c, key)
				return
			}
			o.holds(c, key, w.after)
		}})
	}
	return cases
}

// lost are the answers to who loses a race: refused, or told to try again because another write was under way.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
var lost = []string{"PreconditionFailed", "ConditionalRequestConflict"}

var objectRaceCases = []s3Case{
	{"one of ten writers creates an object", func(c *check, o objects) {
		for range 10 {
			key := c.Name() + "/a/b"
			winners := contend(c, 10, func(writer int) error {
				_, err := o.tryPut(c, key, strings.Repeat(fmt.Sprint(writer), 1000), func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
				return err
			}, lost...)
			if len(winners) != 1 {
				c.Fatalf("winners: %v", winners)
			}
			o.holds(c, key, strings.Repeat(fmt.Sprint(winners[0]), 1000))
		}
	}},
	{"one of ten writers replaces an object", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "old")
		winners := contend(c, 10, func(writer int) error {
			_, err := o.tryPut(c, key, fmt.Sprint(writer), func(in *s3.PutObjectInput) { in.IfMatch = new(etagOf("old")) })
			return err
		}, lost...)
		if len(winners) != 1 {
			c.Fatalf("winners: %v", winners)
		}
		o.holds(c, key, fmt.Sprint(winners[0]))
	}},
	{"one of ten completions creates an object", func(c *check, o objects) {
		key := c.Name()
		var uploads []upload
		for writer := range 10 {
			u := o.begin(c, key, nil)
			u.part(c, 1, fmt.Sprint(writer))
			uploads = append(uploads, u)
		}
		winners := contend(c, 10, func(writer int) error {
			_, err := uploads[writer].complete(c, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = aws.String("*") })
			return err
		}, lost...)
		if len(winners) != 1 {
			c.Fatalf("winners: %v", winners)
		}
		o.holds(c, key, fmt.Sprint(winners[0]))
	}},
	{"writers and deleters of one directory do not hinder each other", func(c *check, o objects) {
		prefix := c.Name()
		contend(c, 4, func(worker int) error {
			for i := range 10 {
				key := fmt.Sprintf("%s/dt=%d/hour/%d", prefix, i%2, worker)
				if _, err := o.tryPut(c, key, "x", nil); err != nil {
					return err
				}
				if _, err := o.tryGet(c, &s3.GetObjectInput{Key: &key}); err != nil {
					return err
				}
				if _, err := o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: o.bucket, Key: &key}); err != nil {
					return err
				}
			}
			return nil
		})
		c.Equal("what is left", o.list(c, s3.ListObjectsV2Input{Prefix: &prefix}), []string{})
	}},
}

func checksumCases() (cases []s3Case) {
	for _, algorithm := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		cases = append(cases, s3Case{"the " + string(algorithm) + " of an object is kept", func(c *check, o objects) {
			key := c.Name()
			put, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm })
			c.Must("put object", err)
			head, err := o.HeadObject(c.Context(), &s3.HeadObjectInput{Bucket: o.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
			c.Must("head object", err)
			got := described(head.ChecksumCRC32, head.ChecksumCRC32C, head.ChecksumCRC64NVME, head.ChecksumSHA1, head.ChecksumSHA256)
			c.Equal("checksum in the head", got, described(put.ChecksumCRC32, put.ChecksumCRC32C, put.ChecksumCRC64NVME, put.ChecksumSHA1, put.ChecksumSHA256))
			c.Equal("number of checksums", len(strings.Fields(got)), 1)
			o.holds(c, key, "content")
		}})
	}
	wrong := map[string]struct {
		spoil func(*s3.PutObjectInput)
		code  string
	}{
		"a wrong CRC32":             {func(in *s3.PutObjectInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") }, "BadDigest"},
		"a wrong SHA256":            {func(in *s3.PutObjectInput) { in.ChecksumSHA256 = aws.String(strings.Repeat("A", 43) + "=") }, "BadDigest"},
		"a wrong MD5":               {func(in *s3.PutObjectInput) { in.ContentMD5 = aws.String("AAAAAAAAAAAAAAAAAAAAAA==") }, "BadDigest"},
		"a CRC32 of other length":   {func(in *s3.PutObjectInput) { in.ChecksumCRC32 = aws.String("AAAA") }, "InvalidRequest"},
		"a CRC32 that is no base64": {func(in *s3.PutObjectInput) { in.ChecksumCRC32 = aws.String("!!!!!!==") }, "InvalidRequest"},
		"an MD5 of other length":    {func(in *s3.PutObjectInput) { in.ContentMD5 = aws.String("AAAA") }, "InvalidDigest"},
		"an MD5 that is no base64":  {func(in *s3.PutObjectInput) { in.ContentMD5 = aws.String("!!!!!!!!!!!!!!!!!!!!!!==") }, "InvalidDigest"},
		"two checksums at the same time": {func(in *s3.PutObjectInput) {
			in.ChecksumCRC32, in.ChecksumCRC32C = aws.String("AAAAAA=="), aws.String("AAAAAA==")
		}, "InvalidRequest"},
	}
	for _, name := range sorted(wrong) {
		cases = append(cases, s3Case{"nothing is stored with " + name, func(c *check, o objects) {
			key := c.Name()
			_, err := o.tryPut(c, key, "content", wrong[name].spoil)
			c.Code("put object", err, wrong[name].code)
			o.lacks(c, key)
		}})
	}
	return cases
}
