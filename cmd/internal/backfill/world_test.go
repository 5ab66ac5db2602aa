package backfill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/backfill"
	"tributary/deploy/local/localtest"
	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/sinks/objects"
	"tributary/sinks/rejects"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

const bucket = "logs"

// noon is when the lines of these tests were written.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a bucket with objects, and an account at Treasure Data.
type world struct {
	t      testing.TB
	server *localtest.Server
	api    *s3.Client
	lines  []string // that are to become rows, by their numbers
	log    logBuffer

	cfg    backfill.Config
	job    backfill.Job
	td     treasuredata.Config
	state  backfill.State
	hidden []string
	call   func()        // before each request, if it is set
	apart  time.Duration // two events of a flush
	noise  func(int) string
	cut    int64 // bytes after which each body from S3 breaks off; 0: none
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, server: localtest.Start(t), cfg: backfill.DefaultConfig(), td: treasuredata.DefaultConfig(), apart: 10 * time.Second, noise: func(int) string { return "" }}
	// A client of its own: connections that were made ahead and never used would hold
	// up the end of the endpoints.
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	w.server.AWS.HTTPClient = &http.Client{Transport: localtest.PlainBodies(transport)}
	w.api = s3.NewFromConfig(w.server.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := w.api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	w.cfg.Range = 64 << 10
	w.cfg.Patience, w.cfg.KeyPatience = 20*time.Second, 0
	w.job = backfill.Job{Bucket: bucket, Format: "auto"}
	w.td.APIEndpoint, w.td.ImportEndpoint, w.td.APIKey = w.server.URL, w.server.URL, "1/local"
	w.td.BodyBytes = 64 << 10
	return w
}

func (w *world) put(key string, content []byte) {
	w.t.Helper()
	if _, err := w.api.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(content)}); err != nil {
		w.t.Fatal(err)
	}
}

// line makes the next line: a row is known by its number.
func (w *world) line(format string, args ...any) string {
	n := len(w.lines)
	text := fmt.Sprintf(`{"n":"#%d",`, n) + fmt.Sprintf(format, args...) + "}"
	w.lines = append(w.lines, text)
	return text
}

// fluentd puts a file of n lines as Fluentd names it, a second between two lines.
func (w *world) fluentd(service, kind string, at time.Time, n int) string {
	w.t.Helper()
	var lines []string
	for i := range n {
		lines = append(lines, w.line(`"@timestamp":%q,"message":"hello from %s"`, at.Add(time.Duration(i)*time.Second).Format(time.RFC3339), service))
	}
	key := fmt.Sprintf("applications/%s/%s/%s_ecs-%s_%d.gz", service, kind, at.Format("2006/01/02/15/04"), service, len(w.lines))
	w.put(key, zipped(w.t, lines...))
	return key
}

