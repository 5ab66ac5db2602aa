package s3_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestStorageOutlivesTheProcess(t *testing.T) {
	e := withBucket(t)
	const key = "arn:aws:kms:ap-northeast-1:111122223333:key/0123abcd-0000-4000-8000-0123456789ab"
	if _, err := e.try("kept", "x", func(in *sdk.PutObjectInput) {
		in.StorageClass, in.ServerSideEncryption = types.StorageClassGlacier, types.ServerSideEncryptionAwsKms
		in.SSEKMSKeyId, in.BucketKeyEnabled = aws.String(key), aws.Bool(true)
	}); err != nil {
		t.Fatal(err)
	}
	begun, err := e.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("parts"),
		StorageClass: types.StorageClassOnezoneIa, ServerSideEncryption: types.ServerSideEncryptionAwsKmsDsse})
	if err != nil {
		t.Fatal(err)
	}
	e.stop()
	e = start(t, e.dir)
	if err := e.complete("parts", begun.UploadId, e.part("parts", begun.UploadId, 1, "x")); err != nil {
		t.Fatal(err)
	}
	h := e.head("kept")
	if h.StorageClass != types.StorageClassGlacier || h.ServerSideEncryption != types.ServerSideEncryptionAwsKms ||
		aws.ToString(h.SSEKMSKeyId) != key || !aws.ToBool(h.BucketKeyEnabled) {
		t.Errorf("head answers %+v", h)
	}
	_, err = e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("kept")})
	wantCode(t, err, "InvalidObjectState")
	if h := e.head("parts"); h.StorageClass != types.StorageClassOnezoneIa || h.ServerSideEncryption != types.ServerSideEncryptionAwsKmsDsse || aws.ToString(h.SSEKMSKeyId) == "" {
		t.Errorf("head of the upload in parts answers %+v", h)
	}
}

func TestEveryOperationOnABucketExpectsItsOwner(t *testing.T) {
	e := withBucket(t)
	e.put("a", "x")
	for _, c := range []struct{ owner, code, headCode string }{
		{"000000000000", "", ""}, {"111122223333", "AccessDenied", "Forbidden"}, {"me", "InvalidBucketOwnerAWSAccountID", "BadRequest"},
	} {
		t.Run(c.owner, func(t *testing.T) {
			ctx, b, k, owner := t.Context(), aws.String(bucket), aws.String("a"), aws.String(c.owner)
			_, err := e.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: b, ExpectedBucketOwner: owner})
			wantCode(t, err, c.headCode)
			_, err = e.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: b, Key: k, ExpectedBucketOwner: owner})
			wantCode(t, err, c.headCode)
			_, err = e.GetObject(ctx, &sdk.GetObjectInput{Bucket: b, Key: k, ExpectedBucketOwner: owner})
			wantCode(t, err, c.code)
			_, err = e.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: b, ExpectedBucketOwner: owner})
			wantCode(t, err, c.code)
			_, err = e.try("b", "x", func(in *sdk.PutObjectInput) { in.ExpectedBucketOwner = owner })
			wantCode(t, err, c.code)
			_, err = e.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: b, Key: k, ExpectedBucketOwner: owner})
			wantCode(t, err, c.code)
			_, err = e.DeleteObjects(ctx, &sdk.DeleteObjectsInput{Bucket: b, ExpectedBucketOwner: owner,
				Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("b")}}}})
			wantCode(t, err, c.code)
			_, err = e.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: b, Key: aws.String("b"), ExpectedBucketOwner: owner})
			wantCode(t, err, c.code)
			_, err = e.DeleteBucket(ctx, &sdk.DeleteBucketInput{Bucket: b, ExpectedBucketOwner: owner})
			if c.code == "" {
				wantCode(t, err, "BucketNotEmpty")
			} else {
				wantCode(t, err, c.code)
			}
		})
	}
}
