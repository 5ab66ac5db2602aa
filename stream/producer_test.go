package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"go.uber.org/goleak"

	"tributary/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGroups(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		sizes []int
		want  []int // records per request, after the first
	}{
		"501 small records need two requests":                   {slices.Repeat([]int{10}, 501), []int{500, 1}},
		"12 records of a MiB travel in requests of 5 MiB":       {slices.Repeat([]int{mib - 3}, 12), []int{5, 5, 2}},
		"a small record fills the gap that a large one left":    {[]int{mib - 3, mib - 3, mib - 3, mib - 3, mib/2 + 1, mib - 3, 100}, []int{6, 1}},
		"one record travels alone rather than wait for company": {[]int{5}, []int{1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				api := &putter{block: func(_ context.Context, request int) {
					if request == 0 {
						<-release
					}
				}}
				p := run(t, api, func(c *stream.ProducerConfig) { c.MaxInFlight = 1; c.AttemptTimeout = time.Minute })
				outcomes := []<-chan error{p.publish(t.Context(), "key", 1)}
				synctest.Wait()
				for _, size := range test.sizes {
					outcomes = append(outcomes, p.publish(t.Context(), "key", size))
					synctest.Wait()
				}
				close(release)
				for i, o := range outcomes {
					if err := ended(t, o); err != nil {
						t.Errorf("record %d: %v", i, err)
					}
				}
				if got := api.sizes()[1:]; !slices.Equal(got, test.want) {
					t.Errorf("records per request %v, want %v", got, test.want)
				}
				if got, want := metric(t, p.reg, "published_records_total", ""), float64(len(outcomes)); got != want {
					t.Errorf("published_records_total %v, want %v", got, want)
				}
			})
		})
	}
}

func TestWhoeverStandsAtTheDoorTravelsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{}
		p, err := stream.NewProducer(api, logs, stream.DefaultProducerConfig(), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := p.Publish(t.Context(), stream.Record{Key: "k"}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
		if got := api.sizes(); !slices.Equal(got, []int{100}) {
			t.Errorf("records per request %v, want one request of 100", got)
		}
	})
}

func TestOnlyTheFailedRecordIsSentAgainAndDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{answer: func(_ int, in *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error {
			for i, r := range in.Records {
				if *r.PartitionKey == "full" && time.Since(epoch) < time.Minute {
					fail(out, i, "ProvisionedThroughputExceededException")
				}
			}
			return nil
		}}
		p := run(t, api, nil)
		full := p.publish(t.Context(), "full", 1)
		for range 100 {
			if err := ended(t, p.publish(t.Context(), "other", 1)); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(epoch); waited != 0 {
			t.Errorf("the others waited %v", waited)
		}
		time.Sleep(2 * time.Minute)
		if err := ended(t, full); err != nil {
			t.Error(err)
		}
		others := 0
		for _, keys := range api.requests() {
			others += len(slices.DeleteFunc(keys, func(k string) bool { return k == "full" }))
		}
		if others != 100 {
			t.Errorf("the others were sent %d times, want 100", others)
		}
		if n := metric(t, p.reg, "put_retries_total", "throttled"); n < 10 {
			t.Errorf("%v retries counted", n)
		}
	})
}

// epoch is when the clock of a synctest bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTheWaitDoublesBetweenItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{answer: func(_ int, _ *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error {
			fail(out, 0, "InternalFailure")
			return nil
		}}
		p := run(t, api, func(c *stream.ProducerConfig) { c.BackoffMin = 100 * time.Millisecond; c.BackoffMax = 2 * time.Second })
		outcome := p.publish(t.Context(), "k", 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		want := 100 * time.Millisecond
		for i := 1; i < len(api.times); i++ {
			if wait := api.times[i].Sub(api.times[i-1]); wait < want/2 || wait > want {
				t.Errorf("wait %d is %v, want half to all of %v", i, wait, want)
			}
			want = min(2*want, 2*time.Second)
		}
		if len(api.times) < 30 {
			t.Errorf("only %d attempts in a minute", len(api.times))
		}
		p.stop()
		if err := ended(t, outcome); !errors.Is(err, stream.ErrStopped) {
			t.Errorf("outcome %v, want ErrStopped", err)
		}
	})
}

