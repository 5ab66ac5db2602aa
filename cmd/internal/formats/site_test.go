package formats

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers"
	"tributary/deploy/local"
	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/sinks/rejects"
	"tributary/stream"
)

const (
	streamName = "logs"
	bucketName = "tributary"
)

// site is a data directory with its endpoints, called without a network: in a
// synctest bubble the real clients and endpoints run on its clock. That clock
// begins in the year 2000, so records that once were written do not expire.
type site struct {
	t       *testing.T
	local   *local.Endpoint
	cfg     aws.Config
	kinesis *kinesis.Client
	tables  *dynamodb.Client
	objects *s3.Client

	// noManifests makes every PUT of a range manifest fail.
	noManifests atomic.Bool
}

// openSite opens a data directory. The caller closes it inside the bubble.
func openSite(t *testing.T, dir string) *site {
	t.Helper()
	cfg := local.DefaultConfig()
	cfg.Dir = dir
	endpoint, err := local.Open(cfg, slog.New(slog.DiscardHandler))
	must(t, err)
	s := &site{t: t, local: endpoint}
	s.cfg = aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://endpoints.test"),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:  s,
	}
	s.kinesis, s.tables = kinesis.NewFromConfig(s.cfg), dynamodb.NewFromConfig(s.cfg)
	s.objects = s3.NewFromConfig(s.cfg, func(o *s3.Options) { o.UsePathStyle = true })
	return s
}

func (s *site) close() { must(s.t, s.local.Close()) }

var errAway = errors.New("test: connection refused")

// Do makes a site the clients' way to its endpoints.
func (s *site) Do(r *http.Request) (*http.Response, error) {
	if s.noManifests.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/_ranges/") {
		return nil, errAway
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	received := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	received.Header, received.ContentLength = r.Header.Clone(), int64(len(body))
	w := httptest.NewRecorder()
	s.local.Handler().ServeHTTP(w, received)
	return w.Result(), nil
}

// worker is a running member of a lake group.
type worker struct {
	*consumers.Group
	stop func() // gives up within a second
}

// rules are those of version 1's default configuration, whatever today's are, with
// a marker of audit lines.
func rules(marker string) schema.Rules {
	return schema.Rules{
		Kinds:          []schema.KindRule{{Field: "marker", Equals: marker, Kind: "audit"}},
		Service:        []string{"label:com.amazonaws.ecs.container-name", "label:com.docker.compose.service", "env:SERVICE", "field:service", "container_name"},
		DefaultService: "unknown",
		TimeFields:     []string{"@timestamp", "timestamp", "time", "ts"},
		TimeWindow:     schema.TimeWindow{Past: 24 * time.Hour, Future: 10 * time.Minute},
	}
}

// lakeOf is a lake below a prefix whose rules call lines with the given marker audit.
func (s *site) lakeOf(prefix, marker string) (*lake.Lake, error) {
	cfg := lake.DefaultConfig()
	cfg.Bucket, cfg.Prefix = bucketName, prefix
	return lake.New(cfg, rules(marker), s.objects, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
}

func groupConfig(name, as string) consumers.Config {
	cfg := consumers.DefaultConfig()
	cfg.Name, cfg.Worker = name, as
	cfg.DrainTimeout = time.Second
	cfg.Policy.MaxAge = time.Second
	cfg.Policy.WorkerBytes = 256 << 20 // room for the ranges of the groups that were kept
	return cfg
}

// start runs a worker that fills a lake.
func (s *site) start(cfg consumers.Config, prefix, marker string) *worker {
	s.t.Helper()
	g := s.group(cfg, prefix, marker)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	return &worker{g, func() {
		cancel()
		must(s.t, <-done)
	}}
}

func (s *site) group(cfg consumers.Config, prefix, marker string) *consumers.Group {
	s.t.Helper()
	l, err := s.lakeOf(prefix, marker)
	must(s.t, err)
	kept := rejects.DefaultConfig()
	kept.Bucket, kept.Group = bucketName, cfg.Name
	store, err := rejects.New(kept, s.objects, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(s.t, err)
	dest := consumers.Destination{Name: "lake", Plan: l.Plan(), Open: func(ctx context.Context, shard stream.ShardID, plan string) (consumers.Sink, error) {
		return l.Open(ctx, shard, plan)
	}}
	g, err := consumers.New(cfg, dest, rejectStore{store}, s.kinesis, s.tables, stream.Ref{Name: streamName}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	must(s.t, err)
	return g
}

// rejectStore fits rejects.Store to consumers.RejectStore.
type rejectStore struct{ store *rejects.Store }

func (r rejectStore) Put(ctx context.Context, rng stream.Range, items []consumers.Reject) error {
	out := make([]rejects.Item, len(items))
	for i, item := range items {
		out[i] = rejects.Item{Sequence: item.Sequence, Arrival: item.Arrival, Reject: item.Reject}
	}
	return r.store.Put(ctx, rng, out)
}
