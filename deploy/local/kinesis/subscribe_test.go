package kinesis_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/schemas"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/kinesis"
)

// inTime runs f over a service whose time is the bubble's, with one stream and one consumer of it.
func inTime(t *testing.T, shards int32, f func(t *testing.T, w *world, consumer *string), change ...func(*kinesis.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir(), clock: new(clock), faults: new(fault.Set), pipes: true}
		w.opts = kinesis.Options{Faults: w.faults}
		for _, c := range change {
			c(&w.opts)
		}
		w.start()
		t.Cleanup(func() { w.close() })
		w.create(shards)
		consumer := w.consumer("lake")
		time.Sleep(100 * time.Millisecond) // until it is ACTIVE
		f(t, w, consumer)
	})
}

var (
	fromHorizon = types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
	fromLatest  = types.StartingPosition{Type: types.ShardIteratorTypeLatest}
)

func fromAfter(sequence *string) types.StartingPosition {
	return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: sequence}
}

// ownProtocol: the streams of one client race for a buffer of its protocol (https://github.com/aws/smithy-go/issues/714).
func ownProtocol(o *client.Options) { o.Protocol = awsjson.New11(schemas.Kinesis_20131202) }

// A feed is a subscription as the client sees it.
type feed struct {
	*client.SubscribeToShardEventStream
	t    *testing.T
	data []string // of all records so far
	at   *string  // the last continuation
}

func (w *world) trySubscribe(consumer *string, shard string, from types.StartingPosition) (*feed, error) {
	out, err := w.SubscribeToShard(w.t.Context(), &client.SubscribeToShardInput{ConsumerARN: consumer, ShardId: &shard, StartingPosition: &from}, ownProtocol)
	if err != nil {
		return nil, err
	}
	f := &feed{SubscribeToShardEventStream: out.GetStream(), t: w.t}
	w.t.Cleanup(func() { f.Close() })
	return f, nil
}

func (w *world) subscribe(consumer *string, shard string, from types.StartingPosition) *feed {
	w.t.Helper()
	f, err := w.trySubscribe(consumer, shard, from)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// next gives nil at the end of the stream.
func (f *feed) next() *types.SubscribeToShardEvent {
	event, ok := <-f.Events()
	if !ok {
		return nil
	}
	e := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
	for _, r := range e.Records {
		f.data = append(f.data, string(r.Data))
	}
	if e.ContinuationSequenceNumber != nil {
		f.at = e.ContinuationSequenceNumber
	}
	return &e
}

// until reads until there are n records.
func (f *feed) until(n int) {
	f.t.Helper()
	for len(f.data) < n {
		if f.next() == nil {
			f.t.Fatalf("the stream ended at %d records, want %d: %v", len(f.data), n, f.Err())
		}
	}
}

// rest reads to the end.
func (f *feed) rest() (last *types.SubscribeToShardEvent) {
	for e := f.next(); e != nil; e = f.next() {
		last = e
	}
	return last
}

func TestASubscriptionPushesWhatIsThereAndWhatComes(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		w.put("k", "one")
		two := w.put("k", "two")
		f := w.subscribe(consumer, shard0, fromHorizon)
		start := time.Now()
		e := f.next()
		equal(t, "at first", f.data, []string{"one", "two"})
		r := e.Records[1]
		if *r.SequenceNumber != two || *r.PartitionKey != "k" || !r.ApproximateArrivalTimestamp.Equal(time.Now()) || *e.MillisBehindLatest != 0 {
			t.Errorf("got %+v, %+v", e, r)
		}
		time.Sleep(time.Second)
		w.put("k", "three")
		f.until(3)
		if took := time.Since(start); took != time.Second {
			t.Errorf("a record after a pause took %s", took-time.Second)
		}
		for i := range 10 {
			w.put("k", fmt.Sprint(i))
		}
		f.until(4)
		if took := time.Since(start); len(f.data) != 13 || took != 1200*time.Millisecond {
			t.Errorf("%d of 10 records that came together were pushed %s after the last push, want all in one event after 200ms", len(f.data)-3, took-time.Second)
		}
	})
}

