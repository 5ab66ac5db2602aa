package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestUploadsInParts(t *testing.T) {
	e := withBucket(t)
	ctx := t.Context()
	begin := func(key string) *string {
		t.Helper()
		out, err := e.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String(key), Metadata: map[string]string{"m": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		return out.UploadId
	}
	part := func(key string, id *string, number int32, content string) types.CompletedPart {
		t.Helper()
		out, err := e.UploadPart(ctx, &sdk.UploadPartInput{Bucket: aws.String(bucket), Key: aws.String(key), UploadId: id, PartNumber: aws.Int32(number), Body: strings.NewReader(content)})
		if err != nil {
			t.Fatal(err)
		}
		return types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(number), ChecksumCRC32: out.ChecksumCRC32}
	}
	complete := func(key string, id *string, ifNoneMatch *string, parts ...types.CompletedPart) error {
		out, err := e.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String(key), UploadId: id,
			IfNoneMatch: ifNoneMatch, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		if err == nil && !strings.HasSuffix(aws.ToString(out.ETag), fmt.Sprintf(`-%d"`, len(parts))) {
			t.Errorf("etag is %s", aws.ToString(out.ETag))
		}
		return err
	}
	big := strings.Repeat("0123456789abcdef", 5<<20/16)

	t.Run("parts become one object, and an upload survives a restart", func(t *testing.T) {
		id := begin("dir/big")
		part("dir/big", id, 1, "replaced by the next one")
		one := part("dir/big", id, 1, big)
		e.stop()
		again := start(t, e.dir)
		e.Client, e.server, e.service, e.stopped = again.Client, again.server, again.service, false
		again.stopped = true // e stops it
		two := part("dir/big", id, 2, "end")
		if err := complete("dir/big", id, nil, one, two); err != nil {
			t.Fatal(err)
		}
		if e.get("dir/big") != big+"end" || e.head("dir/big").Metadata["m"] != "1" {
			t.Error("the object is not the parts joined")
		}
		wantCode(t, complete("dir/big", id, nil, one, two), "NoSuchUpload")
	})
	t.Run("If-None-Match does not overwrite", func(t *testing.T) {
		e.put("there", "first")
		id := begin("there")
		p := part("there", id, 1, "second")
		wantCode(t, complete("there", id, aws.String("*"), p), "PreconditionFailed")
		if e.get("there") != "first" {
			t.Error("it was overwritten")
		}
	})
	t.Run("wrong lists of parts are refused", func(t *testing.T) {
		id := begin("wrong")
		small, last := part("wrong", id, 1, "small"), part("wrong", id, 2, "last")
		wantCode(t, complete("wrong", id, nil, small, last), "EntityTooSmall")
		wantCode(t, complete("wrong", id, nil, last, small), "InvalidPartOrder")
		wantCode(t, complete("wrong", id, nil, types.CompletedPart{ETag: aws.String("../../x"), PartNumber: aws.Int32(1)}), "InvalidPart")
		wantCode(t, complete("other", id, nil, last), "NoSuchUpload")
		if _, err := e.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("wrong"), UploadId: id}); err != nil {
			t.Error(err)
		}
		wantCode(t, complete("wrong", id, nil, last), "NoSuchUpload")
		_, err := e.UploadPart(ctx, &sdk.UploadPartInput{Bucket: aws.String(bucket), Key: aws.String("wrong"), UploadId: aws.String("../.."), PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
		wantCode(t, err, "NoSuchUpload")
	})
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}
