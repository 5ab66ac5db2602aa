package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
	"tributary/schema"
	"tributary/stream"
)

// lake is a destination in memory, idempotent in the range as the real ones are.
type lake struct {
	mu      sync.Mutex
	ranges  map[stream.Range][]string
	rejects map[stream.Range]int
	faults  []string // the same range with other lines
	slow    time.Duration
	refuse  func(stream.Range) error // before anything is stored
}

func newLake() *lake {
	return &lake{ranges: map[stream.Range][]string{}, rejects: map[stream.Range]int{}}
}

func (l *lake) destination() consumers.Destination {
	return consumers.Destination{Name: "memory", Plan: "plan 1", Open: func(context.Context, stream.ShardID, string) (consumers.Sink, error) {
		return &lakeSink{lake: l}, nil
	}}
}

func (l *lake) Put(_ context.Context, r stream.Range, items []consumers.Reject) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rejects[r] = len(items)
	return nil
}

// lines counts how often each line was delivered.
func (l *lake) lines() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[string]int{}
	for _, lines := range l.ranges {
		for _, line := range lines {
			count[line]++
		}
	}
	return count
}

type lakeSink struct {
	lake  *lake
	lines []string
	size  atomic.Int64
}

func (s *lakeSink) Append(b stream.Batch) error {
	for _, e := range b.Events {
		s.lines = append(s.lines, string(e.Line))
		s.size.Add(int64(len(e.Line)))
	}
	return nil
}

func (s *lakeSink) Size() int64 { return s.size.Load() }

func (s *lakeSink) Flush(ctx context.Context, r stream.Range) error {
	select {
	case <-time.After(s.lake.slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.lake.refuse != nil {
		if err := s.lake.refuse(r); err != nil {
			return err
		}
	}
	s.lake.mu.Lock()
	defer s.lake.mu.Unlock()
	if have, ok := s.lake.ranges[r]; ok && !slices.Equal(have, s.lines) {
		s.lake.faults = append(s.lake.faults, fmt.Sprintf("range %v had %d lines, now %d", r, len(have), len(s.lines)))
	}
	s.lake.ranges[r] = s.lines
	s.lines = nil
	s.size.Store(0)
	return nil
}

// site is a stream with writers, and the workers of one group on it.
type site struct {
	t      *testing.T
	server *localtest.Server
	aws    aws.Config
	lake   *lake
	sent   map[string]bool
	offset [8]uint64 // of each lane
}

const streamName = "logs"

func newSite(t *testing.T, shards int32) *site {
	server := localtest.Start(t)
	s := &site{t: t, server: server, aws: server.AWS, lake: newLake(), sent: map[string]bool{}}
	s.create(shards)
	return s
}

func (s *site) kinesis() *kinesis.Client { return kinesis.NewFromConfig(s.aws) }

func (s *site) create(shards int32) {
	s.t.Helper()
	_, err := s.kinesis().CreateStream(s.t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(streamName), ShardCount: &shards})
	if err != nil {
		s.t.Fatal(err)
	}
}

// send publishes records of 10 numbered lines on 8 lanes; every fifth record goes
// out twice, as a producer does whose answer was lost.
func (s *site) send(records int) {
	s.t.Helper()
	encoder := schema.NewEncoder()
	for n := range records {
		lane := n % len(s.offset)
		b := schema.Batch{Epoch: schema.Epoch{1}, Lane: uint32(lane)}
		for range 10 {
			s.offset[lane]++
			line := fmt.Sprintf("%d-%d", lane, s.offset[lane])
			s.sent[line] = true
			b.Events = append(b.Events, schema.Event{Time: 1, Kind: schema.KindRaw, Origin: &schema.Origin{}, Line: []byte(line), Offset: s.offset[lane]})
		}
		data, err := encoder.Append(nil, &b)
		if err != nil {
			s.t.Fatal(err)
		}
		times := 1
		if n%5 == 0 {
			times = 2
		}
		for range times {
			s.put(fmt.Sprintf("lane %d", lane), data)
		}
	}
}

func (s *site) put(key string, data []byte) {
	s.t.Helper()
	_, err := s.kinesis().PutRecord(s.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String(streamName), PartitionKey: &key, Data: data})
	if err != nil {
		s.t.Fatal(err)
	}
}

// member is one worker. cut takes its network away, as kill -9 or a lost route
// would look to everybody else.
type member struct {
	*consumers.Group
	stop func() error
	cut  func()
}

var errCut = errors.New("network is unreachable")

type cable struct {
	inner aws.HTTPClient
	cut   atomic.Bool
}

func (c *cable) Do(r *http.Request) (*http.Response, error) {
	if c.cut.Load() {
		return nil, errCut
	}
	return c.inner.Do(r)
}