func TestASubscriptionPushesRecordsThatTheStreamNoLongerTakes(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		if err := w.limit(10240); err != nil {
			t.Fatal(err)
		}
		w.put("k", strings.Repeat("x", 9<<20))
		time.Sleep(time.Second) // until it is ACTIVE
		if err := w.limit(1024); err != nil {
			t.Fatal(err)
		}
		w.put("k", "small")
		f := w.subscribe(consumer, shard0, fromHorizon)
		f.until(2)
		if len(f.data[0]) != 9<<20 || f.data[1] != "small" {
			t.Errorf("got %d bytes and %q", len(f.data[0]), f.data[1])
		}
	})
}

func TestASubscriptionFromLatestBeginsWhenItIsMade(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		w.put("k", "before")
		f := w.subscribe(consumer, shard0, fromLatest)
		w.put("k", "after")
		f.until(1)
		equal(t, "records", f.data, []string{"after"})
	})
}

// "Use ContinuationSequenceNumber for checkpointing because it captures your shard progress even when no data is written to the shard."
func TestAnIdleSubscriptionTellsItsPositionAndEndsAfterFiveMinutes(t *testing.T) {
	inTime(t, 2, func(t *testing.T, w *world, consumer *string) {
		start := time.Now()
		f := w.subscribe(consumer, shard0, fromHorizon)
		var times []time.Duration
		for e := f.next(); e != nil; e = f.next() {
			times = append(times, time.Since(start))
			if *e.MillisBehindLatest != 0 || len(e.Records) != 0 {
				t.Fatalf("got %+v", e)
			}
		}
		if f.Err() != nil || time.Since(start) != 5*time.Minute {
			t.Errorf("the stream ended after %s with %v", time.Since(start), f.Err())
		}
		// The last heartbeat and the end fall together: either may come first.
		if len(times) < 60 || times[0] != 0 || times[59] != 295*time.Second {
			t.Errorf("events after %v, want one every 5 s", times)
		}
		w.put("k", "while nobody was subscribed") // to one of the two
		var got []string
		for shard, from := range map[string]types.StartingPosition{shard0: fromAfter(f.at), shard1: fromHorizon} {
			f := w.subscribe(consumer, shard, from)
			f.next()
			got = append(got, f.data...)
		}
		equal(t, "records", got, []string{"while nobody was subscribed"})
	})
}

func TestSubscriptionsRenewedAtTheirContinuationLoseAndDoubleNothing(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		const records = 300
		var want []string
		for i := range records {
			want = append(want, fmt.Sprint(i))
		}
		var puts sync.WaitGroup
		defer puts.Wait()
		puts.Go(func() {
			for _, data := range want {
				w.put("k", data)
				time.Sleep(37 * time.Millisecond)
			}
		})
		var got []string
		for from := fromHorizon; len(got) < records; {
			f := w.subscribe(consumer, shard0, from)
			f.rest()
			if f.Err() != nil {
				t.Fatal(f.Err())
			}
			got = append(got, f.data...)
			from = fromAfter(f.at)
		}
		equal(t, "records", got, want)
	}, func(o *kinesis.Options) { o.SubscriptionLife = time.Second })
}

func TestTheEndOfAShardNamesItsChildren(t *testing.T) {
	inTime(t, 2, func(t *testing.T, w *world, consumer *string) {
		split := w.subscribe(consumer, shard0, fromLatest)
		split.next()
		w.put("k", "x")
		w.put("l", "x")
		w.split(shard0)
		end := split.rest()
		if end == nil || end.ContinuationSequenceNumber != nil || len(end.ChildShards) != 2 || *end.MillisBehindLatest != 0 || split.Err() != nil {
			t.Fatalf("the end of a split shard is %+v, %v", end, split.Err())
		}
		equal(t, "children", []string{*end.ChildShards[0].ShardId, *end.ChildShards[1].ShardId}, []string{shard2, shard3})
		if err := w.merge(shard3, shard1); err != nil {
			t.Fatal(err)
		}
		data := slices.Clone(split.data)
		for _, parent := range []string{shard1, shard3} {
			merged := w.subscribe(consumer, parent, fromHorizon)
			end := merged.rest()
			if end == nil || len(end.ChildShards) != 1 {
				t.Fatalf("the end of a merged shard is %+v, %v", end, merged.Err())
			}
			equal(t, "parents", end.ChildShards[0].ParentShards, []string{shard3, shard1})
			data = append(data, merged.data...)
		}
		equal(t, "records", data, []string{"x", "x"})
	})
}

