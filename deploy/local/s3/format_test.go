package s3

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTheMetadataFormatStays: directories written by an older build are opened
// by newer ones, or refused by version.
func TestTheMetadataFormatStays(t *testing.T) {
	const key = "kind=app/dt=2026-11-22/shardId-000000000000-495.parquet"
	if got, want := metaPath("lake", key), ".meta/lake/6c/6c3b477f1b84b56749d6df71fe3989c871c4bd97ca497dac37673fd2ecde7667.json"; got != want {
		t.Errorf("metadata lies at %s, not at %s", got, want)
	}
	dir := t.TempDir()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	o := object{Size: 7, Modified: 1795362245144467840, ETag: `"9a0364b9e99bb480dd25e1f0284c8555"`,
		Headers: map[string]string{"Content-Type": "application/vnd.apache.parquet", "x-amz-meta-range": "1-9", "x-amz-checksum-crc32": "NhCmhg=="}}
	if err := s.writeMeta("lake", key, o, object{Size: 3, Modified: 1, ETag: `"x"`}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, metaPath("lake", key)))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "meta.v1.json")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.TrimSpace(want)) {
		t.Errorf("%s differs from what is written now:\n%s\n%s", golden, want, got)
	}
	// An older build's file: found by its key, and its newest object first.
	objects, err := s.readMeta("lake", key)
	if err != nil || len(objects) != 2 || objects[0].Headers["x-amz-meta-range"] != "1-9" {
		t.Errorf("read back: %+v, %v", objects, err)
	}
	if err := os.WriteFile(filepath.Join(dir, metaPath("lake", key)), bytes.Replace(got, []byte(`"version":1`), []byte(`"version":2`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.readMeta("lake", key); err == nil {
		t.Error("metadata of a later version is read as if it were known")
	}
}

// TestStorageIsKeptAmongTheHeaders: a build from before storage was kept gives
// back whatever stands there, so version 1 holds it.
func TestStorageIsKeptAmongTheHeaders(t *testing.T) {
	kept, err := storedHeaders(http.Header{
		"X-Amz-Storage-Class": {"STANDARD_IA"}, "X-Amz-Acl": {"bucket-owner-full-control"}, "X-Amz-Server-Side-Encryption": {"aws:kms"},
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id":     {"0123abcd-0000-4000-8000-0123456789ab"},
		"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": {"true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "storage.v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.TrimSpace(want)) {
		t.Errorf("written before:\n%s\nwritten now:\n%s", want, got)
	}
	for _, plain := range []http.Header{{}, {"X-Amz-Storage-Class": {"STANDARD"}, "X-Amz-Server-Side-Encryption": {"AES256"}}} {
		if kept, err := storedHeaders(plain); err != nil || len(kept) != 0 {
			t.Errorf("of %v is kept %v, %v", plain, kept, err)
		}
	}
}

// TestStampsDiffer: two writes within one tick of the file system's clock must
// not be taken for each other.
func TestStampsDiffer(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	seen := map[int64]bool{}
	for range 100 {
		file, temp, err := s.files.create()
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		stamp, err := s.stamp(temp)
		if err != nil || seen[stamp] || time.Since(time.Unix(0, stamp)) > time.Minute {
			t.Fatalf("stamp %d, %v", stamp, err)
		}
		seen[stamp] = true
	}
}

func FuzzChunked(f *testing.F) {
	f.Add([]byte("3;chunk-signature=00\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"), int64(5))
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), int64(5))
	f.Add([]byte("ffffffffffffffff\r\n"), int64(5))
	f.Fuzz(func(t *testing.T, body []byte, want int64) {
		c := &chunked{in: bufio.NewReader(bytes.NewReader(body)), want: want, trailer: http.Header{}}
		content, err := io.ReadAll(c)
		if len(content) > len(body) {
			t.Errorf("%d bytes out of %d", len(content), len(body))
		}
		if err == nil && int64(len(content)) != want {
			t.Errorf("%d bytes accepted, %d announced", len(content), want)
		}
	})
}

func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"a/b", "../a", "a//b", "a=b:c", "/", "a/..", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) != nil {
			return
		}
		if name := dataPath("lake", key); !filepath.IsLocal(name) || filepath.Clean(name) != name {
			t.Errorf("key %q lies at %q", key, name)
		}
	})
}