func zipped(t testing.TB, lines ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// flush puts a range of n events into a lake as its workers do.
func (w *world) flush(number, n int, change ...func(*lake.Config)) {
	w.t.Helper()
	cfg := lake.DefaultConfig()
	cfg.Bucket = bucket
	for _, c := range change {
		c(&cfg)
	}
	l, err := lake.New(cfg, schema.DefaultRules(), w.api, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	const shard = stream.ShardID("shardId-000000000000")
	sink, err := l.Open(w.t.Context(), shard, l.Plan())
	if err != nil {
		w.t.Fatal(err)
	}
	var events []schema.Event
	for i := range n {
		service := []string{"order-api", "cart", "web"}[i%3]
		e := schema.Event{Time: noon.Add(time.Duration(i) * w.apart).UnixNano(), Kind: schema.KindApp, Index: uint32(i), Offset: uint64(i),
			Origin: &schema.Origin{Service: service, ContainerName: service + "-1", Source: "stderr"}}
		if i%4 == 0 {
			e.Kind = schema.KindAudit
		}
		e.Line = []byte(w.line(`"level":"INFO","message":"row %d","o":{"p":[%d]},"noise":%q`, i, i, w.noise(600)))
		events = append(events, e)
	}
	sequence := stream.SequenceNumber(fmt.Sprintf("4959033827149025660855969253836157109592157598913658%04d", number))
	record, err := schema.NewEncoder().Append(nil, &schema.Batch{Epoch: schema.Epoch{1}, Events: events})
	if err == nil {
		err = sink.Append(stream.Batch{Shard: shard, Sequence: sequence, Arrival: noon, Epoch: schema.Epoch{1}, Events: events, Record: record})
	}
	if err == nil {
		err = sink.Flush(w.t.Context(), stream.Range{Shard: shard, First: sequence, Last: sequence})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// run makes a run, of another process so to say.
func (w *world) backfill() (*backfill.Backfill, func()) {
	w.t.Helper()
	transport := &http.Transport{}
	reg, log := prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&w.log, nil))
	rejected := rejects.DefaultConfig()
	rejected.Bucket, rejected.Group = bucket, w.job.Group()
	kept, err := rejects.New(rejected, w.api, reg, log)
	if err != nil {
		w.t.Fatal(err)
	}
	state := w.state
	if state == nil {
		state = backfill.NewBucketState(w.api, objects.DefaultOptions(), bucket, "_tributary/"+w.job.ID())
	}
	options := objects.DefaultOptions()
	td := w.td
	td.GroupName = w.job.Group()
	b, err := backfill.New(w.cfg, w.job, backfill.Parts{
		API: counting{w.api, w}, Options: options, Hidden: append([]string{"rejects/"}, w.hidden...), State: counted{state, w}, Rules: schema.DefaultRules(), Rejects: kept, Endpoint: td.ImportEndpoint, Log: log,
		Importer: func(r backfill.Rejects) (*treasuredata.Importer, error) {
			return treasuredata.New(td, schema.DefaultRules(), countingTransport{transport, w}, nil, r, reg, log)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b, transport.CloseIdleConnections
}

func (w *world) run(ctx context.Context) (*backfill.Report, error) {
	w.t.Helper()
	b, release := w.backfill()
	defer release()
	if _, err := b.Plan(ctx); err != nil {
		return nil, err
	}
	return b.Run(ctx)
}

func (w *world) mustRun() *backfill.Report {
	w.t.Helper()
	r, err := w.run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// rows are those of all tables.
func (w *world) rows() map[string][]map[string]any {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.server.Config.Dir, "td", "*", "*", "*.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string][]map[string]any{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		table := filepath.Base(filepath.Dir(f))
		for line := range bytes.Lines(text) {
			var row map[string]any
			if err := json.Unmarshal(line, &row); err != nil {
				w.t.Fatal(err)
			}
			out[table] = append(out[table], row)
		}
	}
	return out
}

// wantOnce wants each line once, but for those whose numbers are given.
func (w *world) wantOnce(without ...int) {
	w.t.Helper()
	seen := map[string]int{}
	for _, rows := range w.rows() {
		for _, row := range rows {
			n, _ := row["n"].(string)
			seen[n]++
		}
	}
	wrong := 0
	for n := range w.lines {
		want := 1
		if slices.Contains(without, n) {
			want = 0
		}
		if got := seen[fmt.Sprintf("#%d", n)]; got != want {
			if wrong++; wrong > 5 {
				w.t.Fatal("and so on")
			}
			w.t.Errorf("line %d is %d rows, not %d: %s", n, got, want, w.lines[n])
		}
		delete(seen, fmt.Sprintf("#%d", n))
	}
	if len(seen) > 0 {
		w.t.Errorf("rows of no line: %v", slices.Sorted(maps.Keys(seen)))
	}
}

// counting calls the world before each request, as do counted and countingTransport.
type counting struct {
	*s3.Client
	world *world
}

func (w *world) called() {
	if w.call != nil {
		w.call()
	}
}

func (c counting) GetObject(ctx context.Context, in *s3.GetObjectInput, o ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	c.world.called()
	out, err := c.Client.GetObject(ctx, in, o...)
	if err == nil && c.world.cut > 0 {
		out.Body = &cutBody{out.Body, c.world.cut}
	}
	return out, err
}

// cutBody breaks off.
type cutBody struct {
	io.ReadCloser
	left int64
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errors.New("connection reset")
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c counting) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, o ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	c.world.called()
	return c.Client.ListObjectsV2(ctx, in, o...)
}

type counted struct {
	backfill.State
	world *world
}

func (c counted) Create(ctx context.Context, name string, content []byte) error {
	c.world.called()
	err := c.State.Create(ctx, name, content)
	c.world.called()
	return err
}

type countingTransport struct {
	http.RoundTripper
	world *world
}

func (c countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c.world.called()
	resp, err := c.RoundTripper.RoundTrip(r)
	c.world.called()
	return resp, err
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
