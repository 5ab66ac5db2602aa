package stream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/deploy/local/fault"
	endpoint "tributary/deploy/local/kinesis"
	"tributary/deploy/local/localtest"
	"tributary/stream"
)

// pushing is the embedded endpoint in a bubble of synctest, limits on, with the
// stream "logs" of one shard. Calls of an operation in refused get its error.
type pushing struct {
	*kinesis.Client
	t      *testing.T
	faults *fault.Set

	mu      sync.Mutex
	refused map[string]error
	calls   map[string]int
	stall   bool // bodies that are read say nothing more
}

func inBubble(t *testing.T, f func(t *testing.T, s *pushing)) { inBubbleOf(1, t, f) }

func inBubbleOf(shards int32, t *testing.T, f func(t *testing.T, s *pushing)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &pushing{t: t, faults: new(fault.Set), refused: make(map[string]error), calls: make(map[string]int)}
		service, err := endpoint.Open(t.TempDir(), endpoint.Options{Faults: s.faults, Limits: true})
		if err != nil {
			t.Fatal(err)
		}
		pipes := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
		srv := httptest.NewUnstartedServer(service)
		_ = srv.Listener.Close()
		srv.Listener = pipes
		srv.Start()
		transport := &http.Transport{MaxIdleConnsPerHost: 16, DialContext: pipes.dial}
		s.Client = kinesis.NewFromConfig(aws.Config{
			Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			HTTPClient: &http.Client{Transport: localtest.PlainBodies(staller{transport, s})},
		})
		t.Cleanup(func() {
			service.EndSubscriptions()
			transport.CloseIdleConnections()
			srv.Close()
			if err := service.Close(); err != nil {
				t.Error(err)
			}
		})
		s.create(shards)
		f(t, s)
	})
}

func (s *pushing) create(shards int32) {
	s.t.Helper()
	if _, err := s.CreateStream(s.t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("logs"), ShardCount: &shards}); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Second)
}

// pipes is a listener whose connections are in memory, so that a bubble knows who
// waits for whom.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4566} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return mine, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// staller has connections go dead: nothing comes, nothing fails.
type staller struct {
	http.RoundTripper
	s *pushing
}

func (st staller) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := st.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "SubscribeToShard") {
		answer.Body = stallingBody{answer, answer.Body, r.Context(), st.s}
	}
	return answer, err
}

type stallingBody struct {
	answer *http.Response
	body   interface {
		Read([]byte) (int, error)
		Close() error
	}
	ctx context.Context
	s   *pushing
}

func (b stallingBody) Close() error { return b.body.Close() }

