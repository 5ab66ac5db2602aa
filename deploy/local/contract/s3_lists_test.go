package contract_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// list gives the keys of all pages, then the common prefixes of all pages.
func (o objects) list(c *check, in s3.ListObjectsV2Input) []string {
	in.Bucket = o.bucket
	var keys, prefixes []string
	for p := s3.NewListObjectsV2Paginator(o.Client, &in); p.HasMorePages(); {
		page, err := p.NextPage(c.Context())
		c.Must("list objects", err)
		c.Equal("count of a page", *page.KeyCount, len(page.Contents)+len(page.CommonPrefixes))
		if in.MaxKeys != nil && *page.KeyCount > *in.MaxKeys {
			c.Errorf("a page has %d, at most %d were asked for", *page.KeyCount, *in.MaxKeys)
		}
		for _, found := range page.Contents {
			keys = append(keys, *found.Key)
		}
		for _, found := range page.CommonPrefixes {
			prefixes = append(prefixes, *found.Prefix)
		}
	}
	return append(keys, prefixes...)
}

func listCases() (cases []s3Case) {
	keys := []string{"a", "b/1", "b/2/x", "b/2/y", "b-", "b0", "c/d/e", "é &<+", ".hidden"}
	slash := aws.String("/")
	for _, l := range []struct {
		name string
		in   s3.ListObjectsV2Input
		want string
	}{
		{"all keys comes in the order of their bytes", s3.ListObjectsV2Input{}, ".hidden a b- b/1 b/2/x b/2/y b0 c/d/e é &<+"},
		{"a prefix need not end at a slash", s3.ListObjectsV2Input{Prefix: aws.String("b")}, "b- b/1 b/2/x b/2/y b0"},
		{"a prefix that is a key", s3.ListObjectsV2Input{Prefix: aws.String("b/2/x")}, "b/2/x"},
		{"a prefix of other letters", s3.ListObjectsV2Input{Prefix: aws.String("é &<")}, "é &<+"},
		{"a prefix of nothing", s3.ListObjectsV2Input{Prefix: aws.String("nothing/")}, ""},
		{"a delimiter rolls up", s3.ListObjectsV2Input{Delimiter: slash}, ".hidden a b- b0 é &<+ b/ c/"},
		{"a delimiter below a prefix", s3.ListObjectsV2Input{Delimiter: slash, Prefix: aws.String("b/")}, "b/1 b/2/"},
		{"a delimiter within a prefix", s3.ListObjectsV2Input{Delimiter: slash, Prefix: aws.String("b/2/")}, "b/2/x b/2/y"},
		{"a prefix that rolls up itself", s3.ListObjectsV2Input{Delimiter: slash, Prefix: aws.String("b")}, "b- b0 b/"},
		{"another delimiter", s3.ListObjectsV2Input{Delimiter: aws.String("2")}, ".hidden a b- b/1 b0 c/d/e é &<+ b/2"},
		{"what comes after a key", s3.ListObjectsV2Input{StartAfter: aws.String("b/2/x")}, "b/2/y b0 c/d/e é &<+"},
		{"what comes after no key", s3.ListObjectsV2Input{StartAfter: aws.String("b/2")}, "b/2/x b/2/y b0 c/d/e é &<+"},
		{"what comes after the last", s3.ListObjectsV2Input{StartAfter: aws.String("é &<+")}, ""},
		{"url encoding", s3.ListObjectsV2Input{EncodingType: types.EncodingTypeUrl, Prefix: aws.String("é")}, "%C3%A9+%26%3C%2B"},
	} {
		cases = append(cases, s3Case{"a list of " + l.name, func(c *check, o objects) {
			prefix := c.Name() + "/"
			for _, key := range keys {
				o.put(c, prefix+key, key)
			}
			in := l.in
			in.Prefix = new(prefix + aws.ToString(in.Prefix))
			if in.StartAfter != nil {
				in.StartAfter = new(prefix + *in.StartAfter)
			}
			below := func(all []string) string {
				var names []string
				for _, name := range all {
					names = append(names, strings.TrimPrefix(name, prefix))
				}
				return strings.Join(names, " ")
			}
			c.Equal("list", below(o.list(c, in)), l.want)
			for _, width := range []int32{1, 2} {
				in.MaxKeys = &width
				c.Equal(fmt.Sprintf("list by %d", width), below(o.list(c, in)), l.want)
			}
		}})
	}
	return append(cases, moreListCases...)
}

