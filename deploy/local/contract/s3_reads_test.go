package contract_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func rangeCases() (cases []s3Case) {
	for _, r := range []struct{ name, content, header, want, contentRange, code string }{
		{"from the start", "0123456789", "bytes=0-3", "0123", "bytes 0-3/10", ""},
		{"in the middle", "0123456789", "bytes=4-4", "4", "bytes 4-4/10", ""},
		{"with an open end", "0123456789", "bytes=7-", "789", "bytes 7-9/10", ""},
		{"of all", "0123456789", "bytes=0-", "0123456789", "bytes 0-9/10", ""},
		{"with an end behind the object's", "0123456789", "bytes=8-100", "89", "bytes 8-9/10", ""},
		{"of the last bytes", "0123456789", "bytes=-3", "789", "bytes 7-9/10", ""},
		{"of more last bytes than there are gives all", "0123456789", "bytes=-100", "0123456789", "bytes 0-9/10", ""},
		{"behind the object", "0123456789", "bytes=10-", "", "", "InvalidRange"},
		{"of no last bytes", "0123456789", "bytes=-0", "", "", "InvalidRange"},
		{"of nothing", "", "bytes=0-1", "", "", "InvalidRange"},
	} {
		cases = append(cases, s3Case{"a range " + r.name, func(c *check, o objects) {
			key := c.Name()
			o.put(c, key, r.content)
			got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key, Range: &r.header})
			if r.code != "" {
				c.Code("get object", err, r.code)
				return
			}
			c.Must("get object", err)
			c.Equal("content", got.content, r.want)
			c.Equal("length", *got.ContentLength, len(r.want))
			c.Equal("range", aws.ToString(got.ContentRange), r.contentRange)
			c.Equal("etag", *got.ETag, etagOf(r.content))
			head, err := o.HeadObject(c.Context(), &s3.HeadObjectInput{Bucket: o.bucket, Key: &key, Range: &r.header})
			c.Must("head object", err)
			c.Equal("length in the head", *head.ContentLength, len(r.want))
		}})
	}
	return cases
}

var conditionalReadCases = []s3Case{
	{"a read with If-Match gives the object that is meant", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "one")
		got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key, IfMatch: new(etagOf("one"))})
		c.Must("get object", err)
		c.Equal("content", got.content, "one")
	}},
	{"a read with If-Match refuses another object", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "one")
		_, err := o.tryGet(c, &s3.GetObjectInput{Key: &key, IfMatch: new(etagOf("two"))})
		c.Code("get object", err, "PreconditionFailed")
	}},
	{"a read with If-None-Match gives another object", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "one")
		got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key, IfNoneMatch: new(etagOf("two"))})
		c.Must("get object", err)
		c.Equal("content", got.content, "one")
	}},
	{"a read with If-None-Match does not give what is known", func(c *check, o objects) {
		key := c.Name()
		o.put(c, key, "one")
		_, err := o.tryGet(c, &s3.GetObjectInput{Key: &key, IfNoneMatch: new(etagOf("one"))})
		c.Equal("status of get", statusOf(err), 304)
		_, err = o.HeadObject(c.Context(), &s3.HeadObjectInput{Bucket: o.bucket, Key: &key, IfNoneMatch: new(etagOf("one"))})
		c.Equal("status of head", statusOf(err), 304)
	}},
	{"a read with a condition finds no unknown key", func(c *check, o objects) {
		_, err := o.tryGet(c, &s3.GetObjectInput{Key: new(c.Name()), IfMatch: new(etagOf("one"))})
		c.Code("get object", err, "NoSuchKey")
	}},
}
