package treasuredata_test

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
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/deploy/local/fault"
	local "tributary/deploy/local/treasuredata"
	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/sinks/treasuredata"
	"tributary/stream"
)

const (
	shard = stream.ShardID("shardId-000000000002")
	key   = "1234/0123456789abcdef0123456789abcdef01234567"
)

// noon is when all of these tests happen.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is an account behind a transport without a network, so that time in it may
// be a bubble's.
type world struct {
	t      testing.TB
	dir    string
	faults *fault.Set
	serve  http.Handler
	// instead answers a request when it is set and returns an answer.
	instead func(*http.Request) *http.Response
	log     bytes.Buffer
	kept    store
	reg     *prometheus.Registry

	mu      sync.Mutex
	sent    []request
	bodies  int64 // bytes of those on their way
	most    int64 // of bodies
	puts    int   // on their way
	mostPut int   // of puts
}

// request is one that was sent.
type request struct {
	method, host, path string
	body               []byte
}

// id is that of an import.
func (r request) id() string {
	parts := strings.Split(r.path, "/")
	if r.method != http.MethodPut || len(parts) < 3 {
		return ""
	}
	return parts[len(parts)-2]
}

func newWorld(t testing.TB, change ...func(*local.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), faults: &fault.Set{}}
	w.kept.world = w
	o := local.Options{Faults: w.faults}
	for _, c := range change {
		c(&o)
	}
	service, err := local.Open(w.dir, o)
	if err != nil {
		t.Fatal(err)
	}
	w.serve = service
	t.Cleanup(func() {
		if err := w.faults.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// RoundTrip serves a request in this process.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.ContentLength < 0 || len(req.TransferEncoding) > 0 {
		return nil, errors.New("a request without a length")
	}
	r := request{method: req.Method, host: req.URL.Host, path: req.URL.EscapedPath()}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if int64(len(body)) != req.ContentLength {
			return nil, fmt.Errorf("%d bytes under a length of %d", len(body), req.ContentLength)
		}
		r.body = body
	}
	w.mu.Lock()
	w.sent = append(w.sent, r)
	if r.id() != "" {
		w.puts++
		w.mostPut = max(w.mostPut, w.puts)
	}
	w.bodies += int64(len(r.body))
	w.most = max(w.most, w.bodies)
	instead := w.instead
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.bodies -= int64(len(r.body))
		if r.id() != "" {
			w.puts--
		}
		w.mu.Unlock()
	}()
	if instead != nil {
		if resp := instead(req); resp != nil {
			resp.Request = req
			return resp, nil
		}
	}
	return w.answer(req, r.body)
}