func TestWhateverMayPassIsRetried(t *testing.T) {
	record := func(code string) func(*kinesis.PutRecordsOutput) error {
		return func(out *kinesis.PutRecordsOutput) error { fail(out, 0, code); return nil }
	}
	request := func(err error) func(*kinesis.PutRecordsOutput) error {
		return func(*kinesis.PutRecordsOutput) error { return err }
	}
	tests := map[string]struct {
		answer func(*kinesis.PutRecordsOutput) error
		reason string
	}{
		"a full shard":                      {record("ProvisionedThroughputExceededException"), "throttled"},
		"an internal failure of one record": {record("InternalFailure"), "internal"},
		"a code nobody knows":               {record("Surprise"), "other"},
		"a throttled request":               {request(apiError("ThrottlingException", "slow down")), "throttled"},
		"a stream that does not exist yet":  {request(&types.ResourceNotFoundException{}), "other"},
		"missing permissions":               {request(&types.AccessDeniedException{}), "other"},
		"a key that is throttled":           {request(&types.KMSThrottlingException{}), "throttled"},
		"a wrong stream name":               {request(&types.InvalidArgumentException{Message: aws.String("Value at 'streamName' is wrong")}), "other"},
		"a lost connection":                 {request(errors.New("connection reset by peer")), "other"},
		"a timeout":                         {request(context.DeadlineExceeded), "timeout"},
		"an answer for fewer records":       {func(out *kinesis.PutRecordsOutput) error { out.Records = nil; return nil }, "other"},
		"a record without sequence number":  {func(out *kinesis.PutRecordsOutput) error { out.Records[0].SequenceNumber = nil; return nil }, "other"},
		"a record with an empty error code": {func(out *kinesis.PutRecordsOutput) error {
			out.Records[0] = types.PutRecordsResultEntry{ErrorCode: aws.String("")}
			return nil
		}, "other"},
		"an answer for more records": {func(out *kinesis.PutRecordsOutput) error {
			out.Records = append(out.Records, out.Records...)
			return nil
		}, "other"},
		"an internal failure of the service":  {request(&types.InternalFailureException{}), "internal"},
		"a request refused for no known word": {request(&types.ValidationException{Message: aws.String("nope")}), "other"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &putter{answer: func(_ int, _ *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error {
					if time.Since(epoch) < time.Hour {
						return test.answer(out)
					}
					return nil
				}}
				p := run(t, api, nil)
				if err := p.Publish(t.Context(), stream.Record{Key: "k", Data: []byte("d")}); err != nil {
					t.Fatal(err)
				}
				if after := time.Since(epoch); after < time.Hour || after > time.Hour+10*time.Second {
					t.Errorf("stored after %v", after)
				}
				if got, want := metric(t, p.reg, "put_retries_total", test.reason), float64(len(api.requests())-1); got != want {
					t.Errorf("retries counted as %s: %v, want %v", test.reason, got, want)
				}
			})
		})
	}
}

func TestARecordThatNoRetryStoresIsPermanent(t *testing.T) {
	tests := map[string]stream.Record{
		"one byte too large with its key":  {Key: "k", Data: make([]byte, 1<<20)},
		"without a key":                    {Data: []byte("d")},
		"with a key of 257 characters":     {Key: strings.Repeat("ä", 257), Data: []byte("d")},
		"with a key that is not UTF-8":     {Key: "\xff", Data: []byte("d")},
		"that the service refuses by name": {Key: "poison", Data: []byte("d")},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := run(t, &putter{answer: refusePoison}, nil)
				if err := p.Publish(t.Context(), r); !stream.IsPermanent(err) {
					t.Errorf("outcome %v, want a permanent error", err)
				}
				if n := metric(t, p.reg, "refused_records_total", ""); n != 1 {
					t.Errorf("refused_records_total %v", n)
				}
			})
		})
	}
	t.Run("at the limit it is stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := run(t, &putter{}, nil)
			key := strings.Repeat("ä", 256)
			if err := p.Publish(t.Context(), stream.Record{Key: key, Data: make([]byte, 1<<20-len(key))}); err != nil {
				t.Error(err)
			}
		})
	})
}