func (b stallingBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.s.mu.Lock()
	stall := b.s.stall
	b.s.mu.Unlock()
	if stall {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	return n, err
}

// called counts a call and says whether it is refused.
func (s *pushing) called(operation string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	return s.refused[operation]
}

func (s *pushing) count(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

func (s *pushing) refuse(refused map[string]error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = maps.Clone(refused)
}

func (s *pushing) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, o ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	if err := s.called("GetRecords"); err != nil {
		return nil, err
	}
	return s.Client.GetRecords(ctx, in, o...)
}

func (s *pushing) RegisterStreamConsumer(ctx context.Context, in *kinesis.RegisterStreamConsumerInput, o ...func(*kinesis.Options)) (*kinesis.RegisterStreamConsumerOutput, error) {
	if err := s.called("RegisterStreamConsumer"); err != nil {
		return nil, err
	}
	return s.Client.RegisterStreamConsumer(ctx, in, o...)
}

func (s *pushing) SubscribeToShard(ctx context.Context, in *kinesis.SubscribeToShardInput, o ...func(*kinesis.Options)) (*kinesis.SubscribeToShardOutput, error) {
	if err := s.called("SubscribeToShard"); err != nil {
		return nil, err
	}
	return s.Client.SubscribeToShard(ctx, in, o...)
}

func (s *pushing) put(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		if _, err := s.PutRecord(s.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String("key"), Data: []byte(line)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// putEvery puts the lines one by one, in its own time.
func (s *pushing) putEvery(pause time.Duration, lines []string) (done <-chan struct{}) {
	all := make(chan struct{})
	go func() {
		defer close(all)
		for _, line := range lines {
			s.put(line)
			time.Sleep(pause)
		}
	}()
	return all
}

// worker is one process of the group.
type worker struct {
	*stream.FanOut
	src  *stream.Source
	s    *pushing
	reg  *prometheus.Registry
	logs *bytes.Buffer
}

func (s *pushing) worker(change ...func(*stream.ReaderConfig)) worker {
	s.t.Helper()
	cfg := stream.DefaultReaderConfig()
	for _, c := range change {
		c(&cfg)
	}
	w := worker{s: s, reg: prometheus.NewRegistry(), logs: new(bytes.Buffer)}
	log := slog.New(slog.NewTextHandler(w.logs, nil))
	var err error
	if w.src, err = stream.NewSource(s, logs, cfg, w.reg, log); err != nil {
		s.t.Fatal(err)
	}
	d, err := stream.Describe(s.t.Context(), s, logs)
	if err != nil {
		s.t.Fatal(err)
	}
	w.src.Pin(d.Created)
	if w.FanOut, err = stream.NewFanOut(w.src, s, "lake", w.reg, log); err != nil {
		s.t.Fatal(err)
	}
	return w
}

// subscriber is a Subscriber and what it gave so far.
type subscriber struct {
	*stream.Subscriber
	t    *testing.T
	got  []string
	last stream.SequenceNumber
}

const firstShard = "shardId-000000000000"

func (w worker) open(from stream.Position) *subscriber { return w.openShard(firstShard, from) }

func (w worker) openShard(id stream.ShardID, from stream.Position) *subscriber {
	w.s.t.Helper()
	r, err := w.Open(id, from)
	if err != nil {
		w.s.t.Fatal(err)
	}
	w.s.t.Cleanup(r.Close)
	return &subscriber{Subscriber: r, t: w.s.t}
}

// readFor reads for so long, or to an error.
func (r *subscriber) readFor(d time.Duration) error {
	r.t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); {
		ctx, cancel := context.WithDeadline(r.t.Context(), until)
		b, err := r.Next(ctx)
		cancel()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return nil
			}
			return err
		}
		r.take(b)
	}
	return nil
}

func (r *subscriber) take(b stream.Batch) {
	r.t.Helper()
	if b.Sequence == "" {
		return
	}
	if r.last != "" && b.Sequence.Compare(r.last) <= 0 {
		r.t.Errorf("record %s came after %s", b.Sequence, r.last)
	}
	r.last = b.Sequence
	for _, e := range b.Events {
		r.got = append(r.got, string(e.Line))
	}
}

func (r *subscriber) read(d time.Duration) {
	r.t.Helper()
	if err := r.readFor(d); err != nil {
		r.t.Fatal(err)
	}
}

// want checks all lines since the Subscriber was opened.
func (r *subscriber) want(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.got, want) {
		r.t.Errorf("read %d lines, want %d: %v", len(r.got), len(want), r.got)
	}
}

func TestASubscriptionIsRenewedEveryFiveMinutesWithoutLossOrDuplicate(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		all := lines(1, 400)
		w := s.worker()
		r := w.open(stream.TrimHorizon())
		done := s.putEvery(3*time.Second, all)
		r.read(20*time.Minute + 10*time.Second)
		<-done
		r.want(all...)
		if n := s.count("SubscribeToShard"); n != 5 {
			t.Errorf("subscribed %d times in 20 minutes, want 5", n)
		}
		if n := s.count("GetRecords"); n > 1 {
			t.Errorf("polled %d times", n)
		}
		if r.Behind() != 0 || time.Since(r.Tip()) > 10*time.Second {
			t.Errorf("behind %v, at the tip %v ago", r.Behind(), time.Since(r.Tip()))
		}
		if strings.Contains(w.logs.String(), "WARN") {
			t.Errorf("warned: %s", w.logs)
		}
	})
}