func (w *world) answer(req *http.Request, body []byte) (resp *http.Response, err error) {
	type result struct {
		resp *http.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		rec := httptest.NewRecorder()
		defer func() {
			if recover() != nil { // the connection was cut
				done <- result{err: io.ErrUnexpectedEOF}
				return
			}
			resp := rec.Result()
			resp.Request = req
			done <- result{resp: resp}
		}()
		in := req.Clone(req.Context())
		in.Body, in.RequestURI = io.NopCloser(bytes.NewReader(body)), req.URL.RequestURI()
		w.serve.ServeHTTP(rec, in)
	}()
	select {
	case r := <-done:
		return r.resp, r.err
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

func (w *world) set(rules ...fault.Rule) {
	w.t.Helper()
	if err := w.faults.Replace(rules); err != nil {
		w.t.Fatal(err)
	}
}

// imports are the requests that carried rows, by id.
func (w *world) imports() map[string]request {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]request{}
	for _, r := range w.sent {
		if id := r.id(); id != "" {
			if before, again := out[id]; again && !bytes.Equal(before.body, r.body) {
				w.t.Errorf("id %s came with two bodies", id)
			}
			out[id] = r
		}
	}
	return out
}

func (w *world) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

// rows are those of all tables, in the order of their files.
func (w *world) rows() map[string][]map[string]any {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*", "*", "*.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(files)
	out := map[string][]map[string]any{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		rel, err := filepath.Rel(w.dir, filepath.Dir(f))
		if err != nil {
			w.t.Fatal(err)
		}
		name := strings.ReplaceAll(filepath.ToSlash(rel), "/", ".")
		for line := range bytes.Lines(text) {
			out[name] = append(out[name], decodeJSON(w.t, line))
		}
	}
	return out
}

func decodeJSON(t testing.TB, line []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return m
}

func config() treasuredata.Config {
	c := treasuredata.DefaultConfig()
	c.GroupName = "treasuredata"
	c.APIEndpoint, c.ImportEndpoint = "http://api.local", "http://import.local"
	c.APIKey = key
	return c
}

func (w *world) importer(change ...func(*treasuredata.Config)) *treasuredata.Importer {
	w.t.Helper()
	return w.importerWith(nil, change...)
}

func (w *world) importerWith(key treasuredata.Key, change ...func(*treasuredata.Config)) *treasuredata.Importer {
	w.t.Helper()
	c := config()
	if key != nil {
		c.APIKey = ""
	}
	for _, f := range change {
		f(&c)
	}
	w.reg = prometheus.NewRegistry()
	im, err := treasuredata.New(c, schema.DefaultRules(), w, key, &w.kept, w.reg, slog.New(slog.NewTextHandler(&lockedWriter{w: &w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		w.t.Fatal(err)
	}
	return im
}

// metric is the sum over a metric's labels.
func (w *world) metric(name string) (sum float64) {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "tributary_treasuredata_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	w.t.Fatalf("no metric %s", name)
	return 0
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// store keeps rejects as the real one does: the same range and item are one.
type store struct {
	world *world
	fail  int // this many calls
	calls int
	items map[string]rejects.Item
}

func (s *store) Put(_ context.Context, r stream.Range, items []rejects.Item) error {
	s.calls++
	if s.fail > 0 {
		s.fail--
		return errors.New("no store")
	}
	if s.items == nil {
		s.items = map[string]rejects.Item{}
	}
	for _, it := range items {
		s.items[fmt.Sprint(r.First, it.Sequence, it.Reject.Index, it.Reject.Reason)] = it
	}
	return nil
}

// events are what the rejects hold, and where it was in the stream.
func (s *store) events(t testing.TB) (out []schema.Batch) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(s.items)) {
		b, bad, _ := schema.NewDecoder().Decode(s.items[k].Reject.Data, s.items[k].Arrival)
		if len(bad) > 0 || len(b.Events) != 1 {
			t.Fatalf("a reject with %d events and %v", len(b.Events), bad)
		}
		out = append(out, b)
	}
	return out
}

// sequence is the nth number of a stream, as long as Kinesis makes them.
func sequence(n int) stream.SequenceNumber {
	return stream.SequenceNumber(fmt.Sprintf("49590338271490256608559692538361571095921575989136588%04d", n))
}

func rangeOf(first, last int) stream.Range {
	return stream.Range{Shard: shard, First: sequence(first), Last: sequence(last)}
}

func event(kind schema.Kind, service, line string) schema.Event {
	return schema.Event{Time: noon.Add(123456789).UnixNano(), Kind: kind, Origin: &schema.Origin{Service: service}, Line: []byte(line)}
}

// record makes a batch as the reader does.
func record(t testing.TB, n int, events ...schema.Event) stream.Batch {
	t.Helper()
	for i := range events {
		events[i].Index = uint32(i)
		events[i].Offset = uint64(n*1000 + i)
	}
	b := stream.Batch{Shard: shard, Sequence: sequence(n), Arrival: noon.Add(time.Duration(n) * time.Second), Epoch: schema.Epoch{1}, Lane: 7, Events: events}
	var err error
	if b.Record, err = schema.NewEncoder().Append(nil, &schema.Batch{Epoch: b.Epoch, Lane: b.Lane, Events: events}); err != nil {
		t.Fatal(err)
	}
	return b
}

// traffic is a repeatable load of n events in records of 100: app and raw lines of
// three services; each holds its number.
func traffic(t testing.TB, n int) (batches []stream.Batch, r stream.Range) {
	t.Helper()
	for first := 0; first < n; first += 100 {
		var events []schema.Event
		for i := first; i < min(first+100, n); i++ {
			service := []string{"order-api", "cart", "web"}[i%3]
			e := event(schema.KindApp, service, fmt.Sprintf(`{"level":"INFO","n":"#%d","message":"hello %d","nested":{"a":[%d]}}`, i, i*7919, i))
			if i%5 == 0 {
				e.Kind, e.Line = schema.KindRaw, fmt.Appendf(nil, "plain #%d", i)
			}
			events = append(events, e)
		}
		batches = append(batches, record(t, first/100+1, events...))
	}
	return batches, rangeOf(1, len(batches))
}

func open(t testing.TB, im *treasuredata.Importer, batches []stream.Batch) *treasuredata.Sink {
	t.Helper()
	s, err := im.Open(t.Context(), shard, im.Plan())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := s.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func flush(t testing.TB, im *treasuredata.Importer, r stream.Range, batches ...stream.Batch) {
	t.Helper()
	if err := open(t, im, batches).Flush(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// numbers counts the events in rows and rejects by the number that their line holds.
func (w *world) numbers() map[string]int {
	w.t.Helper()
	seen := map[string]int{}
	for _, rows := range w.rows() {
		for _, row := range rows {
			n, _ := row["n"].(string)
			if n == "" {
				n = strings.TrimPrefix(row["message"].(string), "plain ")
			}
			seen[n]++
		}
	}
	for _, b := range w.kept.events(w.t) {
		line := string(b.Events[0].Line)
		n := strings.TrimPrefix(line, "plain ")
		if line[0] == '{' {
			n = decodeJSON(w.t, b.Events[0].Line)["n"].(string)
		}
		seen[n]++
	}
	return seen
}

// wantOnce wants n events, each once.
func (w *world) wantOnce(n int) {
	w.t.Helper()
	seen := w.numbers()
	for i := range n {
		if c := seen[fmt.Sprintf("#%d", i)]; c != 1 {
			w.t.Errorf("event %d is there %d times", i, c)
		}
	}
	if len(seen) != n {
		w.t.Errorf("%d events, want %d", len(seen), n)
	}
}
