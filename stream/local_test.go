package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
	"tributary/stream"
)

// These tests run the real SDK client against the embedded endpoint, on the wall
// clock.

// service is an endpoint with the stream "logs".
type service struct {
	*localtest.Server
	api *kinesis.Client
	t   *testing.T
}

func serve(t *testing.T, shards int32) service {
	t.Helper()
	s := service{localtest.Start(t), nil, t}
	s.api = kinesis.NewFromConfig(s.AWS)
	if _, err := s.api.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("logs"), ShardCount: aws.Int32(shards)}); err != nil {
		t.Fatal(err)
	}
	for {
		d, err := stream.Describe(t.Context(), s.api, logs)
		if err != nil {
			t.Fatal(err)
		}
		if d.Status == "ACTIVE" {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// limitRecords changes what the stream takes, and returns once that is done.
func (s service) limitRecords(kib int32) {
	s.t.Helper()
	for {
		d, err := stream.Describe(s.t.Context(), s.api, logs)
		if err != nil {
			s.t.Fatal(err)
		}
		if d.MaxRecordBytes == int64(kib)<<10 && d.Status == "ACTIVE" {
			return
		}
		if d.Status == "ACTIVE" {
			if _, err := s.api.UpdateMaxRecordSize(s.t.Context(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: &d.ARN, MaxRecordSizeInKiB: &kib}); err != nil {
				s.t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// quickProducer is for a service that answers in a millisecond.
func quickProducer() stream.ProducerConfig {
	c := stream.DefaultProducerConfig()
	c.BackoffMin, c.BackoffMax = 5*time.Millisecond, 50*time.Millisecond
	return c
}

// impatientProducer gives up before a delayed commit is done.
func impatientProducer() stream.ProducerConfig {
	c := quickProducer()
	c.AttemptTimeout = 500 * time.Millisecond
	return c
}

func quickReader() stream.ReaderConfig {
	c := stream.DefaultReaderConfig()
	c.PollMin, c.PollInterval, c.AttemptTimeout = 200*time.Millisecond, 200*time.Millisecond, 2*time.Second
	c.BackoffMin, c.BackoffMax = 5*time.Millisecond, 50*time.Millisecond
	return c
}

func (s service) producer(ref stream.Ref, cfg stream.ProducerConfig) (*stream.Producer, *prometheus.Registry) {
	s.t.Helper()
	reg := prometheus.NewRegistry()
	p, err := stream.NewProducer(s.api, ref, cfg, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("run: %v", err)
		}
	})
	return p, reg
}

func (s service) reader(ref stream.Ref, id stream.ShardID, from stream.Position) *stream.Reader {
	s.t.Helper()
	src, err := stream.NewSource(s.api, ref, quickReader(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := src.Open(id, from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(r.Close)
	return r
}

func (s service) shards() []stream.Shard {
	s.t.Helper()
	shards, err := stream.ListShards(s.t.Context(), s.api, logs)
	if err != nil {
		s.t.Fatal(err)
	}
	return shards
}

func (s service) faults(rules ...fault.Rule) {
	s.t.Helper()
	for i := range rules {
		rules[i].Service = "kinesis"
	}
	if err := s.Faults.Replace(rules); err != nil {
		s.t.Fatal(err)
	}
}

func (s service) publish(p *stream.Producer, lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		if err := p.Publish(s.t.Context(), stream.Record{Key: "key", Data: []byte(line)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// drain reads what comes until done says so, the shard ends, or time is up.
func (s service) drain(r *stream.Reader, done func(line string) bool) error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	var last stream.SequenceNumber
	for {
		b, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if b.Sequence == "" {
			continue
		}
		if b.Sequence.Compare(last) <= 0 {
			s.t.Errorf("sequence number %s after %s", b.Sequence, last)
		}
		last = b.Sequence
		for _, e := range b.Events {
			if done(string(e.Line)) {
				return nil
			}
		}
	}
}

// expect reads exactly these lines.
func (s service) expect(r *stream.Reader, want ...string) {
	s.t.Helper()
	var got []string
	err := s.drain(r, func(line string) bool { got = append(got, line); return len(got) == len(want) })
	if err != nil || !slices.Equal(got, want) {
		s.t.Errorf("read %v, %v; want %v", got, err, want)
	}
}

func TestEveryLaneArrivesInOrderThroughFaults(t *testing.T) {
	t.Parallel()
	const lanes, batches = 24, 40
	s := serve(t, 3)
	s.faults(
		fault.Rule{Operation: "PutRecords", Action: fault.ThrottleRecords, Every: 10},
		fault.Rule{Operation: "PutRecords", Action: fault.LoseResponse, Every: 20},
		fault.Rule{Operation: "PutRecords", Action: fault.DelayCommit, Every: 50, Delay: 700 * time.Millisecond},
		fault.Rule{Operation: "PutRecords", Action: fault.Error, Every: 33},
		fault.Rule{Operation: "GetRecords", Action: fault.LoseResponse, Every: 3},
		fault.Rule{Operation: "GetShardIterator", Action: fault.Throttle, Every: 2},
	)
	p, _ := s.producer(logs, impatientProducer())
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			for n := range batches {
				data := fmt.Sprintf(`{"lane":%d,"n":%d}`, lane, n)
				if err := p.Publish(t.Context(), stream.Record{Key: fmt.Sprint(lane), Data: []byte(data)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()

	// A request that was given up may be stored after its successor; the first
	// appearances are in order all the same.
	next, total := make([]int, lanes), 0
	for _, shard := range s.shards() {
		marker := fmt.Sprintf(`{"end":%q}`, shard.ID)
		_, err := s.api.PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("logs"), PartitionKey: aws.String("end"), ExplicitHashKey: aws.String(shard.StartHash), Data: []byte(marker),
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.drain(s.reader(logs, shard.ID, stream.TrimHorizon()), func(line string) bool {
			var lane, n int
			if _, err := fmt.Sscanf(line, `{"lane":%d,"n":%d}`, &lane, &n); err != nil {
				return line == marker
			}
			switch {
			case n == next[lane]:
				next[lane]++
				total++
			case n > next[lane]:
				t.Errorf("lane %d: %d came before %d", lane, n, next[lane])
			}
			return false
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != lanes*batches {
		t.Errorf("%d of %d records arrived", total, lanes*batches)
	}
	for _, rule := range s.Faults.Rules() {
		if rule.Hits == 0 {
			t.Errorf("%s of %s never struck", rule.Action, rule.Operation)
		}
	}
}

func TestOneFaultIsOneRetry(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	s.faults(fault.Rule{Operation: "PutRecords", Action: fault.Error, Count: 4})
	p, reg := s.producer(logs, quickProducer())
	s.publish(p, line(1))
	if n := metric(t, reg, "put_retries_total", "internal"); n != 4 {
		t.Errorf("%v retries for 4 faults: two layers retry", n)
	}
	if n := metric(t, reg, "put_requests_total", ""); n != 5 {
		t.Errorf("%v requests for 4 faults", n)
	}
}

func TestLimitsOfTheServiceAreKept(t *testing.T) {
	t.Parallel()
	s := serve(t, 4)
	p, reg := s.producer(logs, quickProducer())
	var all sync.WaitGroup
	for n := range 501 {
		all.Go(func() {
			if err := p.Publish(t.Context(), stream.Record{Key: fmt.Sprint(n), Data: []byte(line(n))}); err != nil {
				t.Error(err)
			}
		})
	}
	large := stream.Record{Key: "large", Data: []byte(`{"l":"` + strings.Repeat("x", 1<<20-len(`{"l":""}`)-len("large")) + `"}`)}
	for range 12 {
		all.Go(func() {
			if err := p.Publish(t.Context(), large); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := metric(t, reg, "published_records_total", ""); n != 513 {
		t.Errorf("%v records published", n)
	}
}

func TestARecordTheServiceRefusesIsPermanent(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	p, _ := s.producer(logs, quickProducer())
	large := stream.Record{Key: "k", Data: make([]byte, 3<<20)}
	if err := p.Publish(t.Context(), large); !stream.IsPermanent(err) {
		t.Errorf("outcome before the limit is raised: %v", err)
	}
	s.limitRecords(10240)
	if _, err := p.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), large); err != nil {
		t.Errorf("outcome once it is known to be raised: %v", err)
	}
	s.limitRecords(1024) // the producer thinks that the stream takes more
	if err := p.Publish(t.Context(), large); !stream.IsPermanent(err) || p.MaxRecordBytes() != 1<<20 {
		t.Errorf("outcome %v, from now on a record may have %d bytes", err, p.MaxRecordBytes())
	}
	if err := p.Publish(t.Context(), stream.Record{Key: "k", Data: []byte(line(1))}); err != nil {
		t.Errorf("the next record: %v", err)
	}
}

func TestPositionsOfTheService(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	p, _ := s.producer(logs, quickProducer())
	id := s.shards()[0].ID
	latest := s.reader(logs, id, stream.Latest())
	s.publish(p, lines(0, 1)...)

	var second stream.SequenceNumber
	var arrival time.Time
	r := s.reader(logs, id, stream.TrimHorizon())
	for range 2 {
		b, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, arrival = b.Sequence, b.Arrival
	}
	if b, err := latest.Next(t.Context()); err != nil || b.Sequence != "" {
		t.Errorf("latest began with %+v, %v", b, err)
	}
	time.Sleep(2 * time.Millisecond) // arrivals have milliseconds
	s.publish(p, lines(2, 4)...)
	s.expect(latest, lines(2, 4)...)
	s.expect(s.reader(logs, id, stream.TrimHorizon()), lines(0, 4)...)
	s.expect(s.reader(logs, id, stream.At(second)), lines(1, 4)...)
	s.expect(s.reader(logs, id, stream.After(second)), lines(2, 4)...)
	s.expect(s.reader(logs, id, stream.AtTime(arrival.Add(time.Millisecond))), lines(2, 4)...)

	if _, err := s.reader(logs, id, stream.After("123")).Next(t.Context()); !stream.IsPermanent(err) {
		t.Errorf("a sequence number of nobody: %v", err)
	}
	if _, err := s.reader(logs, "shardId-000000000099", stream.Latest()).Next(t.Context()); !stream.IsPermanent(err) {
		t.Errorf("a shard that does not exist: %v", err)
	}
}

func TestASplitShardEndsAndItsChildrenGoOn(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	p, _ := s.producer(logs, quickProducer())
	parent := s.shards()[0].ID
	r := s.reader(logs, parent, stream.TrimHorizon())
	s.publish(p, lines(0, 9)...)
	s.expect(r, lines(0, 9)...)
	_, err := s.api.SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String("logs"), ShardToSplit: aws.String(string(parent)), NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.publish(p, line(10))
	if err := s.drain(r, func(line string) bool { t.Errorf("read %s from the parent", line); return false }); !errors.Is(err, stream.ErrShardClosed) {
		t.Fatalf("the parent ended with %v", err)
	}
	shards := s.shards()
	if len(shards) != 3 || !shards[0].Closed || shards[0].Last == "" || shards[1].Closed || shards[2].Closed {
		t.Fatalf("shards %+v", shards)
	}
	var ids []stream.ShardID
	for _, child := range shards[1:] {
		ids = append(ids, child.ID)
		if !slices.Equal(child.Parents, []stream.ShardID{parent}) {
			t.Errorf("parents of %s: %v", child.ID, child.Parents)
		}
		if child.First.Compare(shards[0].Last) <= 0 {
			t.Errorf("%s begins at %s, before its parent's end", child.ID, child.First)
		}
	}
	if children := slices.Sorted(slices.Values(r.Children())); !slices.Equal(children, ids) {
		t.Errorf("children %v, want %v", children, ids)
	}
	var got []string
	for _, id := range ids {
		for range 2 {
			b, err := s.reader(logs, id, stream.TrimHorizon()).Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range b.Events {
				got = append(got, string(e.Line))
			}
		}
	}
	if !slices.Equal(got, []string{line(10), line(10)}) {
		t.Errorf("two readings of the children gave %v", got)
	}
}

func TestARestartOfTheServiceInterruptsNobody(t *testing.T) {
	t.Parallel()
	const count = 60
	s := serve(t, 1)
	p, _ := s.producer(logs, quickProducer())
	r := s.reader(logs, s.shards()[0].ID, stream.TrimHorizon())
	published := make(chan error, 1)
	go func() {
		var err error
		for n := range count {
			err = errors.Join(err, p.Publish(t.Context(), stream.Record{Key: "key", Data: []byte(line(n))}))
			time.Sleep(10 * time.Millisecond)
		}
		published <- err
	}()
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		time.Sleep(200 * time.Millisecond)
		s.Stop()
		time.Sleep(200 * time.Millisecond)
		s.Restart()
	}()
	next := 0
	err := s.drain(r, func(got string) bool {
		if got == line(next) {
			next++
		} else if !slices.Contains(lines(0, next-1), got) {
			t.Errorf("read %s, want %s", got, line(next))
		}
		return next == count
	})
	<-restarted
	if err := errors.Join(err, <-published); err != nil {
		t.Error(err)
	}
}

func TestAnARNReachesTheStream(t *testing.T) {
	t.Parallel()
	s := serve(t, 2)
	d, err := stream.Describe(t.Context(), s.api, logs)
	if err != nil {
		t.Fatal(err)
	}
	ref := stream.Ref{ARN: d.ARN}
	again, err := stream.Describe(t.Context(), s.api, ref)
	if err != nil || again != d || d.Shards != 2 || d.Automatic || d.MaxRecordBytes != 1<<20 || time.Since(d.Created).Abs() > time.Minute {
		t.Errorf("described %+v and %+v, %v", d, again, err)
	}
	p, _ := s.producer(ref, quickProducer())
	s.publish(p, line(1))
	shards, err := stream.ListShards(t.Context(), s.api, ref)
	if err != nil || len(shards) != 2 {
		t.Fatalf("%d shards, %v", len(shards), err)
	}
	var got []string
	for _, shard := range shards {
		b, err := s.reader(ref, shard.ID, stream.TrimHorizon()).Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			got = append(got, string(e.Line))
		}
	}
	if !slices.Equal(got, lines(1, 1)) {
		t.Errorf("read %v", got)
	}
}

func TestADeletedStreamIsPermanentForItsReader(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	r := s.reader(logs, s.shards()[0].ID, stream.TrimHorizon())
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.api.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("logs")}); err != nil {
		t.Fatal(err)
	}
	if err := s.drain(r, func(string) bool { return false }); !stream.IsPermanent(err) {
		t.Errorf("error %v", err)
	}
}
