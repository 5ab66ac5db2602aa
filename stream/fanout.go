package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
)

type fanOutAPI interface {
	describeAPI
	consumerAPI
	SubscribeToShard(context.Context, *kinesis.SubscribeToShardInput, ...func(*kinesis.Options)) (*kinesis.SubscribeToShardOutput, error)
}

// subscribeAgain: a consumer that subscribes to a shard again within 5 s of a
// successful call gets ResourceInUseException. The rest is for two clocks that do
// not tick alike.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
const subscribeAgain = 5*time.Second + 250*time.Millisecond

// FanOut reads a stream as a registered consumer: what the Subscribers of a worker
// share. Safe for concurrent use.
type FanOut struct {
	src     *Source
	api     fanOutAPI
	name    string
	metrics fanOutMetrics
	log     *slog.Logger
	turn    chan struct{} // holds one token; who has it may register

	mu      sync.Mutex
	arn     string                // of the consumer; empty: not known
	refused time.Time             // no call before; zero: not refused
	since   map[ShardID]time.Time // of the last successful subscription
}

type fanOutMetrics struct {
	available, open prometheus.Gauge
	subscribed      prometheus.Counter
}

// NewFanOut checks its arguments and does no I/O. The first Subscriber registers
// the consumer, if it is not registered yet.
func NewFanOut(src *Source, api fanOutAPI, consumer string, reg prometheus.Registerer, log *slog.Logger) (*FanOut, error) {
	if !consumerNames.MatchString(consumer) {
		return nil, fmt.Errorf("fan-out: consumer name %q: want 1 to 128 of a-z, A-Z, 0-9, _, . and -", consumer)
	}
	m := fanOutMetrics{
		available: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_stream_fan_out_available", Help: "1 while the service lets the consumer subscribe, 0 while all shards are polled instead."}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_stream_fan_out_subscriptions", Help: "Shards whose records are pushed."}),
		subscribed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tributary_stream_fan_out_subscribed_total", Help: "Subscriptions opened; each lasts five minutes at most."}),
	}
	if err := register(reg, m.available, m.open, m.subscribed); err != nil {
		return nil, fmt.Errorf("fan-out: %w", err)
	}
	return &FanOut{
		src: src, api: api, name: consumer, metrics: m, log: log.With("consumer", consumer),
		turn: make(chan struct{}, 1), since: make(map[ShardID]time.Time),
	}, nil
}

// Open returns a Subscriber of a shard. It does no I/O; the first Await or Next
// makes the first call. The Subscriber must be closed.
func (f *FanOut) Open(shard ShardID, from Position) (*Subscriber, error) {
	r, err := f.src.Open(shard, from)
	if err != nil {
		return nil, err
	}
	return &Subscriber{fan: f, r: r, pollAt: time.Now().Add(f.src.cfg.PollInterval)}, nil
}

// errNoFanOut is what all Subscribers get while the service refuses the consumer.
var errNoFanOut = errors.New("enhanced fan-out is refused")

// consumer is the ARN to subscribe with. The first who asks registers; the others
// wait for it.
func (f *FanOut) consumer(ctx context.Context) (string, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the consumer's registration: %w", ctx.Err())
	}
	f.mu.Lock()
	arn, refused := f.arn, f.refused
	f.mu.Unlock()
	if arn != "" {
		return arn, nil
	}
	if time.Now().Before(refused) {
		return "", errNoFanOut
	}
	arn, err := f.register(ctx)
	if err != nil {
		if ctx.Err() == nil {
			f.refuse(err)
			err = errNoFanOut
		}
		return "", err
	}
	f.mu.Lock()
	f.arn = arn
	f.mu.Unlock()
	return arn, nil
}

// refuse has all shards polled for a while. It says so once: a refusal lasts for as
// long as nobody mends it, and every shard meets it.
func (f *FanOut) refuse(err error) {
	f.mu.Lock()
	first := f.refused.IsZero()
	f.arn, f.refused = "", time.Now().Add(f.src.cfg.FanOut.RetryInterval)
	f.mu.Unlock()
	f.metrics.available.Set(0)
	level := slog.LevelDebug
	if first {
		level = slog.LevelWarn
	}
	f.log.Log(context.Background(), level, "no enhanced fan-out, polling instead", "stream", f.src.ref.String(),
		"retry_every", f.src.cfg.FanOut.RetryInterval, "err", err)
}

// opened notes a successful subscription.
func (f *FanOut) opened(shard ShardID) {
	f.mu.Lock()
	again := !f.refused.IsZero()
	f.refused = time.Time{}
	f.since[shard] = time.Now()
	for id, at := range f.since { // shards that went elsewhere leave nothing behind
		if time.Since(at) > time.Hour {
			delete(f.since, id)
		}
	}
	f.mu.Unlock()
	f.metrics.available.Set(1)
	f.metrics.subscribed.Inc()
	if again {
		f.log.Info("enhanced fan-out again", "stream", f.src.ref.String())
	}
}

// forget has the consumer looked up anew: it was deregistered, or went with its
// stream.
func (f *FanOut) forget(arn string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.arn == arn {
		f.arn = ""
	}
}

// mayAt is when a shard may be subscribed to again.
func (f *FanOut) mayAt(shard ShardID) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.since[shard]; ok {
		return at.Add(subscribeAgain)
	}
	return time.Time{}
}

// retryAt is when a refused consumer is tried again.
func (f *FanOut) retryAt() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}
