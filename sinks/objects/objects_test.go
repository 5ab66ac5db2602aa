package objects_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.uber.org/goleak"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
	"tributary/sinks/objects"
	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const owner = "000000000000" // of the endpoint's buckets

// start gives a client with the retries of a program, and the bucket "logs".
func start(t *testing.T) (*s3.Client, *fault.Set) {
	t.Helper()
	server := localtest.Start(t)
	client := s3.NewFromConfig(server.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("logs")}); err != nil {
		t.Fatal(err)
	}
	return client, server.Faults
}

func object(key string) objects.Object {
	return objects.Object{Bucket: "logs", Key: key, Content: []byte("rows"), ContentType: "text/plain", Metadata: map[string]string{"rows": "1"}}
}

func head(t *testing.T, client *s3.Client, key string) *s3.HeadObjectOutput {
	t.Helper()
	out, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("logs"), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnObjectIsWrittenAsTheOptionsSay(t *testing.T) {
	client, _ := start(t)
	const key = "arn:aws:kms:eu-central-1:111122223333:key/0123abcd-0000-4000-8000-0123456789ab"
	for name, c := range map[string]struct {
		change func(*objects.Options)
		want   s3.HeadObjectOutput
	}{
		"with nothing said it is left to the bucket": {func(*objects.Options) {}, s3.HeadObjectOutput{ServerSideEncryption: types.ServerSideEncryptionAes256}},
		"under a key of another account, in another class": {func(o *objects.Options) {
			o.ServerSideEncryption, o.KMSKeyID, o.BucketKeyEnabled = "aws:kms", key, true
			o.StorageClass, o.ACL, o.ExpectedBucketOwner = "GLACIER_IR", "bucket-owner-full-control", owner
		}, s3.HeadObjectOutput{ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String(key), BucketKeyEnabled: aws.Bool(true), StorageClass: types.StorageClassGlacierIr}},
		"twice encrypted": {func(o *objects.Options) {
			o.ServerSideEncryption, o.KMSKeyID = "aws:kms:dsse", key
		}, s3.HeadObjectOutput{ServerSideEncryption: types.ServerSideEncryptionAwsKmsDsse, SSEKMSKeyId: aws.String(key)}},
		"by S3 itself": {func(o *objects.Options) { o.ServerSideEncryption = "AES256" }, s3.HeadObjectOutput{ServerSideEncryption: types.ServerSideEncryptionAes256}},
	} {
		t.Run(name, func(t *testing.T) {
			o := objects.DefaultOptions()
			c.change(&o)
			if err := errors.Join(o.Validate(), o.Create(t.Context(), client, object(name))); err != nil {
				t.Fatal(err)
			}
			got := head(t, client, name)
			if got.ServerSideEncryption != c.want.ServerSideEncryption || aws.ToString(got.SSEKMSKeyId) != aws.ToString(c.want.SSEKMSKeyId) ||
				aws.ToBool(got.BucketKeyEnabled) != aws.ToBool(c.want.BucketKeyEnabled) || got.StorageClass != c.want.StorageClass ||
				got.Metadata["rows"] != "1" || aws.ToString(got.ContentType) != "text/plain" {
				t.Errorf("head answers %+v", got)
			}
		})
	}
}

func TestAnObjectThatIsThereStays(t *testing.T) {
	client, _ := start(t)
	first, second := objects.DefaultOptions(), objects.DefaultOptions()
	first.StorageClass, second.StorageClass = "STANDARD_IA", "ONEZONE_IA"
	if err := first.Create(t.Context(), client, object("a")); err != nil {
		t.Fatal(err)
	}
	if err := second.Create(t.Context(), client, object("a")); !errors.Is(err, objects.ErrExists) {
		t.Errorf("the second write ends with %v", err)
	}
	if got := head(t, client, "a").StorageClass; got != types.StorageClassStandardIa {
		t.Errorf("class is %s", got)
	}
}

func TestEveryRequestIsRefusedByABucketOfAnotherOwner(t *testing.T) {
	client, _ := start(t)
	mine := objects.DefaultOptions()
	mine.ExpectedBucketOwner = owner
	if err := mine.Create(t.Context(), client, object("a")); err != nil {
		t.Fatal(err)
	}
	if m, err := mine.Head(t.Context(), client, "logs", "a"); err != nil || m["rows"] != "1" {
		t.Errorf("head of my own: %v, %v", m, err)
	}
	other := mine
	other.ExpectedBucketOwner = "111122223333"
	get := func() error {
		out, err := other.Get(t.Context(), client, &s3.GetObjectInput{Bucket: aws.String("logs"), Key: aws.String("a")})
		if err == nil {
			_, err = io.Copy(io.Discard, out.Body)
			return errors.Join(err, out.Body.Close())
		}
		return err
	}
	list := func(o objects.Options) (keys []string, err error) {
		err = o.List(t.Context(), client, &s3.ListObjectsV2Input{Bucket: aws.String("logs")}, func(page *s3.ListObjectsV2Output) error {
			for _, k := range page.Contents {
				keys = append(keys, *k.Key)
			}
			return nil
		})
		return keys, err
	}
	if keys, err := list(mine); err != nil || len(keys) != 1 {
		t.Errorf("list of my own: %q, %v", keys, err)
	}
	_, headErr := other.Head(t.Context(), client, "logs", "a")
	_, listErr := list(other)
	for name, err := range map[string]error{"create": other.Create(t.Context(), client, object("b")), "get": get(), "head": headErr, "list": listErr} {
		if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "does not belong to account 111122223333 (expected_bucket_owner), or a right is missing") {
			t.Errorf("%s: %v, want an error worth a retry that names the account", name, err)
		}
	}
	if _, err := mine.Head(t.Context(), client, "logs", "b"); err == nil || strings.Contains(err.Error(), "expected_bucket_owner") {
		t.Errorf("of what was refused: %v", err)
	}
}