func testConfig(worker string) consumers.Config {
	cfg := consumers.DefaultConfig()
	cfg.Name, cfg.Worker = "lake", worker
	cfg.LeaseDuration, cfg.AttemptTimeout = 2*time.Second, 300*time.Millisecond
	cfg.Policy.MaxAge = 300 * time.Millisecond
	cfg.Policy.ParkedRetry = 200 * time.Millisecond
	cfg.Reader.PollMin, cfg.Reader.PollInterval = 200*time.Millisecond, 200*time.Millisecond
	cfg.Reader.BackoffMin, cfg.Reader.BackoffMax = 50*time.Millisecond, 200*time.Millisecond
	cfg.Reader.AttemptTimeout = time.Second
	return cfg
}

func (s *site) group(cfg consumers.Config, aws aws.Config) *consumers.Group {
	s.t.Helper()
	g, err := consumers.New(cfg, s.lake.destination(), s.lake, kinesis.NewFromConfig(aws), dynamodb.NewFromConfig(aws),
		stream.Ref{Name: streamName}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

func (s *site) start(cfg consumers.Config) *member {
	s.t.Helper()
	own := s.server.AWS.Copy()
	wire := &cable{inner: own.HTTPClient}
	own.HTTPClient = wire
	g := s.group(cfg, own)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	s.t.Cleanup(func() { _ = stop() })
	return &member{Group: g, stop: stop, cut: func() { wire.cut.Store(true) }}
}

// eventually waits for what the test is about, without guessing how long it takes.
func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second) // by the clock of a machine that may be busy
	for !ok() {
		if time.Now().After(deadline) {
			s.t.Fatalf("not in time: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *site) delivered() bool { return len(s.lake.lines()) >= len(s.sent) }

// exactlyOnce fails for every line that is missing, doubled or unknown.
func (s *site) exactlyOnce() {
	s.t.Helper()
	lines := s.lake.lines()
	wrong := 0
	for line := range s.sent {
		if lines[line] != 1 {
			wrong++
		}
	}
	if wrong > 0 || len(lines) != len(s.sent) {
		s.t.Errorf("%d of %d lines not exactly once; %d different lines delivered", wrong, len(s.sent), len(lines))
	}
	for _, f := range s.lake.faults {
		s.t.Error(f)
	}
}

func held(m *member) (n int) {
	for _, s := range m.Status() {
		if s.State != consumers.StateElsewhere && s.State != consumers.StateFinished {
			n++
		}
	}
	return n
}

func TestTwoWorkersShareFourShardsAndOneDies(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4)
	a := s.start(testConfig("a"))
	s.eventually("the first worker has all shards", func() bool { return held(a) == 4 })
	s.send(40)
	b := s.start(testConfig("b"))
	s.eventually("two shards each", func() bool { return held(a) == 2 && held(b) == 2 })
	s.send(40)
	s.eventually("everything is delivered", s.delivered)
	s.lake.slow = 50 * time.Millisecond
	s.send(40)
	b.cut() // in the middle of it
	s.send(40)
	s.eventually("the survivor has all shards", func() bool { return held(a) == 4 })
	s.send(40)
	s.eventually("everything is delivered", s.delivered)
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
	if c := a.Counters(); c.Duplicates == 0 || c.Records == 0 || c.Flushes == 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestAStopDeliversAndANewStartGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	cfg := testConfig("a")
	cfg.Policy.MaxAge = time.Hour // only the stop flushes
	a := s.start(cfg)
	s.send(20)
	s.eventually("records are taken", func() bool { return a.Counters().Records >= 24 })
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
	began := time.Now()
	s.send(20)
	b := s.start(testConfig("b"))
	s.eventually("everything is delivered", s.delivered)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("%v: the leases were not given up", d)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
}

func TestFaultsOfTheServicesLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	a, b := s.start(testConfig("a")), s.start(testConfig("b"))
	s.eventually("all shards are read", func() bool { return held(a)+held(b) == 3 })
	err := s.server.Faults.Replace([]fault.Rule{
		{Service: "dynamodb", Action: "throttle", Every: 10},
		{Service: "dynamodb", Action: "lose_response", Every: 7},
		{Service: "dynamodb", Action: "delay_commit", Every: 17, Delay: 500 * time.Millisecond},
		{Service: "dynamodb", Action: "error", Every: 13},
		{Service: "kinesis", Operation: "GetRecords", Action: "throttle", Every: 5},
		{Service: "kinesis", Operation: "GetRecords", Action: "lose_response", Every: 7},
		{Service: "kinesis", Operation: "ListShards", Action: "error", Every: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s.send(24)
		time.Sleep(300 * time.Millisecond)
	}
	s.eventually("everything is delivered", s.delivered)
	if err := s.server.Faults.Replace(nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.stop(), b.stop()); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
}

func TestASplitWhileReading(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	a := s.start(testConfig("a"))
	s.send(40)
	_, err := s.kinesis().SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String(streamName), ShardToSplit: aws.String("shardId-000000000000"),
		NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for lane := range s.offset { // what the parent delivered comes to the children once more
		s.offset[lane] -= 10
	}
	s.send(48)
	s.eventually("everything is delivered", s.delivered)
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
	states := map[consumers.State]int{}
	for _, shard := range a.Status() {
		states[shard.State]++
	}
	if want := map[consumers.State]int{consumers.StateFinished: 1, consumers.StateElsewhere: 2}; !maps.Equal(states, want) {
		t.Errorf("states %v", states)
	}
}

func TestWhatCannotBeDecodedIsStored(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	a := s.start(testConfig("a"))
	s.put("k", []byte{0xff, 0xfe, 0xfd})
	s.eventually("the reject is stored", func() bool {
		s.lake.mu.Lock()
		defer s.lake.mu.Unlock()
		return len(s.lake.rejects) == 1
	})
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	if c := a.Counters(); c.Rejects != 1 {
		t.Errorf("counters %+v", c)
	}
}

func TestAStreamCreatedAnewIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	a := s.start(testConfig("a"))
	s.eventually("the shard is read", func() bool { return held(a) == 1 })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.kinesis().DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String(streamName)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // creation times have milliseconds
	s.create(1)
	err := s.group(testConfig("b"), s.server.AWS).Run(t.Context())
	if !stream.IsPermanent(err) || !strings.Contains(err.Error(), "created anew") {
		t.Errorf("error %v", err)
	}
}

func TestAFirstStartAtLatestLosesNothingThatArrivesAfterwards(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	cfg := testConfig("a")
	cfg.Start = consumers.StartLatest
	a := s.start(cfg)
	s.eventually("the shard is read", func() bool { return held(a) == 1 })
	if err := a.stop(); err != nil { // before anything was checkpointed
		t.Fatal(err)
	}
	s.send(10)
	b := s.start(cfg)
	s.eventually("everything is delivered", s.delivered)
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
}

func TestWhatAGroupCannotStartWith(t *testing.T) {
	dest := newLake().destination()
	long := dest
	long.Plan = strings.Repeat("p", 64<<10+1)
	bad := testConfig("a")
	bad.Name, bad.Policy.MaxBytes, bad.Start = "", 0, "yesterday"
	for name, c := range map[string]struct {
		cfg     consumers.Config
		dest    consumers.Destination
		rejects consumers.RejectStore
		want    []string
	}{
		"no reject store": {testConfig("a"), dest, nil, []string{"reject store"}},
		"no destination":  {testConfig("a"), consumers.Destination{}, newLake(), []string{"destination"}},
		"a long plan":     {testConfig("a"), long, newLake(), []string{"65537 bytes"}},
		"bad values":      {bad, dest, newLake(), []string{"name", "max_bytes", "start"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := consumers.New(c.cfg, c.dest, c.rejects, nil, nil, stream.Ref{Name: "s"}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
		})
	}
}

func TestARecordForAnotherGroupIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		alias string
		gets  []string
		over  float64
	}{
		"of a group with its own name":   {"", []string{"", "lake"}, 2},
		"of a group with another's name": {"treasuredata", []string{"", "lake", "treasuredata"}, 1},
	} {
		t.Run(name, func(t *testing.T) { testAddressed(t, c.alias, c.gets, c.over) })
	}
}

func testAddressed(t *testing.T, alias string, gets []string, over float64) {
	inBubble(t, 1, func(b *bubble) {
		encoder := schema.NewEncoder()
		for i, to := range []string{"", "lake", "realtime", "treasuredata"} {
			if slices.Contains(gets, to) {
				b.site.sent["for "+to] = true
			}
			data, err := encoder.Append(nil, &schema.Batch{Epoch: schema.Epoch{9}, Lane: uint32(i), To: to, Events: []schema.Event{
				{Time: 1, Kind: schema.KindRaw, Offset: 1, Origin: &schema.Origin{}, Line: []byte("for " + to)}}})
			if err != nil {
				t.Fatal(err)
			}
			b.site.put("key", data)
		}
		cfg := bubbleConfig("w")
		cfg.Alias = alias
		w := b.start(cfg)
		b.until("all is delivered", 15*time.Second, b.site.delivered)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		b.site.exactlyOnce()
		if n := w.sum(t, "tributary_consumers_elsewhere_total"); n != over {
			t.Errorf("%v events passed over, want %v", n, over)
		}
	})
}
