package rejects_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files that are missing; those that are there are frozen")

// bucket is S3 in memory; fault may replace the answer to a PUT, which happens
// all the same when it returns true.
type bucket struct {
	objects map[string]*s3.PutObjectInput
	content map[string][]byte
	looks   []*s3.HeadObjectInput
	fault   func() (do bool, err error)
}

func newBucket() *bucket {
	return &bucket{objects: map[string]*s3.PutObjectInput{}, content: map[string][]byte{}}
}

func answered(status int, code string) error {
	return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: errors.New(code),
	}}
}

func (b *bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	do, fault := true, error(nil)
	if b.fault != nil {
		do, fault = b.fault()
	}
	if !do {
		return nil, fault
	}
	content, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	if in.IfNoneMatch == nil || *in.IfNoneMatch != "*" {
		return nil, errors.New("test: a PUT that could overwrite")
	}
	if b.objects[*in.Key] != nil {
		return nil, answered(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	b.objects[*in.Key], b.content[*in.Key] = in, content
	return &s3.PutObjectOutput{}, fault
}

func (b *bucket) HeadObject(_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	b.looks = append(b.looks, in)
	return &s3.HeadObjectOutput{Metadata: b.objects[*in.Key].Metadata}, nil
}

func (b *bucket) keys() []string { return slices.Sorted(maps.Keys(b.objects)) }

func newStore(t *testing.T, b *bucket, reg prometheus.Registerer, change ...func(*rejects.Config)) *rejects.Store {
	t.Helper()
	cfg := rejects.DefaultConfig()
	cfg.Bucket, cfg.Group = "logs", "lake"
	for _, c := range change {
		c(&cfg)
	}
	s, err := rejects.New(cfg, b, reg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	arrival = time.Date(2026, 11, 22, 23, 59, 59, 123e6, time.UTC)
	span    = stream.Range{Shard: "shardId-000000000003", First: "495903382714902566085596925383615710", Last: "495903382714902566085596925383615799"}
)

func someItems() []rejects.Item {
	return []rejects.Item{
		{Sequence: "495903382714902566085596925383615711", Arrival: arrival, Reject: schema.Reject{Reason: "unknown format", Data: []byte("hello <&> world")}},
		{Sequence: "495903382714902566085596925383615712", Arrival: arrival.Add(time.Minute), Reject: schema.Reject{Index: 7, Reason: "checksum", Data: []byte{0xff, 0x00, 0xfe}}},
		{Sequence: "495903382714902566085596925383615713", Arrival: arrival.In(time.FixedZone("JST", 9*3600)), Reject: schema.Reject{Reason: "checksum"}},
	}
}

func TestKeysAndLinesAreAsTheFormatSays(t *testing.T) {
	b := newBucket()
	s := newStore(t, b, prometheus.NewRegistry())
	reset := span
	reset.Generation = 4
	for _, r := range []stream.Range{span, reset} {
		if err := s.Put(t.Context(), r, someItems()); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	for _, k := range b.keys() {
		fmt.Fprintf(&got, "%s\n%q\n%s\n", k, b.objects[k].Metadata, b.content[k])
	}
	if _, missing := os.Stat("testdata/rejects_v1.txt"); *update && missing != nil {
		if err := os.WriteFile("testdata/rejects_v1.txt", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/rejects_v1.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

func TestPut(t *testing.T) {
	t.Run("twice stores once", func(t *testing.T) {
		b := newBucket()
		for range 2 {
			if err := newStore(t, b, prometheus.NewRegistry()).Put(t.Context(), span, someItems()); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.objects) != 1 {
			t.Errorf("objects %q", b.keys())
		}
	})
	t.Run("of other items of the same range stores both", func(t *testing.T) {
		b := newBucket()
		s := newStore(t, b, prometheus.NewRegistry())
		for _, items := range [][]rejects.Item{someItems()[:1], someItems()[1:]} {
			if err := s.Put(t.Context(), span, items); err != nil {
				t.Fatal(err)
			}
		}
		if len(b.objects) != 2 {
			t.Errorf("objects %q", b.keys())
		}
	})
	t.Run("of nothing stores nothing", func(t *testing.T) {
		b := newBucket()
		if err := newStore(t, b, prometheus.NewRegistry()).Put(t.Context(), span, nil); err != nil || len(b.objects) != 0 {
			t.Errorf("%v, objects %q", err, b.keys())
		}
	})
	t.Run("cuts many items into objects and keeps every byte in order", func(t *testing.T) {
		var items []rejects.Item
		for i := range 2_000 {
			items = append(items, rejects.Item{Sequence: stream.SequenceNumber(fmt.Sprint(1_000_000 + i)), Arrival: arrival,
				Reject: schema.Reject{Index: uint32(i), Reason: "unknown format", Data: bytes.Repeat([]byte{byte(i)}, i%300)}})
		}
		items[1_000].Reject.Data = bytes.Repeat([]byte("large"), 50_000) // longer than an object
		b := newBucket()
		s := newStore(t, b, prometheus.NewRegistry(), func(c *rejects.Config) { c.ObjectBytes = 64 << 10 })
		if err := s.Put(t.Context(), span, items); err != nil {
			t.Fatal(err)
		}
		if len(b.objects) < 8 {
			t.Errorf("only %d objects", len(b.objects))
		}
		found := map[uint32][]byte{}
		for key, content := range b.content {
			if n := bytes.Count(content, []byte("\n")); n > 1 && len(content) > 64<<10 {
				t.Errorf("%s has %d lines and %d bytes", key, n, len(content))
			}
			for text := range bytes.Lines(content) {
				var line struct {
					Index uint32
					Data  string
				}
				if err := json.Unmarshal(text, &line); err != nil {
					t.Fatal(err)
				}
				data, err := base64.StdEncoding.DecodeString(line.Data)
				if err != nil {
					t.Fatal(err)
				}
				found[line.Index] = data
			}
		}
		for _, it := range items {
			if got, ok := found[it.Reject.Index]; !ok || !bytes.Equal(got, it.Reject.Data) {
				t.Fatalf("item %d is there: %v, with its bytes: %v", it.Reject.Index, ok, bytes.Equal(got, it.Reject.Data))
			}
		}
	})
	t.Run("counts by reason once it is durable", func(t *testing.T) {
		b, reg := newBucket(), prometheus.NewRegistry()
		s := newStore(t, b, reg)
		b.fault = func() (bool, error) { return true, errors.New("connection reset") }
		if err := s.Put(t.Context(), span, someItems()); err == nil || stream.IsPermanent(err) {
			t.Fatalf("%v with a lost answer, want an error worth a retry", err)
		}
		b.fault = nil
		if err := s.Put(t.Context(), span, someItems()); err != nil {
			t.Fatal(err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "reason" {
						counted[l.GetValue()] = m.GetCounter().GetValue()
					}
				}
			}
		}
		if want := (map[string]float64{"checksum": 2, "unknown format": 1}); !maps.Equal(counted, want) {
			t.Errorf("counted %v, want %v", counted, want)
		}
		if len(b.objects) != 1 {
			t.Errorf("objects %q", b.keys())
		}
	})
	t.Run("reports what is worth a retry as such", func(t *testing.T) {
		for _, fault := range []error{answered(http.StatusForbidden, "AccessDenied"), answered(http.StatusConflict, "ConditionalRequestConflict"), context.DeadlineExceeded} {
			b := newBucket()
			b.fault = func() (bool, error) { return false, fault }
			if err := newStore(t, b, prometheus.NewRegistry()).Put(t.Context(), span, someItems()); !errors.Is(err, fault) || stream.IsPermanent(err) {
				t.Errorf("%v for %v", err, fault)
			}
		}
	})
	t.Run("says in each request what the bucket's owner demands", func(t *testing.T) {
		b := newBucket()
		s := newStore(t, b, prometheus.NewRegistry(), func(c *rejects.Config) {
			c.ServerSideEncryption, c.KMSKeyID, c.StorageClass, c.ExpectedBucketOwner = "aws:kms", "alias/logs", "STANDARD_IA", "111122223333"
		})
		for range 2 {
			if err := s.Put(t.Context(), span, someItems()); err != nil {
				t.Fatal(err)
			}
		}
		in := b.objects[b.keys()[0]]
		if got := fmt.Sprint(in.ServerSideEncryption, *in.SSEKMSKeyId, in.StorageClass, *in.ExpectedBucketOwner); got != "aws:kmsalias/logsSTANDARD_IA111122223333" {
			t.Errorf("it is put with %s", got)
		}
		if len(b.looks) != 1 || aws.ToString(b.looks[0].ExpectedBucketOwner) != "111122223333" {
			t.Errorf("it is looked at with %+v", b.looks)
		}
	})
	t.Run("does not accept other content under its name", func(t *testing.T) {
		b := newBucket()
		s := newStore(t, b, prometheus.NewRegistry())
		if err := s.Put(t.Context(), span, someItems()); err != nil {
			t.Fatal(err)
		}
		b.objects[b.keys()[0]].Metadata["tributary-sha256"] = "another"
		if err := s.Put(t.Context(), span, someItems()); !stream.IsPermanent(err) || !strings.Contains(err.Error(), b.keys()[0]) {
			t.Errorf("%v, want a permanent error that names the object", err)
		}
	})
}

func TestGroupsShareARegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	newStore(t, newBucket(), reg)
	newStore(t, newBucket(), reg, func(c *rejects.Config) { c.Group = "realtime" })
}

func TestConfigurationFaultsAreToldTogether(t *testing.T) {
	cfg := rejects.Config{Prefix: "/x", Group: "a/b"}
	_, err := rejects.New(cfg, newBucket(), prometheus.NewRegistry(), slog.Default())
	for _, part := range []string{"bucket is missing", `prefix "/x"`, "has a slash", "object_bytes 0 is not within", "attempt_timeout 0s is not within"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
}
