package lake_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tributary/sinks/objects"
	"tributary/stream"
)

// heads are those of all objects, by key.
func heads(t *testing.T, client *sdk.Client) map[string]*sdk.HeadObjectOutput {
	t.Helper()
	page, err := client.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String("logs")})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*sdk.HeadObjectOutput{}
	for _, o := range page.Contents {
		if all[*o.Key], err = client.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String("logs"), Key: o.Key}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestARangeThatWasBegunUnderOtherOptionsIsFinishedUnderTodays(t *testing.T) {
	dir, _, client := startS3(t)
	before, today := config(), config()
	before.StorageClass = "STANDARD_IA"
	today.Options = objects.Options{ServerSideEncryption: "aws:kms", BucketKeyEnabled: true, StorageClass: "GLACIER_IR",
		ACL: "bucket-owner-full-control", ExpectedBucketOwner: "000000000000", AttemptTimeout: before.AttemptTimeout}
	old, l := newLake(t, before, client), newLake(t, today, client)
	if old.Plan() != l.Plan() {
		t.Errorf("options are in the plan:\n%s\n%s", old.Plan(), l.Plan())
	}
	batches, r := smallTraffic(), rangeOf(1, 3)
	if err := flushAll(t.Context(), t, old, batches, r); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key, h := range heads(t, client) {
		keys = append(keys, key)
		if h.StorageClass != types.StorageClassStandardIa || h.ServerSideEncryption != types.ServerSideEncryptionAes256 {
			t.Errorf("%s is written as %+v", key, h)
		}
	}
	slices.Sort(keys)
	missing := []string{keys[0], keys[len(keys)-1]} // an object and the manifest
	for _, key := range missing {
		if _, err := client.DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("logs"), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	if err := flushAll(t.Context(), t, l, batches, r); err != nil {
		t.Fatal(err)
	}
	for key, h := range heads(t, client) {
		class, encryption := types.StorageClassStandardIa, types.ServerSideEncryptionAes256
		if slices.Contains(missing, key) {
			class, encryption = types.StorageClassGlacierIr, types.ServerSideEncryptionAwsKms
		}
		if h.StorageClass != class || h.ServerSideEncryption != encryption || aws.ToBool(h.BucketKeyEnabled) != (encryption == types.ServerSideEncryptionAwsKms) {
			t.Errorf("%s is written as %+v", key, h)
		}
	}
	compareRows(t, readLake(t, loadBucket(t, dir)), batches)
}

func TestABucketOfAnotherOwnerGetsNothing(t *testing.T) {
	_, _, client := startS3(t)
	cfg := config()
	cfg.ExpectedBucketOwner = "111122223333"
	err := flushAll(t.Context(), t, newLake(t, cfg, client), smallTraffic(), rangeOf(1, 3))
	if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "account 111122223333") {
		t.Errorf("%v, want an error worth a retry that names the account", err)
	}
	if there := heads(t, client); len(there) != 0 {
		t.Errorf("%d objects were written", len(there))
	}
}

// TestReadsExpectTheOwnerToo: what is there was written when nobody asked.
func TestReadsExpectTheOwnerToo(t *testing.T) {
	_, _, client := startS3(t)
	if err := flushAll(t.Context(), t, newLake(t, config(), client), smallTraffic(), rangeOf(1, 3)); err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.ExpectedBucketOwner = "111122223333"
	taken := newLake(t, cfg, readOnly{client})
	err := flushAll(t.Context(), t, taken, smallTraffic(), rangeOf(1, 3))
	if err == nil || stream.IsPermanent(err) || !strings.Contains(err.Error(), "read the end of") || !strings.Contains(err.Error(), "account 111122223333") {
		t.Errorf("%v, want a refused read", err)
	}
}

// readOnly answers every PUT as if the key were taken.
type readOnly struct{ *sdk.Client }

func (readOnly) PutObject(context.Context, *sdk.PutObjectInput, ...func(*sdk.Options)) (*sdk.PutObjectOutput, error) {
	return nil, answered(http.StatusPreconditionFailed, "PreconditionFailed")
}
