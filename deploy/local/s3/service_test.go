package s3_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
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