func TestAResizeGoesOnWhenOnlySubscribersAreThere(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		f := w.subscribe(consumer, shard0, fromHorizon)
		if err := w.resize(2); err != nil {
			t.Fatal(err)
		}
		if end := f.rest(); end == nil || len(end.ChildShards) != 2 {
			t.Errorf("the last event is %+v, %v", end, f.Err())
		}
	})
}

// "If you call SubscribeToShard again with the same ConsumerARN and ShardId within 5 seconds of a successful call, you'll get a
// ResourceInUseException. If you call SubscribeToShard 5 seconds or more after a successful call, the second call takes over the
// subscription and the previous connection expires or fails with a ResourceInUseException."
func TestAShardIsSubscribedToAgainAfterFiveSeconds(t *testing.T) {
	inTime(t, 2, func(t *testing.T, w *world, consumer *string) {
		first := w.subscribe(consumer, shard0, fromHorizon)
		first.next()
		w.subscribe(consumer, shard1, fromHorizon) // another shard is no concern
		time.Sleep(5*time.Second - time.Millisecond)
		_, err := w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(time.Millisecond)
		second := w.subscribe(consumer, shard0, fromHorizon)
		first.rest()
		wantCode(t, first.Err(), "ResourceInUseException")
		second.next()
		second.Close()
		time.Sleep(time.Second) // also a subscription that has ended
		_, err = w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "ResourceInUseException")
	})
}

func TestAConsumerThatIsGoneEndsItsSubscriptions(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		other := w.consumer("other")
		_, err := w.trySubscribe(other, shard0, fromHorizon) // it is CREATING
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(time.Second)
		stays, goes := w.subscribe(other, shard0, fromHorizon), w.subscribe(consumer, shard0, fromHorizon)
		if err := w.deregister(consumer); err != nil {
			t.Fatal(err)
		}
		goes.rest()
		wantCode(t, goes.Err(), "ResourceNotFoundException")
		_, err = w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "ResourceNotFoundException")
		w.put("k", "x")
		stays.until(1)
		if _, err := w.DeleteStream(t.Context(), &client.DeleteStreamInput{StreamName: name, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		stays.rest()
		wantCode(t, stays.Err(), "ResourceNotFoundException")
	})
}

func TestSubscriptionsThatCannotBeAreRefused(t *testing.T) {
	inTime(t, 2, func(t *testing.T, w *world, consumer *string) {
		w.put("k", "x")
		other := w.shards(nil)[1].SequenceNumberRange.StartingSequenceNumber
		for title, test := range map[string]struct {
			consumer *string
			shard    string
			from     types.StartingPosition
			code     string
		}{
			"no such shard":             {consumer, "shardId-000000000009", fromHorizon, "ResourceNotFoundException"},
			"no consumer":               {streamARN, shard0, fromHorizon, "ValidationException"},
			"no such consumer":          {aws.String(*consumer + "0"), shard0, fromHorizon, "ResourceNotFoundException"},
			"no such stream":            {aws.String(strings.Replace(*consumer, "logs", "log", 1)), shard0, fromHorizon, "ResourceNotFoundException"},
			"another shard's number":    {consumer, shard0, fromAfter(aws.String(*other + "0")), "InvalidArgumentException"},
			"a number without a type":   {consumer, shard0, types.StartingPosition{Type: types.ShardIteratorTypeLatest, SequenceNumber: other}, "InvalidArgumentException"},
			"a type that nobody knows":  {consumer, shard0, types.StartingPosition{Type: "AT_NOON"}, "ValidationException"},
			"a time without a position": {consumer, shard0, types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp}, "InvalidArgumentException"},
		} {
			if _, err := w.trySubscribe(test.consumer, test.shard, test.from); !hasCode(err, test.code) {
				t.Errorf("%s: got %v, want %s", title, err, test.code)
			}
		}
	})
}

