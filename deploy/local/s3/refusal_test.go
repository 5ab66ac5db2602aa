package s3_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tributary/deploy/local/fault"
)

func TestKeysThatADirectoryCannotHoldAreRefused(t *testing.T) {
	e := withBucket(t)
	e.put("file", "x")
	e.put("dir/file", "x")
	if err := os.Symlink(t.TempDir(), e.file(bucket, "link")); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(e.dir, "..", "escaped")
	for _, c := range []struct{ name, key, want string }{
		{"a component ..", "a/../../escaped", "InvalidArgument"},
		{"a component .", "a/./b", "InvalidArgument"},
		{"a doubled slash", "a//b", "InvalidArgument"},
		{"a leading slash", "/a", "InvalidArgument"},
		{"a trailing slash", "a/", "InvalidArgument"},
		{"a control character", "a\nb", "InvalidArgument"},
		{"a component too long for a file name", strings.Repeat("x", 256), "InvalidArgument"},
		{"a key longer than the service allows", strings.Repeat("x/", 512) + "x", "KeyTooLongError"},
		{"an object as a directory", "file/below", "InvalidArgument"},
		{"a directory as an object", "dir", "InvalidArgument"},
		{"a way out through a link", "link/escaped", "InternalError"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.try(c.key, "x", nil)
			wantCode(t, err, c.want)
		})
	}
	if _, err := os.Stat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was written outside the directory")
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	for _, key := range []string{"a=b/c:d/é ü+%20&", strings.Repeat("y", 255), "dir/file.json/x", "..a/b.."} {
		e.put(key, key)
		if got := e.get(key); got != key {
			t.Errorf("key %q holds %q", key, got)
		}
	}
}

func TestRangesThatTheServiceWouldIgnoreAreRefused(t *testing.T) {
	e := withBucket(t)
	e.put("a", "0123456789")
	for header, want := range map[string]string{"bytes=5-4": "InvalidArgument", "bytes=0-1,3-4": "NotImplemented", "lines=0-1": "NotImplemented"} {
		t.Run(header, func(t *testing.T) {
			_, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), Range: aws.String(header)})
			wantCode(t, err, want)
		})
	}
}

func TestFaults(t *testing.T) {
	e := withBucket(t)
	rule := func(r fault.Rule) {
		t.Helper()
		r.Service = "s3"
		if err := e.faults.Replace([]fault.Rule{r}); err != nil {
			t.Fatal(err)
		}
	}
	once := func(in *sdk.PutObjectInput) { in.IfNoneMatch = aws.String("*") }
	t.Run("throttled calls are told to slow down", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutObject", Action: fault.Throttle, Count: 1})
		_, err := e.try("throttled", "x", once)
		wantCode(t, err, "SlowDown")
		_, err = e.try("throttled", "x", once)
		wantCode(t, err, "")
	})
	t.Run("an object whose answer was lost is there", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutObject", Action: fault.LoseResponse, Count: 1})
		if _, err := e.try("lost", "x", once); err == nil {
			t.Error("the client saw an answer")
		}
		_, err := e.try("lost", "x", once)
		wantCode(t, err, "PreconditionFailed")
		if e.get("lost") != "x" {
			t.Error("the object is not there")
		}
	})
	t.Run("a delayed PUT comes after its client gave up and does not overwrite", func(t *testing.T) {
		rule(fault.Rule{Operation: "PutObject", Action: fault.DelayCommit, Delay: time.Minute, Count: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := e.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("late"), Body: strings.NewReader("zombie"), IfNoneMatch: aws.String("*")})
		if err == nil {
			t.Error("the client saw an answer")
		}
		if _, err := e.try("late", "winner", once); err != nil {
			t.Fatal(err)
		}
		if err := e.faults.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.get("late"); got != "winner" {
			t.Errorf("object is %q", got)
		}
	})
	t.Run("every operation has its name", func(t *testing.T) {
		ctx := t.Context()
		b, k := aws.String(bucket), aws.String("lost")
		calls := map[string]func() error{
			"GetObject":     func() error { _, err := e.GetObject(ctx, &sdk.GetObjectInput{Bucket: b, Key: k}); return err },
			"HeadObject":    func() error { _, err := e.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: b, Key: k}); return err },
			"ListObjectsV2": func() error { _, err := e.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: b}); return err },
			"DeleteObject":  func() error { _, err := e.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: b, Key: k}); return err },
			"HeadBucket":    func() error { _, err := e.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: b}); return err },
			"ListBuckets":   func() error { _, err := e.ListBuckets(ctx, &sdk.ListBucketsInput{}); return err },
			"CreateMultipartUpload": func() error {
				_, err := e.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: b, Key: k})
				return err
			},
		}
		for name, call := range calls {
			rule(fault.Rule{Operation: name, Action: fault.Error})
			if err := call(); err == nil {
				t.Errorf("%s was not hit", name)
			}
		}
	})
}

func TestUnknownOperationsParametersAndHeadersAreRefusedByName(t *testing.T) {
	e := withBucket(t)
	ctx := t.Context()
	e.put("a", "x")
	b, k := aws.String(bucket), aws.String("a")
	for name, call := range map[string]func() error{
		"versions": func() error {
			_, err := e.ListObjectVersions(ctx, &sdk.ListObjectVersionsInput{Bucket: b})
			return err
		},
		"tagging": func() error {
			_, err := e.GetObjectTagging(ctx, &sdk.GetObjectTaggingInput{Bucket: b, Key: k})
			return err
		},
		"x-amz-copy-source": func() error {
			_, err := e.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: b, Key: aws.String("c"), CopySource: aws.String(bucket + "/a")})
			return err
		},
		"x-amz-tagging": func() error {
			_, err := e.try("c", "x", func(in *sdk.PutObjectInput) { in.Tagging = aws.String("team=shop") })
			return err
		},
		"x-amz-server-side-encryption-context": func() error {
			_, err := e.try("c", "x", func(in *sdk.PutObjectInput) {
				in.ServerSideEncryption, in.SSEKMSEncryptionContext = types.ServerSideEncryptionAwsKms, aws.String("e30=")
			})
			return err
		},
		"alias/logs": func() error {
			_, err := e.try("c", "x", func(in *sdk.PutObjectInput) {
				in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String("alias/logs")
			})
			return err
		},
		"a bucket key without aws:kms": func() error {
			_, err := e.try("c", "x", func(in *sdk.PutObjectInput) {
				in.ServerSideEncryption, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKmsDsse, aws.Bool(true)
			})
			return err
		},
		"x-amz-expected-bucket-owner": func() error {
			_, err := e.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("other")},
				sdk.WithAPIOptions(smithyhttp.AddHeaderValue("X-Amz-Expected-Bucket-Owner", "000000000000")))
			return err
		},
		"if-modified-since": func() error {
			_, err := e.GetObject(ctx, &sdk.GetObjectInput{Bucket: b, Key: k, IfModifiedSince: aws.Time(time.Now())})
			return err
		},
		"versionId": func() error {
			_, err := e.GetObject(ctx, &sdk.GetObjectInput{Bucket: b, Key: k, VersionId: aws.String("1")})
			return err
		},
		"/lake": func() error {
			_, err := e.ListObjects(ctx, &sdk.ListObjectsInput{Bucket: b})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			wantCode(t, err, "NotImplemented")
			if err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name %s: %v", name, err)
			}
		})
	}
}
