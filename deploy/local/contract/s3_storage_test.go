package contract_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// accountOf is who owns what the client makes.
func accountOf(t *testing.T, cfg aws.Config) string {
	if cfg.BaseEndpoint != nil {
		return localAccount
	}
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatalf("ask for the account: %v", err)
	}
	return *out.Account
}

// stranger is an account of the documentation's examples.
const stranger = "111122223333"

func storageClassCases() (cases []s3Case) {
	for _, class := range []types.StorageClass{types.StorageClassReducedRedundancy, types.StorageClassStandardIa, types.StorageClassOnezoneIa,
		types.StorageClassIntelligentTiering, types.StorageClassGlacierIr} {
		cases = append(cases, s3Case{"an object of class " + string(class) + " is read at once", func(c *check, o objects) {
			key := c.Name()
			_, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) { in.StorageClass = class })
			c.Must("put object", err)
			got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key})
			c.Must("get object", err)
			c.Equal("content", got.content, "content")
			c.Equal("class", got.StorageClass, class)
			c.Equal("class in the head", o.head(c, key).StorageClass, class)
			c.Equal("class in a list", o.listed(c, key).StorageClass, class)
		}})
	}
	for _, class := range []types.StorageClass{types.StorageClassGlacier, types.StorageClassDeepArchive} {
		cases = append(cases, s3Case{"an object of class " + string(class) + " is not read at once", func(c *check, o objects) {
			key := c.Name()
			_, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) { in.StorageClass = class })
			c.Must("put object", err)
			_, err = o.tryGet(c, &s3.GetObjectInput{Key: &key})
			c.Code("get object", err, "InvalidObjectState")
			c.Equal("class in the head", o.head(c, key).StorageClass, class)
		}})
	}
	return cases
}

// listed is what a list says of one object.
func (o objects) listed(c *check, key string) types.Object {
	page, err := o.ListObjectsV2(c.Context(), &s3.ListObjectsV2Input{Bucket: o.bucket, Prefix: &key})
	c.Must("list objects", err)
	if len(page.Contents) != 1 {
		c.Fatalf("the list has %d objects", len(page.Contents))
	}
	return page.Contents[0]
}

var storageCases = []s3Case{
	{"an object of class STANDARD has no class in its head", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.StorageClass = types.StorageClassStandard })
		c.Must("put object", err)
		c.Equal("class in the head", o.head(c, key).StorageClass, "")
		c.Equal("class in a list", o.listed(c, key).StorageClass, "STANDARD")
	}},
	{"a put replaces class and encryption", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "old", func(in *s3.PutObjectInput) {
			in.StorageClass, in.ServerSideEncryption = types.StorageClassStandardIa, types.ServerSideEncryptionAwsKms
		})
		c.Must("put object", err)
		o.put(c, key, "new")
		head := o.head(c, key)
		c.Equal("class", head.StorageClass, "")
		c.Equal("encryption", head.ServerSideEncryption, types.ServerSideEncryptionAes256)
		c.Equal("key", described(head.SSEKMSKeyId), "")
	}},
	{"an unknown class is refused", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.StorageClass = "COLD" })
		c.Code("put object", err, "InvalidStorageClass")
		o.lacks(c, key)
	}},
	{"an object about whose encryption nothing was said is encrypted all the same", func(c *check, o objects) {
		key := c.Name()
		put, err := o.tryPut(c, key, "x", nil)
		c.Must("put object", err)
		c.Equal("encryption", put.ServerSideEncryption, types.ServerSideEncryptionAes256)
		c.Equal("encryption in the head", o.head(c, key).ServerSideEncryption, types.ServerSideEncryptionAes256)
	}},
	{"an object put with AES256 says so", func(c *check, o objects) {
		key := c.Name()
		put, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAes256 })
		c.Must("put object", err)
		c.Equal("encryption", put.ServerSideEncryption, types.ServerSideEncryptionAes256)
		c.Equal("etag", *put.ETag, etagOf("x"))
		c.Equal("encryption in the head", o.head(c, key).ServerSideEncryption, types.ServerSideEncryptionAes256)
	}},
	{"an object put with aws:kms tells its key and whether a bucket key serves it", func(c *check, o objects) {
		key := c.Name()
		put, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, aws.Bool(true)
		})
		c.Must("put object", err)
		c.underKey(put.ServerSideEncryption, types.ServerSideEncryptionAwsKms, put.SSEKMSKeyId)
		c.Equal("bucket key", aws.ToBool(put.BucketKeyEnabled), true)
		got, err := o.tryGet(c, &s3.GetObjectInput{Key: &key})
		c.Must("get object", err)
		c.Equal("content", got.content, "content")
		head := o.head(c, key)
		for _, answer := range []string{described(got.SSEKMSKeyId), described(head.SSEKMSKeyId)} {
			c.Equal("key", answer, described(put.SSEKMSKeyId))
		}
		c.Equal("bucket key in the head", aws.ToBool(head.BucketKeyEnabled), true)
		c.underKey(head.ServerSideEncryption, types.ServerSideEncryptionAwsKms, head.SSEKMSKeyId)
	}},
	{"an object put with aws:kms:dsse tells its key", func(c *check, o objects) {
		key := c.Name()
		put, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKmsDsse })
		c.Must("put object", err)
		c.underKey(put.ServerSideEncryption, types.ServerSideEncryptionAwsKmsDsse, put.SSEKMSKeyId)
		head := o.head(c, key)
		c.underKey(head.ServerSideEncryption, types.ServerSideEncryptionAwsKmsDsse, head.SSEKMSKeyId)
		c.Equal("bucket key", aws.ToBool(head.BucketKeyEnabled), false)
		o.holds(c, key, "content")
	}},
	{"the etag of an object under a key is not its MD5", func(c *check, o objects) {
		key := c.Name()
		put, err := o.tryPut(c, key, "content", func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKms })
		c.Must("put object", err)
		c.Equal("etag in the head", *o.head(c, key).ETag, *put.ETag)
		if *put.ETag == etagOf("content") {
			c.Errorf("the etag is the MD5 of the content")
		}
	}},
	{"an upload in parts keeps class and encryption", func(c *check, o objects) {
		u := o.begin(c, c.Name(), func(in *s3.CreateMultipartUploadInput) {
			in.StorageClass, in.ServerSideEncryption = types.StorageClassStandardIa, types.ServerSideEncryptionAwsKms
		})
		u.part(c, 1, "content")
		out, err := u.complete(c, nil)
		c.Must("complete upload", err)
		c.underKey(out.ServerSideEncryption, types.ServerSideEncryptionAwsKms, out.SSEKMSKeyId)
		head := o.head(c, *u.key)
		c.underKey(head.ServerSideEncryption, types.ServerSideEncryptionAwsKms, head.SSEKMSKeyId)
		c.Equal("class", head.StorageClass, types.StorageClassStandardIa)
		o.holds(c, *u.key, "content")
	}},
	{"an unknown encryption is refused", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.ServerSideEncryption = "rot13" })
		c.Code("put object", err, "InvalidEncryptionAlgorithmError", "InvalidArgument")
		o.lacks(c, key)
	}},
	{"a key without encryption by keys is refused", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAes256, aws.String("0123abcd-0000-4000-8000-0123456789ab")
		})
		c.Code("put object", err, "InvalidArgument")
		o.lacks(c, key)
	}},
	{"an id of a shape that no key has is refused", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String("nonsense")
		})
		c.Code("put object", err, "KMS.NotFoundException")
		o.lacks(c, key)
	}},
	{"a bucket without ACLs takes the one that gives all to its owner", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.ACL = types.ObjectCannedACLBucketOwnerFullControl })
		c.Must("put object", err)
		o.holds(c, key, "x")
	}},
	{"a bucket without ACLs refuses another one", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.ACL = types.ObjectCannedACLBucketOwnerRead })
		c.Code("put object", err, "AccessControlListNotSupported")
		o.lacks(c, key)
	}},
}