var moreListCases = []s3Case{
	{"a list says of each object what its head says", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "content")
		page, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, Prefix: &key})
		c.Must("list objects", err)
		c.Equal("number of objects", len(page.Contents), 1)
		got, head := page.Contents[0], o.head(c, key)
		c.Equal("size", *got.Size, 7)
		c.Equal("etag", *got.ETag, etagOf("content"))
		c.Equal("class", got.StorageClass, types.ObjectStorageClassStandard)
		c.Equal("second of last modified", got.LastModified.Unix(), head.LastModified.Unix())
	}},
	{"a list goes on behind a key that was deleted meanwhile", func(c *check, o objects) {
		prefix := c.Name() + "/"
		for i := range 4 {
			o.put(c, fmt.Sprint(prefix, i), "x")
		}
		first, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, Prefix: &prefix, MaxKeys: aws.Int32(2)})
		c.Must("list objects", err)
		c.Equal("more to come", *first.IsTruncated, true)
		_, err = o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: o.bucket, Key: first.Contents[1].Key})
		c.Must("delete object", err)
		c.Equal("the rest", o.list(c, s3.ListObjectsV2Input{Prefix: &prefix, ContinuationToken: first.NextContinuationToken}), []string{prefix + "2", prefix + "3"})
	}},
	{"a page of nothing is the last", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "x")
		page, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, Prefix: &key, MaxKeys: aws.Int32(0)})
		c.Must("list objects", err)
		c.Equal("number of objects", len(page.Contents), 0)
		c.Equal("more to come", *page.IsTruncated, false)
	}},
	{"a page is no longer than 1000 keys", func(c *check, o objects) {
		page, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, Prefix: new(c.Name()), MaxKeys: aws.Int32(5000)})
		c.Must("list objects", err)
		c.Equal("limit", *page.MaxKeys, 1000)
	}},
	{"a list from a token that is none is refused", func(c *check, o objects) {
		_, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, ContinuationToken: aws.String("nonsense")})
		c.Code("list objects", err, "InvalidArgument")
	}},
	{"a list of less than nothing is refused", func(c *check, o objects) {
		_, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, MaxKeys: aws.Int32(-1)})
		c.Code("list objects", err, "InvalidArgument")
	}},
}

var deleteCases = []s3Case{
	{"a deleted object is gone, and may be deleted again", func(c *check, o objects) {
		key := c.Name() + "/a/b/c"
		o.put(c, key, "x")
		for range 2 {
			_, err := o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: o.bucket, Key: &key})
			c.Must("delete object", err)
		}
		o.lacks(c, key)
		_, err := o.tryGet(c, &s3.GetObjectInput{Key: &key})
		c.Code("get object", err, "NoSuchKey")
	}},
	{"a deletion of what lies around an object leaves it", func(c *check, o objects) {
		key := c.Name() + "/a/b"
		o.put(c, key, "x")
		for _, other := range []string{strings.TrimSuffix(key, "/b"), key + "/c", key + "c"} {
			_, err := o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: o.bucket, Key: &other})
			c.Must("delete object "+other, err)
		}
		o.holds(c, key, "x")
	}},
	{"where a directory was an object may be", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key+"/a/b", "x")
		_, err := o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: o.bucket, Key: new(key + "/a/b")})
		c.Must("delete object", err)
		o.put(c, key+"/a", "now an object")
		o.holds(c, key+"/a", "now an object")
	}},
	{"several objects are deleted at once, whether they are there or not", func(c *check, o objects) {
		prefix := c.Name() + "/"
		o.put(c, prefix+"a", "x")
		o.put(c, prefix+"b/<c> &", "x")
		o.put(c, prefix+"left", "x")
		out, err := o.DeleteObjects(c.Context(), &s3.DeleteObjectsInput{Bucket: o.bucket, Delete: deletion(prefix+"a", prefix+"b/<c> &", prefix+"absent")})
		c.Must("delete objects", err)
		var deleted []string
		for _, d := range out.Deleted {
			deleted = append(deleted, strings.TrimPrefix(*d.Key, prefix))
		}
		slices.Sort(deleted)
		c.Equal("deleted", deleted, []string{"a", "absent", "b/<c> &"})
		c.Equal("errors", len(out.Errors), 0)
		c.Equal("what is left", o.list(c, s3.ListObjectsV2Input{Prefix: &prefix}), []string{prefix + "left"})
	}},
	{"a quiet deletion names only what failed", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "x")
		in := deletion(key)
		in.Quiet = aws.Bool(true)
		out, err := o.DeleteObjects(c.Context(), &s3.DeleteObjectsInput{Bucket: o.bucket, Delete: in})
		c.Must("delete objects", err)
		c.Equal("answer", len(out.Deleted)+len(out.Errors), 0)
		o.lacks(c, key)
	}},
	{"a deletion of 1001 objects at once is refused", func(c *check, o objects) {
		prefix := c.Name()
		o.put(c, prefix+"0", "x")
		var keys []string
		for i := range 1001 {
			keys = append(keys, fmt.Sprint(prefix, i))
		}
		_, err := o.DeleteObjects(c.Context(), &s3.DeleteObjectsInput{Bucket: o.bucket, Delete: deletion(keys...)})
		c.Code("delete objects", err, "MalformedXML")
		o.holds(c, prefix+"0", "x")
	}},
}

