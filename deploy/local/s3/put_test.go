package s3_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestAnObjectIsAPlainFileAndComesBackWithItsMetadata(t *testing.T) {
	e := withBucket(t)
	const key = "events/kind=app/dt=2026-11-22/hour=07/shardId-000000000000-495:7.parquet"
	out, err := e.try(key, "content", func(in *sdk.PutObjectInput) {
		in.Metadata = map[string]string{"range": "1-9", "rows": "3"}
		in.ContentType = aws.String("application/vnd.apache.parquet")
		in.CacheControl = aws.String("max-age=60")
	})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.ETag) != etagOf("content") || aws.ToString(out.ChecksumCRC32) == "" {
		t.Errorf("put answers etag %s and crc32 %s", aws.ToString(out.ETag), aws.ToString(out.ChecksumCRC32))
	}
	if plain, err := os.ReadFile(e.file(bucket, key)); err != nil || string(plain) != "content" {
		t.Errorf("the file is %q, %v", plain, err)
	}
	check := func() {
		t.Helper()
		h := e.head(key)
		if h.Metadata["range"] != "1-9" || h.Metadata["rows"] != "3" || aws.ToString(h.ContentType) != "application/vnd.apache.parquet" || aws.ToString(h.CacheControl) != "max-age=60" ||
			aws.ToInt64(h.ContentLength) != 7 || aws.ToString(h.ETag) != etagOf("content") || time.Since(aws.ToTime(h.LastModified)) > time.Minute {
			t.Errorf("head answers %+v", h)
		}
		if got := e.get(key); got != "content" {
			t.Errorf("get answers %q", got)
		}
	}
	check()
	e.stop()
	again := start(t, e.dir)
	e.Client = again.Client
	check()
	if found, _ := filepath.Glob(e.file(bucket, "*")); len(found) != 1 {
		t.Errorf("beside the object the bucket holds %v", found)
	}
}

func TestAFilePutByHandIsAnObject(t *testing.T) {
	e := withBucket(t)
	e.put("a", "old!")
	e.byHand("a", "mine")
	e.byHand("b/c", "new")
	for key, content := range map[string]string{"a": "mine", "b/c": "new"} {
		if got := e.get(key); got != content || aws.ToString(e.head(key).ETag) != etagOf(content) {
			t.Errorf("%s is %q with etag %s", key, got, aws.ToString(e.head(key).ETag))
		}
		_, err := e.try(key, "x", func(in *sdk.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
		wantCode(t, err, "PreconditionFailed")
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files of refused writes are left", n)
	}
}

func TestACopyThatLostItsTimesKeepsItsMetadata(t *testing.T) {
	for name, encryption := range map[string]types.ServerSideEncryption{"in the clear": "", "under a key": types.ServerSideEncryptionAwsKms} {
		t.Run(name, func(t *testing.T) {
			e := withBucket(t)
			put, err := e.try("a", "x", func(in *sdk.PutObjectInput) {
				in.Metadata, in.ServerSideEncryption = map[string]string{"range": "1-2"}, encryption
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(e.file(bucket, "a"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if got := e.head("a"); got.Metadata["range"] != "1-2" || *got.ETag != *put.ETag || got.ServerSideEncryption != put.ServerSideEncryption {
				t.Errorf("head answers %+v, put answered %+v", got, put)
			}
		})
	}
}

func TestACrashLeavesTheOldObjectOrTheNewOne(t *testing.T) {
	// The last step of a PUT is the rename of the data. A crash before it leaves
	// the metadata of both objects beside the old data, and a temporary file.
	e := withBucket(t)
	withMeta := func(v string) func(*sdk.PutObjectInput) {
		return func(in *sdk.PutObjectInput) { in.Metadata = map[string]string{"v": v} }
	}
	if _, err := e.try("a", "same size 1", withMeta("1")); err != nil {
		t.Fatal(err)
	}
	old := e.file("saved")
	if err := os.Link(e.file(bucket, "a"), old); err != nil {
		t.Fatal(err)
	}
	if _, err := e.try("a", "same size 2", withMeta("2")); err != nil {
		t.Fatal(err)
	}
	e.put("never-renamed", "x")
	if got := e.head("a").Metadata["v"]; got != "2" {
		t.Errorf("before the crash: v is %s", got)
	}
	e.stop()
	if err := errors.Join(os.Rename(old, e.file(bucket, "a")), os.Remove(e.file(bucket, "never-renamed")),
		os.WriteFile(e.file(".tmp", "LEFTOVER"), []byte("half"), 0o644), os.MkdirAll(e.file(".multipart", "HALF"), 0o755)); err != nil {
		t.Fatal(err)
	}
	e = start(t, e.dir)
	if got := e.get("a"); got != "same size 1" || e.head("a").Metadata["v"] != "1" || aws.ToString(e.head("a").ETag) != etagOf("same size 1") {
		t.Errorf("after the crash: %q with %v", got, e.head("a").Metadata)
	}
	if names, _ := e.list(sdk.ListObjectsV2Input{}); strings.Join(names, " ") != "a" {
		t.Errorf("after the crash the bucket lists %v", names)
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	if _, err := os.Stat(e.file(".multipart", "HALF")); !errors.Is(err, os.ErrNotExist) {
		t.Error("an upload without a record is left")
	}
	_, err := e.try("never-renamed", "y", func(in *sdk.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
	wantCode(t, err, "")
}
