package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers"
	"tributary/stream"
)

// sour is a sink that fails on one shard as long as told to.
type sour struct {
	consumers.Sink
	fail func() error
}

func (s sour) Flush(ctx context.Context, r stream.Range) error {
	if err := s.fail(); err != nil {
		return err
	}
	return s.Sink.Flush(ctx, r)
}

// Whatever troubles one shard, the others are delivered meanwhile, and it is
// delivered once the trouble is over.
func TestOneShardsTroubleStaysThere(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func() error
		state consumers.State
	}{
		"a permanent error": {func() error { return stream.Permanent(errors.New("refused for good")) }, consumers.StateParked},
		"a panic in a sink": {func() error { panic("index out of range") }, consumers.StateParked},
		"an unknown error":  {func() error { return errors.New("access denied") }, consumers.StateRetrying},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 4)
			const bad = stream.ShardID("shardId-000000000002")
			var broken atomic.Bool
			broken.Store(true)
			dest := s.lake.destination()
			open := dest.Open
			dest.Open = func(ctx context.Context, id stream.ShardID, plan string) (consumers.Sink, error) {
				sink, err := open(ctx, id, plan)
				return sour{sink, func() error {
					if id == bad && broken.Load() {
						return c.fail()
					}
					return nil
				}}, err
			}
			g, stop, _ := s.runGroup(dest)
			on := map[bool]int{} // lines on the bad shard, and not
			for n := range 80 {
				on[s.tell(fmt.Sprint(n), fmt.Sprintf(`{"n":%d}`, n)) == bad]++
			}
			s.eventually("the other shards are delivered", func() bool { return len(s.lake.lines()) == on[false] })
			s.eventually("the failure is shown", func() bool {
				shard := statusOf(g, bad)
				return shard.State == c.state && shard.Error != ""
			})
			if on[true] == 0 || len(s.lake.lines()) != on[false] {
				t.Errorf("%d lines delivered, %d are on shards that work, %d on the one that does not", len(s.lake.lines()), on[false], on[true])
			}
			broken.Store(false)
			s.eventually("everything is delivered", s.delivered)
			if err := stop(); err != nil {
				t.Error(err)
			}
			s.exactlyOnce()
		})
	}
}

// tell puts one line as another producer would, and returns the shard it lies on.
func (s *site) tell(key, text string) stream.ShardID {
	s.t.Helper()
	out, err := s.kinesis().PutRecord(s.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String(streamName), PartitionKey: &key, Data: []byte(text)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.sent[text] = true
	return stream.ShardID(*out.ShardId)
}

// runGroup starts one worker with a destination of its own. stop stops it, ended is
// closed when it has ended.
func (s *site) runGroup(dest consumers.Destination, change ...func(*consumers.Config)) (g *consumers.Group, stop func() error, ended <-chan struct{}) {
	s.t.Helper()
	cfg := testConfig("a")
	for _, c := range change {
		c(&cfg)
	}
	g, err := consumers.New(cfg, dest, s.lake, s.kinesis(), dynamodb.NewFromConfig(s.server.AWS),
		stream.Ref{Name: streamName}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = g.Run(ctx)
	}()
	stop = func() error { cancel(); <-done; return err }
	s.t.Cleanup(func() { _ = stop() })
	return g, stop, done
}

func statusOf(g *consumers.Group, id stream.ShardID) consumers.ShardStatus {
	for _, s := range g.Status() {
		if s.Shard == id {
			return s
		}
	}
	return consumers.ShardStatus{}
}

func (s *site) recreate(shards int32) {
	s.t.Helper()
	if _, err := s.kinesis().DeleteStream(s.t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String(streamName)}); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // creation times have milliseconds
	s.create(shards)
}

// The worker has read of the old stream, or nothing yet, or holds no shard at all:
// it delivers what it took, reads nothing of the new stream, and ends.
func TestAStreamCreatedAnewWhileReadingEndsTheGroup(t *testing.T) {
	for name, records := range map[string]int{"with checkpoints": 20, "without any": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 2)
			g, stop, done := s.runGroup(s.lake.destination(), func(c *consumers.Config) { c.Policy.MaxAge = time.Hour }) // only the end flushes
			s.eventually("all shards are read", func() bool {
				reading := 0
				for _, shard := range g.Status() {
					if shard.State == consumers.StateReading && !shard.Tip.IsZero() {
						reading++
					}
				}
				return reading == 2
			})
			s.send(records)
			s.eventually("all is read", func() bool { return g.Counters().Events >= uint64(len(s.sent)) })
			s.recreate(4)
			for _, key := range []string{"k", "l", "m", "n"} {
				s.put(key, []byte(`{"new":"stream"}`))
			}
			select {
			case <-done:
			case <-time.After(15 * time.Second):
				t.Fatal("the group goes on")
			}
			err := stop()
			if !errors.Is(err, stream.ErrRecreated) || !stream.IsPermanent(err) || !strings.Contains(err.Error(), "lease table") {
				t.Errorf("error %v", err)
			}
			s.exactlyOnce()
			for _, shard := range g.Status() {
				if shard.Shard > "shardId-000000000001" {
					t.Errorf("a lease for shard %s of the new stream", shard.Shard)
				}
			}
		})
	}
}
