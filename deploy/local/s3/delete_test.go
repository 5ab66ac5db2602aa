package s3_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestDeletingADirectorysLastObjectDoesNotHinderWritingTheNext(t *testing.T) {
	e := withBucket(t)
	var wg sync.WaitGroup
	for writer := range 4 {
		wg.Go(func() {
			for i := range 15 {
				key := aws.String(fmt.Sprintf("dt=%d/hour/%d", i%2, writer))
				if _, err := e.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("x")}); err != nil {
					t.Error(err)
				}
				if _, err := e.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String(bucket), Key: key}); err != nil {
					t.Error(err)
				}
				if _, err := e.DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String(bucket), Key: key}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left, _ := os.ReadDir(e.file(bucket)); len(left) != 0 {
		t.Errorf("%d directories are left", len(left))
	}
}

func TestDeletedObjectsAreGoneWithTheirDirectories(t *testing.T) {
	e := withBucket(t)
	ctx := t.Context()
	e.put("a/b/c", "x")
	e.put("a/d", "x")
	del := func(key string) {
		t.Helper()
		if _, err := e.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}); err != nil {
			t.Error(err)
		}
	}
	del("a/b/c")
	del("a/b/c")
	del("a")
	del("a/d/e")
	if got := e.get("a/d"); got != "x" {
		t.Errorf("a/d is %q", got)
	}
	if _, err := os.Stat(e.file(bucket, "a", "b")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the empty directory a/b is left")
	}
	e.put("a/b", "now an object")
	out, err := e.DeleteObjects(ctx, &sdk.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a/b")}, {Key: aws.String("a/d")}, {Key: aws.String("not there")}, {Key: aws.String("../x")}}}})
	if err != nil || len(out.Deleted) != 3 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].Key) != "../x" {
		t.Errorf("batch: %+v, %v", out, err)
	}
	if _, err := e.DeleteBucket(ctx, &sdk.DeleteBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Errorf("the emptied bucket: %v", err)
	}
	_, err = e.GetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a/b")})
	wantCode(t, err, "NoSuchBucket")
}

func TestBuckets(t *testing.T) {
	e := withBucket(t)
	ctx := t.Context()
	if _, err := e.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Error(err)
	}
	_, err := e.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: aws.String("no-such")})
	wantCode(t, err, "NotFound")
	_, err = e.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String(bucket)})
	wantCode(t, err, "BucketAlreadyOwnedByYou")
	_, err = e.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("Not_A_Bucket")})
	wantCode(t, err, "InvalidBucketName")
	_, err = e.PutObject(ctx, &sdk.PutObjectInput{Bucket: aws.String("no-such"), Key: aws.String("a"), Body: strings.NewReader("x")})
	wantCode(t, err, "NoSuchBucket")
	if _, err := e.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("another"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuWest1}}); err != nil {
		t.Error(err)
	}
	e.put("a", "x")
	_, err = e.DeleteBucket(ctx, &sdk.DeleteBucketInput{Bucket: aws.String(bucket)})
	wantCode(t, err, "BucketNotEmpty")
	out, err := e.ListBuckets(ctx, &sdk.ListBucketsInput{})
	if err != nil || len(out.Buckets) != 2 || aws.ToString(out.Buckets[0].Name) != "another" || aws.ToString(out.Buckets[1].Name) != bucket {
		t.Errorf("buckets: %+v, %v", out, err)
	}
}