// refusePoison refuses the whole request for one bad record, as Kinesis does.
func refusePoison(_ int, in *kinesis.PutRecordsInput, _ *kinesis.PutRecordsOutput) error {
	for i, r := range in.Records {
		if *r.PartitionKey == "poison" {
			return &types.ValidationException{Message: aws.String(fmt.Sprintf("Value at 'records.%d.member.data' failed to satisfy constraint", i+1))}
		}
	}
	return nil
}

func TestOnePoisonedRecordDoesNotFailItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Each request takes longer than any backoff, so that everybody is due again
		// when it ends and the same group would form.
		api := &putter{answer: refusePoison, block: func(context.Context, int) { time.Sleep(9 * time.Second) }}
		p := run(t, api, func(c *stream.ProducerConfig) { c.MaxInFlight = 1 })
		outcomes := map[int]<-chan error{-1: p.publish(t.Context(), "first", 1)}
		synctest.Wait()
		for i := range 20 {
			key := "good"
			if i == 7 {
				key = "poison"
			}
			outcomes[i] = p.publish(t.Context(), key, 1)
		}
		time.Sleep(5 * time.Minute)
		for i, o := range outcomes {
			if err := ended(t, o); i == 7 && !stream.IsPermanent(err) || i != 7 && err != nil {
				t.Errorf("record %d: %v", i, err)
			}
		}
		if n := len(api.requests()); n != 22 {
			t.Errorf("%d requests, want the first, the group, and one for each of its 20 records", n)
		}
	})
}

func TestPublishEndsWithItsContextAndNothingIsSentAfterwards(t *testing.T) {
	tests := map[string]struct {
		api  *putter
		sent int // requests with the record, in all
	}{
		"while it waits for another attempt": {&putter{answer: func(_ int, _ *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error {
			fail(out, 0, "InternalFailure")
			return nil
		}}, 1},
		"while its request hangs": {&putter{block: func(ctx context.Context, _ int) { <-ctx.Done() }}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := run(t, test.api, func(c *stream.ProducerConfig) { c.BackoffMin = time.Minute; c.BackoffMax = time.Minute })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := p.Publish(ctx, stream.Record{Key: "k", Data: []byte("d")})
				if !errors.Is(err, context.DeadlineExceeded) || stream.IsPermanent(err) {
					t.Errorf("outcome %v", err)
				}
				if after := time.Since(epoch); after != time.Second {
					t.Errorf("ended after %v", after)
				}
				time.Sleep(time.Hour)
				if n := len(test.api.requests()); n != test.sent {
					t.Errorf("sent %d times, want %d", n, test.sent)
				}
			})
		})
	}
	t.Run("before run has begun", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, err := stream.NewProducer(&putter{}, stream.Ref{Name: "logs"}, stream.DefaultProducerConfig(), nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := p.Publish(ctx, stream.Record{Key: "k"}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("outcome %v", err)
			}
		})
	})
}

func TestAHangingRequestIsGivenUpAndMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{block: func(ctx context.Context, request int) {
			if request == 0 {
				<-ctx.Done()
			}
		}}
		p := run(t, api, func(c *stream.ProducerConfig) { c.AttemptTimeout = 2 * time.Second })
		if err := p.Publish(t.Context(), stream.Record{Key: "k"}); err != nil {
			t.Fatal(err)
		}
		if after := time.Since(epoch); after < 2*time.Second || after > 3*time.Second {
			t.Errorf("stored after %v", after)
		}
		if n := metric(t, p.reg, "put_retries_total", "timeout"); n != 1 {
			t.Errorf("%v timeouts counted", n)
		}
	})
}

