package s3_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/s3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bucket = "lake"

// endpoint is a service on a port, with a client that does not retry.
type endpoint struct {
	*sdk.Client
	t       *testing.T
	dir     string
	url     string
	faults  *fault.Set
	service *s3.Service
	server  *httptest.Server
	stopped bool
}

func start(t *testing.T, dir string) *endpoint {
	t.Helper()
	e := &endpoint{t: t, dir: dir, faults: &fault.Set{}}
	service, err := s3.Open(dir, e.faults)
	if err != nil {
		t.Fatal(err)
	}
	e.service, e.server = service, httptest.NewServer(service)
	e.url = e.server.URL
	transport := &http.Transport{}
	e.Client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(e.url), RetryMaxAttempts: 1, UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:                 &http.Client{Transport: plainBodies{transport}},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
	t.Cleanup(func() { e.stop(); transport.CloseIdleConnections() })
	return e
}

// plainBodies hides a request body's WriteTo, which in smithy-go v1.28.8 can
// make the transport cut a connection under the answer being read: WriteTo of a
// body that was closed in the meantime returns io.EOF as an error.
type plainBodies struct{ http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}

func (e *endpoint) stop() {
	if e.stopped {
		return
	}
	e.stopped = true
	e.server.Close()
	if err := e.service.Close(); err != nil {
		e.t.Error(err)
	}
}

func withBucket(t *testing.T) *endpoint {
	t.Helper()
	e := start(t, t.TempDir())
	if _, err := e.CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *endpoint) put(key, body string) {
	e.t.Helper()
	if _, err := e.try(key, body, nil); err != nil {
		e.t.Fatal(err)
	}
}

func (e *endpoint) try(key, body string, change func(*sdk.PutObjectInput)) (*sdk.PutObjectOutput, error) {
	in := &sdk.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: strings.NewReader(body)}
	if change != nil {
		change(in)
	}
	return e.PutObject(e.t.Context(), in)
}

func (e *endpoint) get(key string) string {
	e.t.Helper()
	out, err := e.GetObject(e.t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		e.t.Fatal(err)
	}
	return read(e.t, out.Body)
}

func read(t *testing.T, body io.ReadCloser) string {
	t.Helper()
	content, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Error(err)
	}
	return string(content)
}

func (e *endpoint) file(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// byHand puts a file into the bucket's directory without the service.
func (e *endpoint) byHand(key, content string) {
	e.t.Helper()
	name := e.file(bucket, key)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		e.t.Fatal(err)
	}
}

func (e *endpoint) head(key string) *sdk.HeadObjectOutput {
	e.t.Helper()
	out, err := e.HeadObject(e.t.Context(), &sdk.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return "not an API error: " + err.Error()
	}
	return ""
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("error code is %q (%v), want %q", got, err, want)
	}
}