func deletion(keys ...string) *types.Delete {
	d := &types.Delete{}
	for _, key := range keys {
		d.Objects = append(d.Objects, types.ObjectIdentifier{Key: &key})
	}
	return d
}

var bucketCases = []s3Case{
	{"a bucket lives from its creation to its deletion", func(c *check, o objects) {
		own := o.newBucket(c)
		_, err := o.HeadBucket(c.Context(), &s3.HeadBucketInput{Bucket: own.bucket})
		c.Must("head bucket", err)
		out, err := o.ListBuckets(c.Context(), &s3.ListBucketsInput{})
		c.Must("list buckets", err)
		c.Equal("listed", slices.ContainsFunc(out.Buckets, func(b types.Bucket) bool { return *b.Name == *own.bucket }), true)
		_, err = o.DeleteBucket(c.Context(), &s3.DeleteBucketInput{Bucket: own.bucket})
		c.Must("delete bucket", err)
		_, err = o.HeadBucket(c.Context(), &s3.HeadBucketInput{Bucket: own.bucket})
		c.Code("head bucket", err, "NotFound")
	}},
	{"a bucket with an object in it is not deleted", func(c *check, o objects) {
		own := o.newBucket(c)
		own.put(c, "a/b", "x")
		_, err := o.DeleteBucket(c.Context(), &s3.DeleteBucketInput{Bucket: own.bucket})
		c.Code("delete bucket", err, "BucketNotEmpty")
		own.holds(c, "a/b", "x")
		_, err = o.DeleteObject(c.Context(), &s3.DeleteObjectInput{Bucket: own.bucket, Key: aws.String("a/b")})
		c.Must("delete object", err)
		_, err = o.DeleteBucket(c.Context(), &s3.DeleteBucketInput{Bucket: own.bucket})
		c.Must("delete bucket", err)
	}},
	{"a bucket of one's own is not made anew", func(c *check, o objects) {
		own := o.newBucket(c)
		own.put(c, "a", "x")
		// In its first region the service says that all is well.
		if _, err := o.CreateBucket(c.Context(), o.bucketInput(*own.bucket)); err != nil {
			c.Code("create bucket", err, "BucketAlreadyOwnedByYou")
		}
		own.holds(c, "a", "x")
	}},
	{"a bucket has a name of small letters", func(c *check, o objects) {
		_, err := o.CreateBucket(c.Context(), o.bucketInput("Not_A_Bucket"))
		c.Code("create bucket", err, "InvalidBucketName")
	}},
	{"a bucket has a name of three letters or more", func(c *check, o objects) {
		_, err := o.CreateBucket(c.Context(), o.bucketInput("ab"))
		c.Code("create bucket", err, "InvalidBucketName")
	}},
}