func TestFaultsBefallSubscriptions(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		rule := func(action fault.Action, delay time.Duration) {
			if err := w.faults.Replace([]fault.Rule{{Service: "kinesis", Operation: "SubscribeToShard", Action: action, Count: 1, Delay: delay}}); err != nil {
				t.Fatal(err)
			}
		}
		rule(fault.Throttle, 0)
		_, err := w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "ProvisionedThroughputExceededException")
		rule(fault.Error, 0)
		_, err = w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "InternalFailure")
		rule(fault.LoseResponse, 0)
		_, err = w.trySubscribe(consumer, shard0, fromHorizon)
		if err == nil || hasCode(err, "InternalFailure") {
			t.Errorf("a lost answer is %v", err)
		}
		// What was lost is an answer: for the service the shard is subscribed to.
		_, err = w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(5 * time.Second)
		rule(fault.Delay, time.Minute)
		start := time.Now()
		w.subscribe(consumer, shard0, fromHorizon).next()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("delayed by %s, want a minute", took)
		}
	})
}

func TestAStreamThatIsCutInAnEventIsResumedBehindTheLastWholeOne(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		if err := w.faults.Replace([]fault.Rule{{Operation: "SubscribeToShard", Action: fault.Cut, Every: 3}}); err != nil {
			t.Fatal(err)
		}
		var want, got []string
		from, cuts := fromHorizon, 0
		for i := range 40 {
			if i%10 == 0 {
				f := w.subscribe(consumer, shard0, from)
				f.next()
				for range 10 {
					want = append(want, fmt.Sprint(len(want)))
					w.put("k", want[len(want)-1])
					time.Sleep(300 * time.Millisecond)
				}
				f.rest()
				got, from = append(got, f.data...), fromAfter(f.at)
				cuts++
				time.Sleep(5 * time.Second)
			}
		}
		f := w.subscribe(consumer, shard0, from)
		f.until(len(want) - len(got))
		equal(t, "records", append(got, f.data...), want)
		if hits := w.faults.Rules()[0].Hits; hits != int64(cuts) {
			t.Errorf("%d cuts, want %d", hits, cuts)
		}
	})
}

func TestASubscriptionPushesTwoMebibytesASecond(t *testing.T) {
	limits := func(o *kinesis.Options) { o.Limits = true }
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		other := w.consumer("other")
		for range 6 {
			w.putMany(16, 64<<10)
			time.Sleep(time.Second)
		}
		start := time.Now()
		var both sync.WaitGroup
		for _, c := range []*string{consumer, other} { // each has a rate of its own
			f := w.subscribe(c, shard0, fromHorizon)
			both.Go(func() {
				for len(f.data) < 6*16 && f.next() != nil {
				}
				// Of 6 MiB the first three are pushed before two have been, the others each when half a second has paid for it.
				if took := time.Since(start); len(f.data) != 6*16 || took < 1500*time.Millisecond || took > 1750*time.Millisecond {
					t.Errorf("%d records of 64 KiB took %s, want 96 in 1.5s", len(f.data), took)
				}
			})
		}
		both.Wait()
	}, limits)
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		w.subscribe(consumer, shard0, fromHorizon)
		_, err := w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "LimitExceededException") // one call a second
		time.Sleep(time.Second)
		_, err = w.trySubscribe(consumer, shard0, fromHorizon)
		wantCode(t, err, "ResourceInUseException")
	}, limits)
}

func TestASubscriberWhoDoesNotReadGivesItsMemoryBack(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		w.putMany(48, 64<<10)
		f := w.subscribe(consumer, shard0, fromHorizon)
		time.Sleep(31 * time.Second) // it has the first events in its hands and reads no further
		f.rest()
		if len(f.data) == 48 {
			t.Error("all events were written before anybody read")
		}
		g := w.subscribe(consumer, shard0, fromAfter(f.at))
		g.until(48 - len(f.data))
	})
}

func TestSubscriptionsEndWhenTheServiceDoes(t *testing.T) {
	inTime(t, 1, func(t *testing.T, w *world, consumer *string) {
		f := w.subscribe(consumer, shard0, fromHorizon)
		f.next()
		start := time.Now()
		w.reopen()
		f.rest()
		if f.Err() != nil || time.Since(start) != 0 {
			t.Errorf("ended after %s with %v", time.Since(start), f.Err())
		}
		w.put("k", "x")
		w.subscribe(consumer, shard0, fromAfter(f.at)).until(1)
	})
}