func TestACallIsOneRequestThatEnds(t *testing.T) {
	client, faults := start(t)
	o := objects.DefaultOptions()
	o.AttemptTimeout = 150 * time.Millisecond
	if err := faults.Replace([]fault.Rule{{Service: "s3", Operation: "PutObject", Action: fault.Error}, {Service: "s3", Operation: "HeadObject", Action: fault.Delay, Delay: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	if err := o.Create(t.Context(), client, object("a")); err == nil || !strings.Contains(err.Error(), "put logs/a") {
		t.Errorf("create: %v", err)
	}
	if _, err := o.Head(t.Context(), client, "logs", "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("head: %v", err)
	}
	for _, rule := range faults.Rules() {
		if rule.Calls != 1 {
			t.Errorf("%d requests of %s for one call", rule.Calls, rule.Operation)
		}
	}
}

func TestPatienceIsForWhatMaySucceed(t *testing.T) {
	answer := func(status int) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: errors.New("no"),
		}}
	}
	for name, c := range map[string]struct {
		err   error
		tries int
	}{
		"a lost connection":     {io.ErrUnexpectedEOF, 7},
		"too many requests":     {answer(http.StatusServiceUnavailable), 7},
		"a conflicting request": {answer(http.StatusConflict), 7},
		"a missing right":       {answer(http.StatusForbidden), 1},
		"a missing key":         {answer(http.StatusNotFound), 1},
		"a key that is taken":   {objects.ErrExists, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, succeeds := range []bool{true, false} {
					tries := 0
					err := objects.Patiently(t.Context(), func() error {
						if tries++; succeeds && tries == 2 {
							return nil
						}
						return c.err
					})
					if want := c.tries; (err == nil) != (succeeds && want > 1) || !succeeds && tries != want {
						t.Errorf("%v after %d tries", err, tries)
					}
				}
			})
		})
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	const id, mrk = "0123abcd-0000-4000-8000-0123456789ab", "mrk-0123456789abcdef0123456789abcdef"
	kms := func(key string) objects.Options {
		return objects.Options{ServerSideEncryption: "aws:kms", KMSKeyID: key}
	}
	for name, c := range map[string]struct {
		options objects.Options
		want    string // "" for none
	}{
		"none":                             {objects.Options{}, ""},
		"a key's id":                       {kms(id), ""},
		"a key of several regions":         {kms(mrk), ""},
		"a key's ARN":                      {kms("arn:aws-cn:kms:cn-north-1:111122223333:key/" + id), ""},
		"a key's alias":                    {kms("alias/logs/lake"), ""},
		"an alias's ARN":                   {kms("arn:aws:kms:eu-central-1:111122223333:alias/logs"), ""},
		"no key":                           {kms("logs"), `"logs" is no key's id, ARN or alias/name`},
		"the ARN of something else":        {kms("arn:aws:s3:::logs"), "is no key's id"},
		"a key without KMS":                {objects.Options{KMSKeyID: id}, "kms_key_id needs server_side_encryption aws:kms"},
		"a key with AES256":                {objects.Options{ServerSideEncryption: "AES256", KMSKeyID: id}, "kms_key_id needs"},
		"an encryption nobody knows":       {objects.Options{ServerSideEncryption: "AES128"}, `server_side_encryption "AES128" is none of ["AES256" "aws:kms" "aws:kms:dsse"]`},
		"an encryption of other stores":    {objects.Options{ServerSideEncryption: "aws:fsx"}, "is none of"},
		"a bucket key with DSSE":           {objects.Options{ServerSideEncryption: "aws:kms:dsse", BucketKeyEnabled: true}, "bucket_key_enabled needs server_side_encryption aws:kms"},
		"a bucket key of nothing":          {objects.Options{BucketKeyEnabled: true}, "bucket_key_enabled needs"},
		"an infrequent class":              {objects.Options{StorageClass: "STANDARD_IA"}, ""},
		"an archive that is read at once":  {objects.Options{StorageClass: "GLACIER_IR"}, ""},
		"an archive":                       {objects.Options{StorageClass: "GLACIER"}, "storage_class GLACIER cannot be read at once"},
		"a deep archive":                   {objects.Options{StorageClass: "DEEP_ARCHIVE"}, "lifecycle rule"},
		"a class of other buckets":         {objects.Options{StorageClass: "EXPRESS_ONEZONE"}, "belongs to buckets of another sort"},
		"a class nobody knows":             {objects.Options{StorageClass: "standard"}, `storage_class "standard" is none of`},
		"all to the owner":                 {objects.Options{ACL: "bucket-owner-full-control"}, ""},
		"to everybody":                     {objects.Options{ACL: "public-read"}, "would open the objects"},
		"an ACL nobody knows":              {objects.Options{ACL: "mine"}, `acl "mine" is none of`},
		"an owner":                         {objects.Options{ExpectedBucketOwner: "012345678901"}, ""},
		"an owner that lost its first 0":   {objects.Options{ExpectedBucketOwner: "12345678901"}, "is not the 12 digits of an account"},
		"a time in which nothing can come": {objects.Options{AttemptTimeout: time.Millisecond}, "attempt_timeout 1ms is not within"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.options.AttemptTimeout == 0 {
				c.options.AttemptTimeout = time.Second
			}
			err := c.options.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	many := objects.Options{ServerSideEncryption: "x", StorageClass: "x", ACL: "x", ExpectedBucketOwner: "x"}
	if got := strings.Count(many.Validate().Error(), "\n") + 1; got != 5 {
		t.Errorf("%d faults are told, want 5", got)
	}
}

func TestOptionsFillWhatAnotherLeavesOpen(t *testing.T) {
	other := objects.Options{ServerSideEncryption: "aws:kms", KMSKeyID: "alias/logs", BucketKeyEnabled: true,
		StorageClass: "STANDARD_IA", ACL: "private", ExpectedBucketOwner: owner, AttemptTimeout: time.Minute}
	filled := other
	filled.AttemptTimeout = time.Second
	own := objects.Options{ServerSideEncryption: "AES256", StorageClass: "STANDARD", ACL: "bucket-owner-read", ExpectedBucketOwner: "111122223333", AttemptTimeout: time.Second}
	for name, c := range map[string]struct{ of, want objects.Options }{
		"all that is open is filled":     {objects.Options{AttemptTimeout: time.Second}, filled},
		"what is set stays":              {own, own},
		"a key never meets another word": {objects.Options{ServerSideEncryption: "aws:kms"}, objects.Options{ServerSideEncryption: "aws:kms", StorageClass: "STANDARD_IA", ACL: "private", ExpectedBucketOwner: owner}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.of.Or(other); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
