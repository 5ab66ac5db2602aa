package contract_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var objectCases = []s3Case{
	{"an object comes back with its content and what was said about it", func(c *check, o objects) {
		key := c.Name() + "/kind=app/dt=2026-11-22/hour=07/shardId-000000000000-495.parquet"
		put, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) {
			in.ContentType, in.CacheControl = aws.String("application/vnd.apache.parquet"), aws.String("max-age=60")
			in.ContentDisposition, in.ContentLanguage, in.ContentEncoding = aws.String("inline"), aws.String("ja"), aws.String("zstd")
			in.Metadata = map[string]string{"range": "1-9", "rows": "3"}
		})
		c.Must("put object", err)
		got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key})
		c.Must("get object", err)
		head := o.head(c, key)
		c.Equal("content", got.content, "content")
		c.Equal("length", *got.ContentLength, 7)
		c.Equal("length in the head", *head.ContentLength, 7)
		for _, etag := range []*string{put.ETag, got.ETag, head.ETag} {
			c.Equal("etag", *etag, etagOf("content"))
		}
		c.Equal("what get says", described(got.ContentType, got.CacheControl, got.ContentDisposition, got.ContentLanguage, got.ContentEncoding),
			"application/vnd.apache.parquet max-age=60 inline ja zstd")
		c.Equal("what head says", described(head.ContentType, head.CacheControl, head.ContentDisposition, head.ContentLanguage, head.ContentEncoding),
			"application/vnd.apache.parquet max-age=60 inline ja zstd")
		c.Equal("metadata", got.Metadata, map[string]string{"range": "1-9", "rows": "3"})
		c.Equal("metadata in the head", head.Metadata, map[string]string{"range": "1-9", "rows": "3"})
		if age := time.Since(*head.LastModified); age > 10*time.Minute || age < -10*time.Minute {
			c.Errorf("last modified is %s", head.LastModified)
		}
	}},
	{"names of metadata come back in lower case", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"First-Record": "Ab"} })
		c.Must("put object", err)
		c.Equal("metadata", o.head(c, key).Metadata, map[string]string{"first-record": "Ab"})
	}},
	{"metadata of 2 KB is held", func(c *check, o objects) {
		key, v := c.Name(), strings.Repeat("v", 2048-1)
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"n": v} })
		c.Must("put object", err)
		c.Equal("metadata", o.head(c, key).Metadata, map[string]string{"n": v})
	}},
	{"metadata over 2 KB is refused", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"n": strings.Repeat("v", 2048)} })
		c.Code("put object", err, "MetadataTooLarge")
		o.lacks(c, key)
	}},
	{"an object of no bytes is one", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "")
		o.holds(c, key, "")
		head := o.head(c, key)
		c.Equal("length", *head.ContentLength, 0)
		c.Equal("etag", *head.ETag, etagOf(""))
	}},
	{"an object of 6 MiB comes back", func(c *check, o objects) {
		key, content := c.Name(), strings.Repeat("0123456789abcdef", 6<<20/16)+"end"
		o.put(c, key, content)
		o.holds(c, key, content)
		c.Equal("etag", *o.head(c, key).ETag, etagOf(content))
	}},
	{"a put replaces content and metadata", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "old", func(in *s3.PutObjectInput) {
			in.Metadata, in.ContentType = map[string]string{"old": "1"}, aws.String("text/old")
		})
		c.Must("put object", err)
		_, err = o.tryPut(c, key, "new one", func(in *s3.PutObjectInput) {
			in.Metadata, in.ContentType = map[string]string{"new": "1"}, aws.String("text/new")
		})
		c.Must("put object", err)
		o.holds(c, key, "new one")
		c.Equal("metadata", o.head(c, key).Metadata, map[string]string{"new": "1"})
		c.Equal("type", *o.head(c, key).ContentType, "text/new")
	}},
	{"readers see whole objects while they are overwritten", func(c *check, o objects) {
		key := c.Name()
		body := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 100_000) }
		o.put(c, key, body(0))
		contend(c, 4, func(worker int) error {
			for i := range 10 {
				if worker == 0 {
					if _, err := o.tryPut(c, key, body(i), nil); err != nil {
						return err
					}
					continue
				}
				got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key}) // the SDK verifies the checksum as well
				if err != nil {
					return err
				}
				c.Equal("etag of what was read", *got.ETag, etagOf(got.content))
			}
			return nil
		})
	}},
}

func described(headers ...*string) string {
	var all []string
	for _, h := range headers {
		all = append(all, aws.ToString(h))
	}
	return strings.Join(all, " ")
}

