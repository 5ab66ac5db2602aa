package lake_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/s3"
	"tributary/stream"
)

// startS3 runs an S3 endpoint with the bucket "logs" and returns its directory
// and a client with the retries that a program gets by default.
func startS3(t *testing.T) (dir string, faults *fault.Set, client *sdk.Client) {
	t.Helper()
	dir = t.TempDir()
	faults, client = serveS3(t, dir)
	if _, err := client.CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: aws.String("logs")}); err != nil {
		t.Fatal(err)
	}
	return dir, faults, client
}

// serveS3 runs an S3 endpoint over a directory.
func serveS3(t *testing.T, dir string) (faults *fault.Set, client *sdk.Client) {
	t.Helper()
	faults = &fault.Set{}
	service, err := s3.Open(dir, faults)
	if err != nil {
		t.Fatal(err)
	}
	server, transport := httptest.NewServer(service), &http.Transport{}
	t.Cleanup(func() {
		server.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:                 &http.Client{Transport: transport},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
	return faults, client
}

// loadBucket reads an endpoint's directory into a bucket, to be looked at.
func loadBucket(t *testing.T, dir string) *bucket {
	t.Helper()
	b := newBucket()
	for _, pattern := range []string{"lake/*/*/*/*.parquet", "lake/_ranges/*/*.json"} {
		names, err := filepath.Glob(filepath.Join(dir, "logs", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			key, err := filepath.Rel(filepath.Join(dir, "logs"), name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b.objects["logs/"+filepath.ToSlash(key)] = blob{content: f}
		}
	}
	return b
}

// TestFlushOverS3 flushes through the real client, over HTTP, while the endpoint
// misbehaves; each failed flush is repeated, after the second by another worker
// that starts from nothing.
func TestFlushOverS3(t *testing.T) {
	every := func(n int, operation string, action fault.Action) fault.Rule {
		return fault.Rule{Service: "s3", Operation: operation, Every: n, Action: action}
	}
	late := every(3, "PutObject", fault.DelayCommit)
	late.Delay = 800 * time.Millisecond
	late.Count = 2
	for name, rules := range map[string][]fault.Rule{
		"without faults":                            nil,
		"answers to PUTs are lost":                  {every(3, "PutObject", fault.LoseResponse)},
		"answers to GETs are lost":                  {every(3, "GetObject", fault.LoseResponse)},
		"PUTs are committed after the client left":  {late},
		"S3 throttles":                              {every(4, "*", fault.Throttle)},
		"S3 fails and loses answers, GETs and PUTs": {every(5, "*", fault.Error), every(7, "*", fault.LoseResponse)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting
			dir, faults, client := startS3(t)
			if err := faults.Replace(rules); err != nil {
				t.Fatal(err)
			}
			cfg := config()
			cfg.AttemptTimeout = 500 * time.Millisecond
			l := newLake(t, cfg, client)
			batches, r := traffic(500), rangeOf(1, 5)
			sink := open(t, l)
			appendAll(t, sink, batches)
			for try := 1; ; try++ {
				err := sink.Flush(t.Context(), r)
				if err == nil {
					break
				}
				if stream.IsPermanent(err) || try == 40 {
					t.Fatalf("flush %d: %v", try, err)
				}
				if try == 2 {
					sink = open(t, newLake(t, cfg, client))
					appendAll(t, sink, batches)
				}
			}
			b := loadBucket(t, dir)
			compareRows(t, readLake(t, b), batches)
			if !slices.ContainsFunc(b.keys(), func(k string) bool { return strings.HasPrefix(k, "lake/_ranges/") }) {
				t.Errorf("no manifest among %q", b.keys())
			}
			for _, rule := range faults.Rules() {
				if rule.Hits == 0 {
					t.Errorf("the endpoint never did %+v", rule.Rule)
				}
			}
		})
	}
}

func TestAClientThatRetriesIsNotLetTo(t *testing.T) {
	_, faults, client := startS3(t)
	if err := faults.Replace([]fault.Rule{{Service: "s3", Operation: "PutObject", Action: fault.Error}}); err != nil {
		t.Fatal(err)
	}
	if err := flushAll(t.Context(), t, newLake(t, config(), client), smallTraffic(), rangeOf(1, 3)); err == nil || stream.IsPermanent(err) {
		t.Errorf("%v, want an error worth a retry", err)
	}
	if calls := faults.Rules()[0].Calls; calls != 1 {
		t.Errorf("%d PUTs for one attempt", calls)
	}
}