// Whoever owns a shard has to look at the clock, at its lease and at the memory that
// others want, however seldom it polls.
func TestAQuietSubscriptionLetsItsOwnerLookAtTheClock(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		r := s.worker(func(c *stream.ReaderConfig) { c.PollInterval = time.Minute }).open(stream.TrimHorizon())
		for range 10 {
			before := time.Now()
			if n, err := r.Await(t.Context(), time.Time{}); n != 0 || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if waited := time.Since(before); waited > 1250*time.Millisecond {
				t.Fatalf("waited %v", waited)
			}
		}
	})
}

func TestCutConnectionsLoseAndDoubleNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		if err := s.faults.Replace([]fault.Rule{{Service: "kinesis", Operation: "SubscribeToShard", Action: fault.Cut, Every: 3}}); err != nil {
			t.Fatal(err)
		}
		all := lines(1, 400)
		r := s.worker().open(stream.TrimHorizon())
		done := s.putEvery(500*time.Millisecond, all)
		r.read(4 * time.Minute)
		<-done
		r.want(all...)
		if n := s.count("SubscribeToShard"); n < 20 {
			t.Errorf("subscribed %d times: nothing was cut", n)
		}
	})
}

func TestADeadConnectionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		r := s.worker().open(stream.TrimHorizon())
		s.put(line(1))
		r.read(10 * time.Second)
		s.mu.Lock()
		s.stall = true
		s.mu.Unlock()
		r.read(25 * time.Second)
		if r.Behind() < 10*time.Second {
			t.Errorf("behind %v after 25 s of silence", r.Behind())
		}
		s.put(line(2))
		s.mu.Lock()
		s.stall = false
		s.mu.Unlock()
		r.read(40 * time.Second)
		r.want(lines(1, 2)...)
	})
}

func TestANewOwnerTakesTheSubscriptionOverAndTheOldOnePolls(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		old, young := s.worker(), s.worker()
		s.put(line(1))
		a := old.open(stream.TrimHorizon())
		a.read(10 * time.Second)
		b := young.open(stream.TrimHorizon())
		b.read(5 * time.Second)
		if n := s.count("GetRecords"); n > 0 {
			t.Errorf("polled %d times although the subscription was free to take", n)
		}
		s.put(line(2))
		a.read(2 * time.Second) // not long enough to take it back
		a.want(lines(1, 2)...)
		if n := s.count("GetRecords"); n == 0 {
			t.Error("the old owner did not poll")
		}
		a.Close()
		s.put(line(3))
		b.read(5 * time.Second)
		b.want(lines(1, 3)...)
	})
}

func TestWhoOpensAgainAtOncePollsUntilItMaySubscribe(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		w := s.worker()
		w.open(stream.TrimHorizon()).read(3 * time.Second)
		r := w.open(stream.TrimHorizon())
		s.put(line(1))
		r.read(2 * time.Second)
		r.want(line(1))
		r.read(10 * time.Second)
		polls := s.count("GetRecords")
		s.put(line(2))
		r.read(10 * time.Second)
		r.want(lines(1, 2)...)
		if n := s.count("GetRecords"); n != polls {
			t.Errorf("polled %d times although subscribed", n-polls)
		}
	})
}