func keyCases() (cases []s3Case) {
	for _, k := range []struct{ name, key string }{
		{"spaces", "a b /  c"}, {"letters of others", "ログ/é ü/🦦"}, {"a plus", "a+b"}, {"a per cent sign", "100%/a%20b%2Fc"},
		{"what a query is made of", "a?b=c&d#e"}, {"what paths of partitions are made of", "kind=app/dt=2026-11-22/a:b,c;d"},
		{"quotes and brackets", `'a' "b" (c) [d] {e} <f>`}, {"other signs", "a!b*c@d$e~f^g`h|i"}, {"a backslash", `a\b`},
		{"dots", ".a/..b/c../...d"}, {"a name of 255 bytes", strings.Repeat("n", 255)},
		{"a slash at the end", "dir/"}, {"a slash doubled", "a//b"}, {"a slash at the start", "/a"}, {"a dot for a name", "a/./b"}, {"a tab", "a\tb"},
		{"a name of 256 bytes", strings.Repeat("n", 256)},
	} {
		cases = append(cases, s3Case{"a key may have " + k.name, func(c *check, o objects) {
			prefix := c.Name() + "/"
			key := prefix + k.key
			o.put(c, key, k.key)
			o.holds(c, key, k.key)
			c.Equal("list", o.list(c, s3.ListObjectsV2Input{Prefix: &prefix}), []string{key})
			_, err := o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: o.bucket, Key: &key})
			c.Must("delete object", err)
			o.lacks(c, key)
		}})
	}
	return append(cases, s3Case{"a key may be another's prefix at a slash", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "one")
		o.put(c, key+"/below", "two")
		o.holds(c, key, "one")
		o.holds(c, key+"/below", "two")
	}}, s3Case{"a key of 1024 bytes is held", func(c *check, o objects) {
		key := c.Name() + "/"
		key += strings.Repeat("0123456/", 200)[:1024-len(key)-1] + "x"
		o.put(c, key, "x")
		o.holds(c, key, "x")
	}}, s3Case{"a key over 1024 bytes is refused", func(c *check, o objects) {
		_, err := o.tryPut(c, strings.Repeat("0123456/", 128)+"x", "x", nil)
		c.Code("put object", err, "KeyTooLongError")
	}})
}

func missingCases() (cases []s3Case) {
	no := aws.String("tributary-contract-no-such-bucket")
	calls := map[string]func(*check, objects) error{
		"GetObject": func(c *check, o objects) error {
			_, err := o.GetObject(c.Context(), &s3.GetObjectInput{Bucket: no, Key: no})
			return err
		},
		"PutObject": func(c *check, o objects) error {
			_, err := o.PutObject(c.Context(), &s3.PutObjectInput{Bucket: no, Key: no, Body: strings.NewReader("x")})
			return err
		},
		"DeleteObject": func(c *check, o objects) error {
			_, err := o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: no, Key: no})
			return err
		},
		"DeleteObjects": func(c *check, o objects) error {
			_, err := o.DeleteObjects(c.Context(), &s3.DeleteObjectsInput{Bucket: no, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: no}}}})
			return err
		},
		"ListObjectsV2": func(c *check, o objects) error {
			_, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: no})
			return err
		},
		"CreateMultipartUpload": func(c *check, o objects) error {
			_, err := o.CreateMultipartUpload(c.Context(), &s3.CreateMultipartUploadInput{Bucket: no, Key: no})
			return err
		},
		"DeleteBucket": func(c *check, o objects) error {
			_, err := o.DeleteBucket(c.Context(), &s3.DeleteBucketInput{Bucket: no})
			return err
		},
	}
	for _, operation := range sorted(calls) {
		cases = append(cases, s3Case{operation + " finds no unknown bucket", func(c *check, o objects) { c.Code(operation, calls[operation](c, o), "NoSuchBucket") }})
	}
	return append(cases, s3Case{"HeadBucket finds no unknown bucket", func(c *check, o objects) {
		_, err := o.HeadBucket(c.Context(), &s3.HeadBucketInput{Bucket: no})
		c.Code("head bucket", err, "NotFound")
	}}, s3Case{"HeadObject finds no unknown bucket", func(c *check, o objects) {
		_, err := o.HeadObject(c.Context(), &s3.HeadObjectInput{Bucket: no, Key: no})
		c.Code("head object", err, "NotFound")
	}}, s3Case{"GetObject finds no unknown key", func(c *check, o objects) {
		_, err := o.tryGet(c, &s3.GetObjectInput{Key: new(c.Name())})
		c.Code("get object", err, "NoSuchKey")
	}}, s3Case{"HeadObject finds no unknown key", func(c *check, o objects) { o.lacks(c, c.Name()) }},
		s3Case{"a part of a key is no object", func(c *check, o objects) {
			key := c.Name()
			o.put(c, key+"/a/b", "x")
			o.lacks(c, key+"/a")
			o.lacks(c, key+"/a/b/c")
			_, err := o.tryGet(c, &s3.GetObjectInput{Key: new(key + "/a")})
			c.Code("get object", err, "NoSuchKey")
		}})
}
