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
	e.put("a/b/c", "x")
	e.put("a/d", "x")
	out, err := e.DeleteObjects(t.Context(), &sdk.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a/b/c")}, {Key: aws.String("a")}, {Key: aws.String("a/d/e")}, {Key: aws.String("../x")}}}})
	if err != nil || len(out.Deleted) != 3 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].Key) != "../x" {
		t.Errorf("batch: %+v, %v", out, err)
	}
	if _, err := os.Stat(e.file(bucket, "a", "b")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the empty directory a/b is left")
	}
	if plain, err := os.ReadFile(e.file(bucket, "a", "d")); err != nil || string(plain) != "x" {
		t.Errorf("a/d is %q, %v", plain, err)
	}
}

func TestABucketMayBeMadeForAnotherRegion(t *testing.T) {
	e := withBucket(t)
	_, err := e.CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: aws.String("another"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuWest1}})
	wantCode(t, err, "")
	_, err = e.CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: aws.String(bucket)})
	wantCode(t, err, "BucketAlreadyOwnedByYou")
}