// underKey notes a fault unless an object is encrypted as it should be, by a key that has a name.
func (c *check) underKey(got, want types.ServerSideEncryption, key *string) {
	c.Equal("encryption", got, want)
	if !strings.HasPrefix(aws.ToString(key), "arn:aws") {
		c.Errorf("the key is %s", described(key))
	}
}

// An ownedCall expects an owner of the bucket. Answers to HEAD have no body that could tell a code.
type ownedCall struct {
	name string
	head bool
	do   func(ctx context.Context, o objects, key, owner *string) error
}

func ownedCalls() []ownedCall {
	return []ownedCall{
		{"put object", false, func(ctx context.Context, o objects, key, owner *string) error {
			_, err := o.PutObject(ctx, &s3.PutObjectInput{Bucket: o.bucket, Key: key, Body: strings.NewReader("new"), ExpectedBucketOwner: owner})
			return err
		}},
		{"get object", false, func(ctx context.Context, o objects, key, owner *string) error {
			out, err := o.GetObject(ctx, &s3.GetObjectInput{Bucket: o.bucket, Key: key, ExpectedBucketOwner: owner})
			if err != nil {
				return err
			}
			return out.Body.Close()
		}},
		{"head object", true, func(ctx context.Context, o objects, key, owner *string) error {
			_, err := o.HeadObject(ctx, &s3.HeadObjectInput{Bucket: o.bucket, Key: key, ExpectedBucketOwner: owner})
			return err
		}},
		{"head bucket", true, func(ctx context.Context, o objects, _, owner *string) error {
			_, err := o.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: o.bucket, ExpectedBucketOwner: owner})
			return err
		}},
		{"list objects", false, func(ctx context.Context, o objects, key, owner *string) error {
			_, err := o.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: o.bucket, Prefix: key, ExpectedBucketOwner: owner})
			return err
		}},
		{"delete object", false, func(ctx context.Context, o objects, key, owner *string) error {
			_, err := o.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: o.bucket, Key: key, ExpectedBucketOwner: owner})
			return err
		}},
	}
}

func ownerCases() (cases []s3Case) {
	for _, call := range ownedCalls() {
		cases = append(cases,
			s3Case{call.name + " that expects the bucket's owner goes on", func(c *check, o objects) {
				key := c.Name()
				o.put(c, key, "old")
				c.Must(call.name, call.do(c.Context(), o, &key, &o.account))
			}},
			s3Case{call.name + " that expects another owner is refused", func(c *check, o objects) {
				key := c.Name()
				o.put(c, key, "old")
				code := "AccessDenied"
				if call.head {
					code = "Forbidden"
				}
				c.Code(call.name, call.do(c.Context(), o, &key, aws.String(stranger)), code)
				o.holds(c, key, "old")
			}},
		)
	}
	return append(cases, s3Case{"an expected owner that is no account is refused", func(c *check, o objects) {
		key := c.Name()
		_, err := o.tryPut(c, key, "x", func(in *s3.PutObjectInput) { in.ExpectedBucketOwner = aws.String("me") })
		c.Code("put object", err, "InvalidBucketOwnerAWSAccountID")
		o.lacks(c, key)
	}})
}
