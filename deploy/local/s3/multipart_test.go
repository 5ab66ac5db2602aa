package s3_test

import (
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (e *endpoint) begin(key string) *string {
	e.t.Helper()
	out, err := e.CreateMultipartUpload(e.t.Context(), &sdk.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String(key),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, Metadata: map[string]string{"m": "1"}})
	if err != nil {
		e.t.Fatal(err)
	}
	return out.UploadId
}

func (e *endpoint) part(key string, id *string, number int32, content string) types.CompletedPart {
	e.t.Helper()
	out, err := e.UploadPart(e.t.Context(), &sdk.UploadPartInput{Bucket: aws.String(bucket), Key: aws.String(key), UploadId: id, PartNumber: &number, Body: strings.NewReader(content)})
	if err != nil {
		e.t.Fatal(err)
	}
	return types.CompletedPart{ETag: out.ETag, PartNumber: &number, ChecksumCRC32: out.ChecksumCRC32}
}

func (e *endpoint) complete(key string, id *string, parts ...types.CompletedPart) error {
	_, err := e.CompleteMultipartUpload(e.t.Context(), &sdk.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String(key), UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	return err
}

func TestAnUploadInPartsSurvivesARestart(t *testing.T) {
	e := withBucket(t)
	big := strings.Repeat("0123456789abcdef", 5<<20/16)
	id := e.begin("dir/big")
	e.part("dir/big", id, 1, "replaced by the next one")
	one := e.part("dir/big", id, 1, big)
	e.stop()
	e = start(t, e.dir)
	two := e.part("dir/big", id, 2, "end")
	unsummed := two
	unsummed.ChecksumCRC32 = nil
	wantCode(t, e.complete("dir/big", id, one, unsummed), "InvalidRequest")
	wantCode(t, e.complete("dir/big", id, one, two), "")
	if e.get("dir/big") != big+"end" || e.head("dir/big").Metadata["m"] != "1" {
		t.Error("the object is not the parts joined")
	}
	if left, _ := os.ReadDir(e.file(".multipart")); len(left) != 0 {
		t.Errorf("%d uploads are left", len(left))
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestNamesOfUploadsAndPartsLeadNowhereElse(t *testing.T) {
	e := withBucket(t)
	id := e.begin("a")
	p := e.part("a", id, 1, "x")
	p.ETag = aws.String("../../x")
	wantCode(t, e.complete("a", id, p), "InvalidPart")
	_, err := e.UploadPart(t.Context(), &sdk.UploadPartInput{Bucket: aws.String(bucket), Key: aws.String("a"), UploadId: aws.String("../.."), PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	wantCode(t, err, "NoSuchUpload")
	wrong := e.part("a", id, 1, "y")
	wrong.ChecksumCRC32 = aws.String("AAAAAA==")
	wantCode(t, e.complete("a", id, wrong), "InvalidPart")
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}
