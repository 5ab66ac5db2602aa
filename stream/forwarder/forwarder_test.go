package forwarder

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	fluentclient "github.com/fluent/fluent-logger-golang/fluent"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/schema"
	"tributary/schema/edit"
	"tributary/stream"
	"tributary/stream/fluent"
	"tributary/stream/multiline"
	"tributary/stream/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a publisher that decodes what it is given and drops, as consumers do,
// what is at or below the highest offset of its lane.
type shelf struct {
	mu      sync.Mutex
	decoder *schema.Decoder
	highest map[string]uint64
	events  []schema.Event
	records int
	biggest int
	keys    map[string]map[string]bool // (epoch, lane) → partition keys

	block  chan struct{} // Publish waits for it, unless nil
	refuse error         // for the first record, once
	limit  atomic.Int64  // of a record; 0: SmallRecordBytes
	known  bool          // the stream has told what it takes

	refuses func(b *schema.Batch, bytes int) bool // for good; nil: nothing
	hangs   func(b *schema.Batch) bool            // Publish ends with ctx; nil: never
}

func newShelf() *shelf {
	return &shelf{decoder: schema.NewDecoder(), highest: map[string]uint64{}, keys: map[string]map[string]bool{}}
}

func (s *shelf) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *shelf) Called() time.Time { return time.Now() }

func (s *shelf) Known() bool { return s.known }

func (s *shelf) MaxRecordBytes() int64 { return cmp.Or(s.limit.Load(), SmallRecordBytes) }

func (s *shelf) Publish(ctx context.Context, r stream.Record) error {
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse; err != nil {
		s.refuse = nil
		return err
	}
	b, rejects, _ := s.decoder.Decode(r.Data, time.Now())
	if len(rejects) > 0 {
		return stream.Permanent(errors.New("undecodable record"))
	}
	if s.hangs != nil && s.hangs(&b) {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return ctx.Err()
	}
	if s.refuses != nil && s.refuses(&b, len(r.Data)) {
		return stream.Permanent(fmt.Errorf("put records: %w", &smithy.GenericAPIError{Code: "ValidationException", Message: "1 validation error: a record"}))
	}
	s.records++
	s.biggest = max(s.biggest, len(r.Data)+len(r.Key))
	lane := fmt.Sprint(b.Epoch, b.Lane)
	if s.keys[lane] == nil {
		s.keys[lane] = map[string]bool{}
	}
	s.keys[lane][r.Key] = true
	for _, e := range b.Events {
		if e.Offset > s.highest[lane] {
			s.highest[lane] = e.Offset
			e.Line = bytes.Clone(e.Line)
			s.events = append(s.events, e)
		}
	}
	return nil
}

func (s *shelf) lines() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, e := range s.events {
		out[string(e.Line)]++
	}
	return out
}

// station is a forwarder in a directory, which can be stopped and started again.
type station struct {
	t     *testing.T
	dir   string
	cfg   Config
	edits []edit.Rule
	out   *shelf
	to    publisher           // instead of out; nil for that
	disk  spool.Disk          // under the spool; nil for the real one
	ack   string              // "written" if not set
	unix  bool                // listen on a socket that stays the same
	tune  func(*spool.Config) // may be nil

	maxRequest int64 // of the server; 0 for its default
	reg        *prometheus.Registry
	f          *Forwarder
	stop       func() error
}

func newStation(t *testing.T) *station {
	cfg := DefaultConfig()
	cfg.Linger, cfg.ListenGrace, cfg.DrainTimeout = 20*time.Millisecond, 0, 5*time.Second
	cfg.PartialTimeout, cfg.Host, cfg.Grace = 200*time.Millisecond, "instance-1", 5*time.Minute
	return &station{t: t, dir: t.TempDir(), cfg: cfg, out: newShelf()}
}

func (s *station) rules(edits ...edit.Rule) *Rules {
	s.t.Helper()
	classifier, err := schema.DefaultRules().Compile()
	if err != nil {
		s.t.Fatal(err)
	}
	all := edit.DefaultRules()
	all.Rules = edits
	editor, err := all.Compile()
	if err != nil {
		s.t.Fatal(err)
	}
	return NewRules(classifier, editor)
}