func TestALineTooSlowForALargeRequestGetsSmallerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const record, perSecond = 256 << 10, 200 << 10 // a full request takes 26 s, a record 1.3 s
		api := &putter{}
		api.block = func(ctx context.Context, request int) {
			seconds := float64(len(api.requests()[request])) * record / perSecond
			select {
			case <-time.After(time.Duration(seconds * float64(time.Second))):
			case <-ctx.Done():
			}
		}
		p := run(t, api, func(c *stream.ProducerConfig) { c.MaxInFlight = 1 })
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				if err := p.Publish(t.Context(), stream.Record{Key: "k", Data: make([]byte, record-1)}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if after := time.Since(epoch); after > 5*time.Minute {
			t.Errorf("52 s of bytes took %v", after)
		}
	})
}

func TestStopFinishesWhatIsOnItsWayAndFailsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &putter{
			block: func(context.Context, int) { time.Sleep(5 * time.Second) },
			answer: func(_ int, in *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error {
				if *in.Records[0].PartitionKey == "failing" {
					fail(out, 0, "InternalFailure")
				}
				return nil
			},
		}
		p := run(t, api, func(c *stream.ProducerConfig) { c.MaxInFlight = 2 })
		stored := p.publish(t.Context(), "stored", 1)
		synctest.Wait()
		failing := p.publish(t.Context(), "failing", 1)
		synctest.Wait()
		waiting := p.publish(t.Context(), "waiting", 1)
		synctest.Wait()
		p.stop()
		if after := time.Since(epoch); after != 5*time.Second {
			t.Errorf("stopped after %v", after)
		}
		if err := ended(t, stored); err != nil {
			t.Errorf("on its way and stored: %v", err)
		}
		if err := ended(t, failing); !errors.Is(err, stream.ErrStopped) || stream.IsPermanent(err) {
			t.Errorf("on its way and failed: %v", err)
		}
		if err := ended(t, waiting); !errors.Is(err, stream.ErrStopped) {
			t.Errorf("waiting: %v", err)
		}
		if err := p.Publish(t.Context(), stream.Record{Key: "late"}); !errors.Is(err, stream.ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
		if err := p.Run(t.Context()); err == nil {
			t.Error("a second run was taken")
		}
	})
}

// TestALaneIsNeverOvertaken: what a shard holds, without repetitions, is each lane's
// order, whatever fails and whether or not it was stored all the same.
func TestALaneIsNeverOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lanes, batches = 8, 60
		random := rand.New(rand.NewPCG(1, 2))
		shard := map[string][]byte{}
		api := &putter{}
		api.answer = func(_ int, in *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error {
			api.mu.Lock()
			defer api.mu.Unlock()
			for i, r := range in.Records {
				if random.IntN(5) == 0 {
					fail(out, i, "ProvisionedThroughputExceededException")
					continue
				}
				shard[*r.PartitionKey] = append(shard[*r.PartitionKey], r.Data...)
			}
			if random.IntN(5) == 0 {
				return errors.New("the answer is lost")
			}
			return nil
		}
		p := run(t, api, nil)
		var all sync.WaitGroup
		for lane := range lanes {
			all.Go(func() {
				for n := range batches {
					if err := p.Publish(t.Context(), stream.Record{Key: fmt.Sprint(lane), Data: []byte{byte(n)}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for lane, data := range shard {
			compact := slices.Compact(bytes.Clone(data))
			if len(compact) != batches || !slices.IsSorted(compact) {
				t.Errorf("lane %s: %v", lane, data)
			}
		}
		if len(shard) != lanes {
			t.Errorf("%d lanes stored", len(shard))
		}
	})
}

func TestProducerConfigurationNamesEveryFault(t *testing.T) {
	if err := stream.DefaultProducerConfig().Validate(); err != nil {
		t.Error(err)
	}
	_, err := stream.NewProducer(&putter{}, stream.Ref{}, stream.ProducerConfig{MaxRecordBytes: 1<<20 - 1}, nil, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("an empty configuration was taken")
	}
	for _, key := range []string{"name or its arn", "max_record_bytes", "max_records_per_request", "max_request_bytes", "max_in_flight", "attempt_timeout", "backoff_min"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%q is not named in: %v", key, err)
		}
	}
}