func TestARefusalIsSaidOnceAndFanOutTriedLater(t *testing.T) {
	refused := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "no"} }
	tests := map[string]map[string]error{
		"twenty consumers are there already":     {"RegisterStreamConsumer": &types.LimitExceededException{Message: aws.String("20 consumers")}},
		"no permission to register":              {"RegisterStreamConsumer": refused("AccessDeniedException")},
		"no permission to subscribe":             {"SubscribeToShard": refused("AccessDeniedException")},
		"an endpoint that does not know fan-out": {"RegisterStreamConsumer": refused("UnknownOperationException")},
	}
	for name, refusals := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *pushing) {
				s.refuse(refusals)
				w := s.worker(func(c *stream.ReaderConfig) { c.FanOut.RetryInterval = time.Minute })
				readers := []*subscriber{w.open(stream.TrimHorizon()), w.open(stream.TrimHorizon()), w.open(stream.TrimHorizon())}
				var reading sync.WaitGroup
				phase := func(d time.Duration) {
					for _, r := range readers {
						reading.Go(func() { r.read(d) })
					}
					reading.Wait()
				}
				s.put(lines(1, 5)...)
				phase(170 * time.Second)
				for _, r := range readers {
					r.want(lines(1, 5)...)
				}
				if n := strings.Count(w.logs.String(), "polling instead"); n != 1 || strings.Count(w.logs.String(), "WARN") != 1 {
					t.Errorf("%d lines say that shards are polled, in %s", n, w.logs)
				}
				if n := metric(t, w.reg, "fan_out_available", ""); n != 0 {
					t.Errorf("available is %v", n)
				}
				for operation := range refusals {
					if n := s.count(operation); n > 3*4 {
						t.Errorf("%s was called %d times in three minutes", operation, n)
					}
				}
				readers = readers[:1] // a consumer has one subscription per shard
				s.refuse(nil)
				phase(90 * time.Second)
				if n := strings.Count(w.logs.String(), "enhanced fan-out again"); n != 1 {
					t.Errorf("%d lines say that it works again: %s", n, w.logs)
				}
				polls := s.count("GetRecords")
				s.put(line(6))
				phase(time.Minute)
				readers[0].want(lines(1, 6)...)
				if n := s.count("GetRecords"); n != polls {
					t.Errorf("polled %d times although subscribed", n-polls)
				}
			})
		})
	}
}

func TestAClosedShardIsReadToItsEndAndNamesItsChildren(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		r := s.worker().open(stream.TrimHorizon())
		s.put(lines(1, 3)...)
		r.read(5 * time.Second)
		if _, err := s.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: aws.String("logs"), ShardToSplit: aws.String(firstShard),
			NewStartingHashKey: aws.String("170141183460469231731687303715884105728")}); err != nil {
			t.Fatal(err)
		}
		if err := r.readFor(10 * time.Second); !errors.Is(err, stream.ErrShardClosed) {
			t.Fatalf("error %v, want the end of the shard", err)
		}
		r.want(lines(1, 3)...)
		if n := len(r.Children()); n != 2 {
			t.Errorf("children %v", r.Children())
		}
		if n := s.count("GetRecords"); n > 0 {
			t.Errorf("polled %d times", n)
		}
		// Read again from the beginning, the end comes with the last records.
		again := s.worker().open(stream.TrimHorizon())
		if err := again.readFor(20 * time.Second); !errors.Is(err, stream.ErrShardClosed) {
			t.Errorf("error %v, want the end of the shard", err)
		}
		again.want(lines(1, 3)...)
	})
}

func TestEveryPositionBeginsWhereItSaysByFanOutToo(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		var second stream.SequenceNumber
		var at time.Time
		first := s.worker().open(stream.TrimHorizon())
		for n := 1; n <= 4; n++ {
			if n == 3 {
				at = time.Now()
			}
			s.put(line(n))
			first.read(2 * time.Second)
			if n == 2 {
				second = first.last
			}
		}
		first.Close()
		tests := map[string]struct {
			from stream.Position
			want []string
		}{
			"latest":                  {stream.Latest(), lines(5, 5)},
			"at a time":               {stream.AtTime(at), lines(3, 5)},
			"at a sequence number":    {stream.At(second), lines(2, 5)},
			"after a sequence number": {stream.After(second), lines(3, 5)},
		}
		readers := make(map[string]*subscriber)
		for name, test := range tests {
			time.Sleep(10 * time.Second)
			r := s.worker().open(test.from)
			r.read(10 * time.Second)
			readers[name] = r
		}
		s.put(line(5))
		for name, r := range readers {
			r.read(30 * time.Second)
			if !slices.Equal(r.got, tests[name].want) {
				t.Errorf("%s: read %v", name, r.got)
			}
		}
	})
}