func (s *station) start() string {
	s.t.Helper()
	sp := spool.DefaultConfig()
	sp.Dir, sp.Ack = s.dir, cmp.Or(s.ack, spool.AckWritten)
	if s.tune != nil {
		s.tune(&sp)
	}
	server := fluent.DefaultConfig()
	server.Listen = []string{"tcp://127.0.0.1:0"}
	if s.unix {
		server.Listen, server.Drain = []string{"unix://" + s.socket()}, 100*time.Millisecond
	}
	if s.maxRequest > 0 {
		server.MaxRequestBytes, server.MaxDecompressedBytes = s.maxRequest, s.maxRequest
	}
	server.UDPHeartbeat = false
	s.reg = prometheus.NewRegistry()
	var to publisher = s.out
	if s.to != nil {
		to = s.to
	}
	f, err := New(s.cfg, server, sp, s.rules(s.edits...), to, s.reg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.disk != nil {
		f.disk = s.disk
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	select {
	case <-f.Listening():
	case err := <-done:
		s.t.Fatal("did not start: ", err)
	}
	s.f = f
	s.stop = func() error { cancel(); return <-done }
	s.t.Cleanup(func() { cancel() })
	return f.Addrs()[0].String()
}

func (s *station) socket() string { return filepath.Join(s.dir, "forward.sock") }

func (s *station) metric(name string) float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	s.t.Fatal("no metric ", name)
	return 0
}

// await polls until ok; waiting for another goroutine has no better signal here.
func (s *station) await(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			s.t.Fatal("waited for ", what, "; have ", len(s.out.lines()), " lines")
		}
		<-time.After(5 * time.Millisecond)
	}
}

func dial(t *testing.T, addr string) *fluentclient.Fluent {
	t.Helper()
	return dialWith(t, addr, fluentclient.Config{RequestAck: true, SubSecondPrecision: true})
}