func etagOf(content string) string {
	sum := md5.Sum([]byte(content))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// temporary counts what is being written.
func (e *endpoint) temporary() int {
	e.t.Helper()
	entries, err := os.ReadDir(e.file(".tmp"))
	if err != nil {
		e.t.Fatal(err)
	}
	return len(entries)
}

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

func TestOneWriterWinsEachRaceForAKey(t *testing.T) {
	e := withBucket(t)
	for round := range 10 {
		key := fmt.Sprintf("dir/race-%d", round)
		var wins atomic.Int64
		var winner atomic.Value
		var wg sync.WaitGroup
		for writer := range 8 {
			wg.Go(func() {
				body := strings.Repeat(fmt.Sprint(writer), 1000)
				_, err := e.try(key, body, func(in *sdk.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
				switch code(err) {
				case "":
					wins.Add(1)
					winner.Store(body)
				case "PreconditionFailed":
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 || e.get(key) != winner.Load() {
			t.Errorf("round %d: %d winners, object begins with %.3s", round, wins.Load(), e.get(key))
		}
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestConditionalWrites(t *testing.T) {
	e := withBucket(t)
	e.put("a", "one")
	for _, c := range []struct {
		name        string
		key         string
		ifMatch     string
		ifNoneMatch string
		want        string
		after       string
	}{
		{"If-None-Match refuses an object that exists", "a", "", "*", "PreconditionFailed", "one"},
		{"If-Match refuses another etag", "a", etagOf("two"), "", "PreconditionFailed", "one"},
		{"If-Match lets the right etag pass", "a", etagOf("one"), "", "", "new"},
		{"If-Match takes an etag without quotes", "a", strings.Trim(etagOf("new"), `"`), "", "", "new"},
		{"If-Match finds no object", "b", etagOf("one"), "", "NoSuchKey", ""},
		{"If-None-Match creates", "c", "", "*", "", "new"},
		{"If-None-Match with an etag is refused loudly", "d", "", etagOf("one"), "NotImplemented", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.try(c.key, "new", func(in *sdk.PutObjectInput) {
				if c.ifMatch != "" {
					in.IfMatch = aws.String(c.ifMatch)
				}
				if c.ifNoneMatch != "" {
					in.IfNoneMatch = aws.String(c.ifNoneMatch)
				}
			})
			wantCode(t, err, c.want)
			if c.after == "" {
				_, err := e.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(c.key)})
				wantCode(t, err, "NotFound")
				return
			}
			if got := e.get(c.key); got != c.after {
				t.Errorf("object is %q, want %q", got, c.after)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	e := withBucket(t)
	e.put("a", "0123456789")
	e.put("empty", "")
	for _, c := range []struct {
		name, key, header, want, contentRange, code string
	}{
		{"from the start", "a", "bytes=0-3", "0123", "bytes 0-3/10", ""},
		{"in the middle", "a", "bytes=4-4", "4", "bytes 4-4/10", ""},
		{"open end", "a", "bytes=7-", "789", "bytes 7-9/10", ""},
		{"end behind the object's", "a", "bytes=8-100", "89", "bytes 8-9/10", ""},
		{"suffix", "a", "bytes=-3", "789", "bytes 7-9/10", ""},
		{"suffix longer than the object gives the whole object", "a", "bytes=-100", "0123456789", "bytes 0-9/10", ""},
		{"start behind the object", "a", "bytes=10-", "", "", "InvalidRange"},
		{"empty suffix", "a", "bytes=-0", "", "", "InvalidRange"},
		{"any range of nothing", "empty", "bytes=0-1", "", "", "InvalidRange"},
		{"end before the start", "a", "bytes=5-4", "", "", "InvalidArgument"},
		{"several ranges", "a", "bytes=0-1,3-4", "", "", "NotImplemented"},
		{"another unit", "a", "lines=0-1", "", "", "NotImplemented"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(c.key), Range: aws.String(c.header)})
			wantCode(t, err, c.code)
			if err != nil {
				return
			}
			if got := read(t, out.Body); got != c.want || aws.ToString(out.ContentRange) != c.contentRange {
				t.Errorf("got %q with %q, want %q with %q", got, aws.ToString(out.ContentRange), c.want, c.contentRange)
			}
		})
	}
}

func TestConditionalReads(t *testing.T) {
	e := withBucket(t)
	e.put("a", "one")
	get := func(match, noneMatch *string) error {
		out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("a"), IfMatch: match, IfNoneMatch: noneMatch})
		if err == nil {
			read(t, out.Body)
		}
		return err
	}
	wantCode(t, get(aws.String(etagOf("one")), nil), "")
	wantCode(t, get(aws.String(etagOf("two")), nil), "PreconditionFailed")
	wantCode(t, get(nil, aws.String(etagOf("two"))), "")
	if err := get(nil, aws.String(etagOf("one"))); err == nil || !strings.Contains(err.Error(), "304") {
		t.Errorf("If-None-Match of the object's etag answers %v, want 304", err)
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

// list gives the keys and common prefixes of all pages.
func (e *endpoint) list(in sdk.ListObjectsV2Input) (names []string, pages int) {
	e.t.Helper()
	in.Bucket = aws.String(bucket)
	for p := sdk.NewListObjectsV2Paginator(e.Client, &in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(e.t.Context())
		if err != nil {
			e.t.Fatal(err)
		}
		if n := len(page.Contents) + len(page.CommonPrefixes); int(aws.ToInt32(page.KeyCount)) != n || in.MaxKeys != nil && n > int(*in.MaxKeys) {
			e.t.Errorf("a page of %d says %d, at most %d were asked for", n, aws.ToInt32(page.KeyCount), aws.ToInt32(in.MaxKeys))
		}
		for _, o := range page.Contents {
			names = append(names, aws.ToString(o.Key))
		}
		for _, p := range page.CommonPrefixes {
			names = append(names, aws.ToString(p.Prefix))
		}
	}
	return names, pages
}

func TestListPagesThroughThousandsOfKeys(t *testing.T) {
	e := withBucket(t)
	const n = 2100
	for i := range n {
		e.byHand(fmt.Sprintf("dt=%02d/%04d.parquet", i%7, i), "x")
	}
	names, pages := e.list(sdk.ListObjectsV2Input{})
	seen := map[string]bool{}
	for i, name := range names {
		seen[name] = true
		if i > 0 && names[i-1] >= name {
			t.Fatalf("%s comes after %s", name, names[i-1])
		}
	}
	if len(seen) != n || pages != 3 {
		t.Errorf("%d keys in %d pages, want %d in 3", len(seen), pages, n)
	}
	if names, pages := e.list(sdk.ListObjectsV2Input{Prefix: aws.String("dt=03/"), MaxKeys: aws.Int32(100)}); len(names) != n/7 || pages != 3 {
		t.Errorf("below a prefix: %d keys in %d pages, want %d in 3", len(names), pages, n/7)
	}
	if names, _ := e.list(sdk.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(2)}); strings.Join(names, " ") != "dt=00/ dt=01/ dt=02/ dt=03/ dt=04/ dt=05/ dt=06/" {
		t.Errorf("rolled up: %v", names)
	}
}

func TestListShapes(t *testing.T) {
	e := withBucket(t)
	for _, key := range []string{"a", "b/1", "b/2/x", "b/2/y", "b-", "b0", "c/d/e", "é &<+", ".hidden"} {
		e.put(key, key)
	}
	if err := os.MkdirAll(e.file(bucket, "empty", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		in   sdk.ListObjectsV2Input
		want string
	}{
		{"all keys come in the order of their bytes", sdk.ListObjectsV2Input{}, ".hidden a b- b/1 b/2/x b/2/y b0 c/d/e é &<+"},
		{"a prefix need not end at a slash", sdk.ListObjectsV2Input{Prefix: aws.String("b")}, "b- b/1 b/2/x b/2/y b0"},
		{"a prefix inside a name", sdk.ListObjectsV2Input{Prefix: aws.String("b/2/x")}, "b/2/x"},
		{"nothing below", sdk.ListObjectsV2Input{Prefix: aws.String("empty/")}, ""},
		{"a delimiter rolls up", sdk.ListObjectsV2Input{Delimiter: aws.String("/")}, ".hidden a b- b0 é &<+ b/ c/"},
		{"a delimiter below a prefix", sdk.ListObjectsV2Input{Delimiter: aws.String("/"), Prefix: aws.String("b/")}, "b/1 b/2/"},
		{"another delimiter", sdk.ListObjectsV2Input{Delimiter: aws.String("2")}, ".hidden a b- b/1 b0 c/d/e é &<+ b/2"},
		{"start after a key", sdk.ListObjectsV2Input{StartAfter: aws.String("b/2/x")}, "b/2/y b0 c/d/e é &<+"},
		{"start after what is no key", sdk.ListObjectsV2Input{StartAfter: aws.String("b/2")}, "b/2/x b/2/y b0 c/d/e é &<+"},
		{"encoded for the wire", sdk.ListObjectsV2Input{EncodingType: types.EncodingTypeUrl, Prefix: aws.String("é")}, "%C3%A9+%26%3C%2B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			names, _ := e.list(c.in)
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			c.in.MaxKeys, c.in.ContinuationToken = aws.Int32(1), nil
			single, pages := e.list(c.in)
			if len(single) != len(names) || len(single) != max(pages, 1) && len(single) > 0 {
				t.Errorf("one by one: %v in %d pages", single, pages)
			}
		})
	}
	_, err := e.ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String(bucket), ContinuationToken: aws.String("nonsense")})
	wantCode(t, err, "InvalidArgument")
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
}

func TestACopyThatLostItsTimesKeepsItsMetadata(t *testing.T) {
	e := withBucket(t)
	if _, err := e.try("a", "x", func(in *sdk.PutObjectInput) { in.Metadata = map[string]string{"range": "1-2"} }); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(e.file(bucket, "a"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := e.head("a"); got.Metadata["range"] != "1-2" {
		t.Errorf("metadata is %v", got.Metadata)
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

func TestChecksumsAreVerifiedAndGivenBack(t *testing.T) {
	e := withBucket(t)
	for _, algorithm := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256} {
		t.Run("the SDK and the endpoint agree on "+string(algorithm), func(t *testing.T) {
			key := string(algorithm)
			if _, err := e.try(key, "content", func(in *sdk.PutObjectInput) { in.ChecksumAlgorithm = algorithm }); err != nil {
				t.Fatal(err)
			}
			out, err := e.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), ChecksumMode: types.ChecksumModeEnabled})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, v := range []*string{out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256} {
				if v != nil {
					n++
				}
			}
			if n != 1 || e.get(key) != "content" {
				t.Errorf("%d checksums came back, content is %q", n, e.get(key))
			}
		})
	}
	t.Run("a wrong checksum stores nothing", func(t *testing.T) {
		_, err := e.try("bad", "content", func(in *sdk.PutObjectInput) { in.ChecksumCRC32 = aws.String("AAAAAA==") })
		wantCode(t, err, "BadDigest")
		_, err = e.try("bad", "content", func(in *sdk.PutObjectInput) { in.ContentMD5 = aws.String("AAAAAAAAAAAAAAAAAAAAAA==") })
		wantCode(t, err, "BadDigest")
		_, err = e.HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("bad")})
		wantCode(t, err, "NotFound")
	})
	t.Run("damage on the disk does not reach a client unnoticed", func(t *testing.T) {
		e.put("damaged", "content")
		info, err := os.Stat(e.file(bucket, "damaged"))
		if err != nil {
			t.Fatal(err)
		}
		e.byHand("damaged", "CONTENT")
		if err := os.Chtimes(e.file(bucket, "damaged"), info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		out, err := e.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("damaged")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(out.Body); err == nil {
			t.Error("the client read damaged content without an error")
		}
		_ = out.Body.Close()
	})
}

func TestAwsChunkedBodiesAreUnwrapped(t *testing.T) {
	e := withBucket(t)
	send := func(body, length, trailer string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.url+"/"+bucket+"/chunked", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		r.Header.Set("X-Amz-Decoded-Content-Length", length)
		r.Header.Set("Content-Encoding", "aws-chunked")
		if trailer != "" {
			r.Header.Set("X-Amz-Trailer", trailer)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close(); http.DefaultClient.CloseIdleConnections() })
		return resp
	}
	for _, c := range []struct {
		name, body, length, trailer string
		status                      int
	}{
		{"two chunks, a checksum behind them", "3;chunk-signature=00\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "5", "x-amz-checksum-crc32", 200},
		{"no trailer", "5\r\nhello\r\n0\r\n\r\n", "5", "", 200},
		{"a wrong checksum", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "5", "x-amz-checksum-crc32", 400},
		{"an announced checksum that does not come", "5\r\nhello\r\n0\r\n\r\n", "5", "x-amz-checksum-crc32", 400},
		{"fewer bytes than announced", "5\r\nhello\r\n0\r\n\r\n", "6", "", 400},
		{"an end within a chunk", "6\r\nhello", "6", "", 400},
		{"an end before the last chunk", "5\r\nhello\r\n", "5", "", 400},
		{"no size", "\r\nhello\r\n0\r\n\r\n", "5", "", 400},
		{"a negative size", "-5\r\nhello\r\n0\r\n\r\n", "5", "", 400},
		{"a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n", "4", "", 400},
		{"a trailer nobody knows", "5\r\nhello\r\n0\r\n\r\n", "5", "x-amz-checksum-crc99", 501},
	} {
		t.Run(c.name, func(t *testing.T) {
			_ = os.Remove(e.file(bucket, "chunked"))
			resp := send(c.body, c.length, c.trailer)
			if resp.StatusCode != c.status {
				content, _ := io.ReadAll(resp.Body)
				t.Fatalf("status is %d, want %d: %s", resp.StatusCode, c.status, content)
			}
			_, err := os.Stat(e.file(bucket, "chunked"))
			if stored := err == nil; stored != (c.status == 200) {
				t.Errorf("stored is %t", stored)
			}
			if c.status == 200 && (e.get("chunked") != "hello" || e.head("chunked").ContentEncoding != nil) {
				t.Errorf("object is %q with encoding %v", e.get("chunked"), e.head("chunked").ContentEncoding)
			}
		})
	}
}

func TestABodyThatBreaksOffStoresNothing(t *testing.T) {
	e := withBucket(t)
	reader, writer := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, e.url+"/"+bucket+"/half", reader)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 1 << 20
	go func() {
		_, _ = writer.Write(bytes.Repeat([]byte("x"), 1<<19))
		_ = writer.CloseWithError(errors.New("client died"))
	}()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	e.stop() // waits for the handler
	if _, err := os.Stat(e.file(bucket, "half")); !errors.Is(err, os.ErrNotExist) {
		t.Error("half an object is stored")
	}
	if n := e.temporary(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

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
		"x-amz-storage-class": func() error {
			_, err := e.try("c", "x", func(in *sdk.PutObjectInput) { in.StorageClass = types.StorageClassGlacier })
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