func TestWhatNoRetryMendsIsPermanentByFanOutToo(t *testing.T) {
	t.Run("a sequence number of another stream", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *pushing) {
			if err := s.worker().open(stream.After("666")).readFor(time.Minute); !stream.IsPermanent(err) {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("a stream that was deleted and made anew", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s *pushing) {
			r := s.worker().open(stream.TrimHorizon())
			s.put(line(1))
			r.read(10 * time.Second)
			if _, err := s.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("logs"), EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			s.create(1)
			s.put(line(2))
			if err := r.readFor(2 * time.Minute); !errors.Is(err, stream.ErrRecreated) || !stream.IsPermanent(err) {
				t.Errorf("error %v", err)
			}
			r.want(line(1))
		})
	})
}

func TestADeregisteredConsumerIsMadeAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, s *pushing) {
		r := s.worker().open(stream.TrimHorizon())
		s.put(line(1))
		r.read(10 * time.Second)
		d, err := stream.Describe(t.Context(), s, logs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{StreamARN: &d.ARN, ConsumerName: aws.String("lake")}); err != nil {
			t.Fatal(err)
		}
		s.put(line(2))
		r.read(3 * time.Second)
		r.want(lines(1, 2)...)
		r.read(time.Minute)
		polls := s.count("GetRecords")
		s.put(line(3))
		r.read(time.Minute)
		r.want(lines(1, 3)...)
		if n := s.count("GetRecords"); n != polls || s.count("RegisterStreamConsumer") != 2 {
			t.Errorf("polled %d times, registered %d times", n-polls, s.count("RegisterStreamConsumer"))
		}
	})
}

func TestPushedEventsStayWithinReadBytesAndASleepingShardGivesItsOwnBack(t *testing.T) {
	inBubbleOf(9, t, func(t *testing.T, s *pushing) {
		w := s.worker(func(c *stream.ReaderConfig) { c.ReadBytes = 17 << 20 })
		shards, err := stream.ListShards(t.Context(), s, logs)
		if err != nil {
			t.Fatal(err)
		}
		const each = 3
		pad := strings.Repeat("x", 900<<10)
		for range each {
			for _, shard := range shards {
				if _, err := s.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String("key"),
					ExplicitHashKey: aws.String(shard.StartHash), Data: []byte(`{"n":"` + pad + `"}`)}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		var most float64
		look := func() {
			most = max(most, metric(t, w.reg, "read_memory_bytes", ""))
		}
		// All but the last are asked for one record, and then for none: as in a flush
		// that takes long.
		var readers []*subscriber
		for _, shard := range shards {
			r := w.openShard(shard.ID, stream.TrimHorizon())
			readers = append(readers, r)
			for len(r.got) == 0 {
				b, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r.take(b)
				look()
			}
			time.Sleep(time.Second)
			look()
		}
		for _, r := range slices.Backward(readers) {
			for until := time.Now().Add(2 * time.Minute); len(r.got) < each && time.Now().Before(until); look() {
				b, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r.take(b)
			}
			if len(r.got) != each {
				t.Errorf("read %d records, want %d", len(r.got), each)
			}
		}
		if most > 17<<20 || most < 8<<20 {
			t.Errorf("held up to %v bytes, want most of 17 MiB and no more", most)
		}
		if n := metric(t, w.reg, "read_reclaimed_total", ""); n == 0 {
			t.Error("nothing was taken back: the test is too small")
		}
		for _, r := range readers {
			r.Close()
		}
		time.Sleep(time.Second)
		if n := metric(t, w.reg, "read_memory_bytes", ""); n != 0 {
			t.Errorf("%v bytes held by nobody", n)
		}
		if n := metric(t, w.reg, "fan_out_subscriptions", ""); n != 0 {
			t.Errorf("%v subscriptions open after all were closed", n)
		}
	})
}