func dialWith(t *testing.T, addr string, cfg fluentclient.Config) *fluentclient.Fluent {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	cfg.FluentHost, cfg.FluentPort = host, n
	c, err := fluentclient.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func post(t *testing.T, c *fluentclient.Fluent, record map[string]string) {
	t.Helper()
	if err := c.Post("app", record); err != nil {
		t.Fatal(err)
	}
}

func pieceOf(id string, ordinal int, last bool, text string) map[string]string {
	return map[string]string{
		"container_id": "c1", "container_name": "/web", "source": "stdout", "log": text, "partial_message": "true",
		"partial_id": id, "partial_ordinal": strconv.Itoa(ordinal), "partial_last": strconv.FormatBool(last),
	}
}

func TestALineCarriesWhatDockerSaidOfIt(t *testing.T) {
	s := newStation(t)
	c := dial(t, s.start())
	if err := s.f.Ready(); err == nil {
		t.Error("ready before the stream was ever reached")
	}
	post(t, c, map[string]string{
		"container_id": "c1", "container_name": "/web", "source": "stderr", "log": `{"marker":"AUDIT"}`, "SERVICE": "condor", "zone": "a",
	})
	post(t, c, map[string]string{"hello": "no docker"})
	s.await("two lines", func() bool { return len(s.out.lines()) == 2 })
	s.await("readiness", func() bool { return s.f.Ready() == nil && s.f.Healthy() == nil })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.out.events {
		switch string(e.Line) {
		case `{"marker":"AUDIT"}`:
			o := e.Origin
			if e.Kind != schema.KindAudit || o.ContainerID != "c1" || o.ContainerName != "web" || o.Source != "stderr" || o.Tag != "app" ||
				o.Host != "instance-1" || o.Service != "condor" || fmt.Sprint(o.Labels) != "[{SERVICE condor} {zone a}]" {
				t.Errorf("audit event is %+v of %+v", e, o)
			}
		case `{"hello":"no docker"}`:
			if e.Kind != schema.KindApp {
				t.Errorf("a record without log is %v", e.Kind)
			}
		default:
			t.Errorf("unexpected line %q", e.Line)
		}
	}
}

// As moby's driver sends them with what the ECS agent sets for FireLens: a unix socket,
// times with nanoseconds, a tag of container and task, none of the agent's labels. The
// ecs_ keys are those that a router in between adds.
func TestFireLensLinesTellTheirTask(t *testing.T) {
	const task, container = "0b69d5c0d6550c2c6b8d6a40b3d23a47", "189a8ff4b5f04affe40e5160a5ffadca395136eb5faf4950c57963c06f82c76d"
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("dockerid") != container {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"Arn":"arn:aws:ecs:eu-central-1:111122223333:task/shop/%s","Family":"front","Version":"7","Containers":[{"DockerId":"%s","Name":"web"}]}`, task, container)
	}))
	defer agent.Close()
	s := newStation(t)
	s.cfg.ECS.Introspection, s.unix = agent.URL, true
	s.start()
	client, err := fluentclient.New(fluentclient.Config{FluentNetwork: "unix", FluentSocketPath: s.socket(), Async: true, SubSecondPrecision: true, ForceStopAsyncSend: false})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	send := func(id, tag, text string, more map[string]string) {
		record := map[string]string{"container_id": id, "container_name": "/ecs-front-7-web-86caf9bcabe3e9c61600", "source": "stdout", "log": text}
		maps.Copy(record, more)
		if err := client.PostWithTime(tag, at, record); err != nil {
			t.Fatal(err)
		}
	}
	send("c2", "side-car-firelens-"+task, "of the tag", nil)
	send("c3", "other", "of a router", map[string]string{"ecs_cluster": "shop", "ecs_task_arn": "arn:x", "ecs_task_definition": "back:12"})
	known := false
	for i := 0; !known; i++ { // the first lines go with what is known
		send(container, "web-firelens-"+task, fmt.Sprint("of the agent ", i), nil)
		<-time.After(20 * time.Millisecond)
		s.out.mu.Lock()
		for _, e := range s.out.events {
			known = known || len(e.Origin.Labels) == 6
		}
		s.out.mu.Unlock()
		if i > 400 {
			t.Fatal("the agent's answer never came")
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range s.out.events {
		var labels []string
		for _, l := range e.Origin.Labels {
			labels = append(labels, strings.TrimPrefix(l.Name, "com.amazonaws.ecs.")+"="+l.Value)
		}
		text := string(e.Line)
		if strings.HasPrefix(text, "of the agent") {
			text = fmt.Sprint("of the agent: ", len(labels))
		}
		got := fmt.Sprint(e.Origin.Service, labels)
		want := map[string]string{
			"of the tag":      "side-car[container-name=side-car task-id=" + task + "]",
			"of a router":     "web[cluster=shop task-arn=arn:x task-definition-family=back task-definition-version=12 ecs_cluster=shop ecs_task_arn=arn:x ecs_task_definition=back:12]",
			"of the agent: 2": "web[container-name=web task-id=" + task + "]",
			"of the agent: 6": "web[cluster=shop container-name=web task-arn=arn:aws:ecs:eu-central-1:111122223333:task/shop/" + task +
				" task-definition-family=front task-definition-version=7 task-id=" + task + "]",
		}[text]
		seen[text] = true
		if got != want || e.Time != at.UnixNano() {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	if len(seen) != 4 {
		t.Errorf("seen %v", seen)
	}
}

func TestPiecesAreJoinedAcrossARestart(t *testing.T) {
	s := newStation(t)
	s.cfg.PartialTimeout, s.cfg.PartialMaxAge = time.Minute, time.Hour // nothing but its last piece ends the line
	s.cfg.DrainTimeout = time.Second
	c := dial(t, s.start())
	post(t, c, pieceOf("p", 1, false, "be"))
	post(t, c, map[string]string{"container_id": "c2", "log": "other"})
	s.await("the other line", func() bool { return s.out.lines()["other"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.out.lines()); n != 1 {
		t.Fatalf("%d lines before the restart", n)
	}
	c = dial(t, s.start())
	post(t, c, pieceOf("p", 2, true, "gin"))
	s.await("the joined line", func() bool { return s.out.lines()["begin"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.out.lines(); len(got) != 2 || got["other"] != 1 {
		t.Fatalf("got %v", got)
	}
}

func TestAStopDoesNotCutTheLineInFlight(t *testing.T) {
	s := newStation(t)
	s.cfg.DrainTimeout = time.Minute // an open line must not make a stop wait for it
	c := dial(t, s.start())
	post(t, c, pieceOf("p", 1, false, "be"))
	post(t, c, map[string]string{"container_id": "c2", "log": "other"})
	// The other container keeps the server reading for longer than a silent line
	// stays open.
	other := dialWith(t, s.f.Addrs()[0].String(), fluentclient.Config{RequestAck: true, MaxRetry: 1, RetryWait: 1})
	talking, quiet := context.WithCancel(t.Context())
	var talk sync.WaitGroup
	talk.Go(func() {
		for talking.Err() == nil && other.Post("app", map[string]string{"container_id": "c2", "log": "more"}) == nil {
			<-time.After(time.Millisecond)
		}
	})
	s.await("the other line", func() bool { return s.out.lines()["other"] == 1 && s.out.lines()["more"] > 0 })
	time.AfterFunc(3*s.cfg.PartialTimeout, quiet)
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	talk.Wait()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if n := s.out.lines()["be"]; n != 0 {
		t.Fatal("the stop cut the line")
	}
	c = dial(t, s.start())
	post(t, c, pieceOf("p", 2, true, "gin"))
	s.await("the joined line", func() bool { return s.out.lines()["begin"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastWordsOfACrashComeMarked(t *testing.T) {
	s := newStation(t)
	c := dial(t, s.start())
	post(t, c, pieceOf("p", 1, false, "panic: boom"))
	_ = c.Close()
	s.await("the line", func() bool { return s.out.lines()["panic: boom"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if f := s.out.events[0].Flags; f != schema.FlagIncomplete {
		t.Fatalf("flags %v", f)
	}
	// The close marker is in the spool: the next life must not deliver the line again.
	s.start()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n := s.out.lines()["panic: boom"]; n != 1 {
		t.Fatalf("%d times after a restart", n)
	}
}

func TestAStackTraceIsOneEventAlsoAcrossARestart(t *testing.T) {
	s := newStation(t)
	s.cfg.Multiline = multiline.Rules{{Service: "web*", Preset: "java"}}
	s.cfg.MultilineTimeout, s.cfg.DrainTimeout = time.Minute, time.Second // only the next line ends one
	s.cfg.PartialMaxAge = time.Hour
	said := func(source, text string) map[string]string {
		return map[string]string{"container_id": "c1", "container_name": "/web", "source": source, "log": text}
	}
	c := dial(t, s.start())
	post(t, c, said("stderr", "java.io.IOException: disk"))
	post(t, c, said("stdout", "a plain line"))
	post(t, c, said("stderr", "\tat a.B.c(B.java:1)"))
	other := said("stderr", "java.lang.Error: of a service without a rule")
	other["container_name"] = "/api"
	other["container_id"] = "c2"
	post(t, c, other)
	s.await("the lines beside it", func() bool { return len(s.out.lines()) == 2 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	c = dial(t, s.start())
	post(t, c, said("stderr", "Caused by: java.lang.Error: cable"))
	post(t, c, said("stderr", `{"message":"next"}`))
	trace := "java.io.IOException: disk\n\tat a.B.c(B.java:1)\nCaused by: java.lang.Error: cable"
	s.await("the trace", func() bool { return s.out.lines()[trace] == 1 && s.out.lines()[`{"message":"next"}`] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.out.events {
		if string(e.Line) == trace && (e.Kind != schema.KindRaw || e.Flags != 0 || e.Origin.Source != "stderr" || e.Origin.Service != "web") {
			t.Errorf("the trace is %+v of %+v", e, e.Origin)
		}
	}
	if n := len(s.out.lines()); n != 4 {
		t.Errorf("%d lines, want 4", n)
	}
}

// The line that ended a block is the first of the next: an offset of its own keeps it
// safe when blocks are no more.
func TestSwitchingMultilineOffLosesAndDoublesNothing(t *testing.T) {
	s := newStation(t)
	s.cfg.Multiline = multiline.Rules{{Service: "*", Start: "^[a-z]"}}
	s.cfg.MultilineTimeout, s.cfg.PartialMaxAge, s.cfg.DrainTimeout = time.Minute, time.Hour, time.Second
	c := dial(t, s.start())
	for _, text := range []string{"a", " b", "c"} {
		post(t, c, map[string]string{"container_id": "c1", "log": text})
	}
	s.await("the first block", func() bool { return s.out.lines()["a\n b"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.cfg.Multiline = nil
	s.start()
	s.await("the line that waited", func() bool { return s.out.lines()["c"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.out.lines()); n != 2 {
		t.Errorf("%d lines, want 2: %v", n, s.out.lines())
	}
}

func TestSilenceEndsABlock(t *testing.T) {
	s := newStation(t)
	s.cfg.Multiline = multiline.Rules{{Service: "*", Preset: "go"}}
	s.cfg.MultilineTimeout = 200 * time.Millisecond
	c := dial(t, s.start())
	post(t, c, map[string]string{"container_id": "c1", "log": "panic: boom"})
	post(t, c, map[string]string{"container_id": "c1", "log": ""})
	post(t, c, map[string]string{"container_id": "c1", "log": "goroutine 1 [running]:"})
	s.await("the panic", func() bool { return s.out.lines()["panic: boom\n\ngoroutine 1 [running]:"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if f := s.out.events[0].Flags; f != 0 {
		t.Errorf("flags %v", f)
	}
}

func TestTheTwoStreamsOfOlderDockerDoNotMix(t *testing.T) {
	s := newStation(t)
	c := dial(t, s.start())
	send := func(source, text string, partial bool) {
		r := map[string]string{"container_id": "c1", "source": source, "log": text}
		if partial {
			r["partial_message"] = "true"
		}
		post(t, c, r)
	}
	send("stdout", "o1", true)
	send("stderr", "e1", true)
	send("stdout", "o2", true)
	send("stderr", "e2", false)
	// A container that reconnects in the middle of a line goes on with it.
	_ = c.Close()
	c = dial(t, s.f.Addrs()[0].String())
	send("stdout", "o3", false)
	s.await("both lines", func() bool { return s.out.lines()["o1o2o3"] == 1 && s.out.lines()["e1e2"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.out.events {
		if e.Flags != 0 {
			t.Errorf("%q is marked %v", e.Line, e.Flags)
		}
	}
}

func TestALineThatFitsNoRecordComesInParts(t *testing.T) {
	s := newStation(t)
	c := dial(t, s.start())
	var b strings.Builder
	for i := 0; b.Len() < 3<<20; i++ {
		fmt.Fprintf(&b, "あ%x", schemaNoise(i)) // hardly compressible
	}
	line := b.String()
	post(t, c, map[string]string{"container_id": "c1", "log": line})
	post(t, c, map[string]string{"container_id": "c1", "log": "after"})
	s.await("the line behind it", func() bool { return s.out.lines()["after"] == 1 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	joined, before := "", uint64(0)
	for _, e := range s.out.events {
		if e.Offset <= before {
			t.Errorf("offset %d after %d", e.Offset, before)
		}
		before = e.Offset
		if e.Part.Count > 0 {
			if int(e.Part.Number) != len(joined)/partBytes+1 && joined != "" && e.Part.Number < 2 {
				t.Errorf("part %d of %d", e.Part.Number, e.Part.Count)
			}
			joined += string(e.Line)
		}
	}
	if joined != line || s.out.biggest > 1<<20 {
		t.Fatalf("parts give %d bytes of %d, biggest record %d", len(joined), len(line), s.out.biggest)
	}
}

// schemaNoise is a number without pattern.
func schemaNoise(i int) uint64 { return mix(uint64(i) * 0x9e3779b97f4a7c15) }

func TestWhileTheStreamIsAwayTheSpoolTakesAndLaterAllArrives(t *testing.T) {
	s := newStation(t)
	s.cfg.DrainTimeout = time.Second
	s.out.block = make(chan struct{})
	c := dial(t, s.start())
	for i := range 2000 {
		post(t, c, map[string]string{"container_id": "c" + strconv.Itoa(i%7), "log": "line " + strconv.Itoa(i)})
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	close(s.out.block)
	s.start()
	s.await("all lines", func() bool { return len(s.out.lines()) == 2000 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for line, n := range s.out.lines() {
		if n != 1 {
			t.Errorf("%q %d times", line, n)
		}
	}
	for lane, keys := range s.out.keys {
		if len(keys) != 1 {
			t.Errorf("lane %s used %d partition keys", lane, len(keys))
		}
	}
}

func TestASecondForwarderOnTheSameSpoolIsRefused(t *testing.T) {
	s := newStation(t)
	s.start()
	sp := spool.DefaultConfig()
	sp.Dir = s.dir
	server := fluent.DefaultConfig()
	server.Listen = []string{"tcp://127.0.0.1:0"}
	second, err := New(s.cfg, server, sp, s.rules(), s.out, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(context.Background()); !errors.Is(err, spool.ErrLocked) {
		t.Fatalf("got %v", err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestConfigTellsEveryFault(t *testing.T) {
	err := Config{}.Validate()
	for _, key := range []string{"linger", "record_bytes", "max_lanes", "lane_bytes", "partial_timeout", "max_line_bytes", "max_open_lines", "drain_timeout"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%q is not in %v", key, err)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestContainersStayOnTheirLanesWhenLanesOpen(t *testing.T) {
	var s laneSet
	one := []uint32{1}
	s.open.Store(&one)
	two := []uint32{1, 2}
	moved := 0
	for i := range 1000 {
		key := []byte("container-" + strconv.Itoa(i))
		before := s.pick(key)
		var t2 laneSet
		t2.open.Store(&two)
		if after := t2.pick(key); after != before {
			moved++
			if after != 2 {
				t.Fatal("moved to a lane that was open before")
			}
		}
	}
	if moved < 400 || moved > 600 {
		t.Fatalf("%d of 1000 moved to the second of two lanes", moved)
	}
}

func TestLoadOpensLanesEachUnderAKeyOfItsOwn(t *testing.T) {
	s := newStation(t)
	s.cfg.MaxLanes = 4
	c := dial(t, s.start())
	sent, noise := 0, make([]byte, 32<<10)
	s.await("a second lane in use", func() bool {
		for range 50 { // 3 MiB between two looks, far more than a lane is thought to carry
			_, _ = rand.Read(noise) // never fails
			post(t, c, map[string]string{"container_id": "c" + strconv.Itoa(sent%20), "log": strconv.Itoa(sent) + hex.EncodeToString(noise)})
			sent++
		}
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		return len(s.out.keys) > 1
	})
	s.await("all lines", func() bool { return len(s.out.lines()) == sent })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for lane, keys := range s.out.keys {
		for key := range keys {
			if used[key] || len(keys) != 1 {
				t.Errorf("lane %s used %v", lane, keys)
			}
			used[key] = true
		}
	}
	if len(used) > 4 {
		t.Errorf("%d lanes, at most 4 are allowed", len(used))
	}
}

func TestNoLaneOpensWhileNothingIsStored(t *testing.T) {
	s := newStation(t)
	s.out.block = make(chan struct{})
	c := dial(t, s.start())
	noise := make([]byte, 32<<10)
	sent := map[string][]string{}
	for end := time.Now().Add(2 * laneSeconds * time.Second); time.Now().Before(end); {
		for n := range 40 { // 5 MiB a second, five times what a lane is thought to carry
			container := "c" + strconv.Itoa(n%8)
			_, _ = rand.Read(noise) // never fails
			line := hex.EncodeToString(noise)
			post(t, c, map[string]string{"container_id": container, "log": line})
			sent[container] = append(sent[container], line)
		}
		<-time.After(500 * time.Millisecond)
	}
	close(s.out.block)
	s.await("all lines", func() bool {
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		return len(s.out.events) >= 40*len(sent["c0"])/5
	})
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	got := map[string][]string{}
	for _, e := range s.out.events {
		got[e.Origin.ContainerID] = append(got[e.Origin.ContainerID], string(e.Line))
	}
	if !reflect.DeepEqual(got, sent) {
		t.Error("lines of a container are missing, doubled or in another order")
	}
	if len(s.out.keys) != 1 {
		t.Errorf("%d lanes were used", len(s.out.keys))
	}
}
