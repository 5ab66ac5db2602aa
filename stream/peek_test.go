package stream_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/deploy/local/fault"
	"tributary/stream"
)

func TestAPeekShowsWhatLiesAtAPosition(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	p, _ := s.producer(logs, quickProducer())
	id := s.shards()[0].ID
	peek := func(at stream.Position) stream.Sight {
		t.Helper()
		sight, err := stream.Peek(t.Context(), s.api, logs, id, at)
		if err != nil {
			t.Fatal(err)
		}
		return sight
	}
	if got := peek(stream.TrimHorizon()); got != (stream.Sight{}) {
		t.Errorf("an empty shard: %+v", got)
	}
	s.publish(p, "one", "two")
	first := peek(stream.TrimHorizon())
	if first.Next == "" || time.Since(first.Arrival) > time.Minute || first.Behind <= 0 || first.Behind > time.Minute || first.End {
		t.Errorf("the first record: %+v", first)
	}
	second := peek(stream.After(first.Next))
	if second.Next.Compare(first.Next) <= 0 {
		t.Errorf("the second record: %+v", second)
	}
	if got := peek(stream.After(second.Next)); got != (stream.Sight{}) {
		t.Errorf("the tip: %+v", got)
	}
	_, err := s.api.SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String("logs"), ShardToSplit: aws.String(string(id)), NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peek(stream.After(second.Next)); !got.End || got.Next != "" {
		t.Errorf("the end: %+v", got)
	}
	for what, at := range map[string]stream.Position{"a sequence number of nobody": stream.At("123"), "no position": {}} {
		if _, err := stream.Peek(t.Context(), s.api, logs, id, at); err == nil || what != "no position" && !stream.IsPermanent(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAPeekWaitsForAThrottledShard(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	p, _ := s.producer(logs, quickProducer())
	s.publish(p, "one")
	s.faults(fault.Rule{Operation: "GetRecords", Action: "throttle", Count: 2})
	got, err := stream.Peek(t.Context(), s.api, logs, s.shards()[0].ID, stream.TrimHorizon())
	if err != nil || got.Next == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheServicesClockIsNotAhead(t *testing.T) {
	t.Parallel()
	s := serve(t, 1)
	now, err := stream.Clock(t.Context(), s.api, logs)
	if err != nil || now.After(time.Now()) || time.Since(now) > time.Minute {
		t.Errorf("%s, %v", now, err)
	}
}
