package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tributary/stream"
)

// putter is a PutRecords whose answers a test decides. It keeps what it was sent.
type putter struct {
	mu     sync.Mutex
	sent   [][]string // partition keys, per request
	times  []time.Time
	answer func(request int, in *kinesis.PutRecordsInput, out *kinesis.PutRecordsOutput) error
	block  func(ctx context.Context, request int) // before the answer

	kib    int32       // of a record, as the stream tells it; 0: it tells nothing
	away   error       // instead of telling it
	looked []time.Time // when it was asked
}

func (p *putter) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked = append(p.looked, time.Now())
	if p.away != nil {
		return nil, p.away
	}
	s := &types.StreamDescriptionSummary{StreamCreationTimestamp: aws.Time(time.Now())}
	if p.kib != 0 {
		s.MaxRecordSizeInKiB = aws.Int32(p.kib)
	}
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: s}, nil
}

// tell sets what the stream tells from now on.
func (p *putter) tell(kib int32, away error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kib, p.away = kib, away
}

func (p *putter) looks() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.looked)
}

func (p *putter) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	p.mu.Lock()
	request := len(p.sent)
	var keys []string
	for _, r := range in.Records {
		keys = append(keys, *r.PartitionKey)
	}
	p.sent = append(p.sent, keys)
	p.times = append(p.times, time.Now())
	p.mu.Unlock()
	if p.block != nil {
		p.block(ctx, request)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := &kinesis.PutRecordsOutput{}
	for i := range in.Records {
		out.Records = append(out.Records, types.PutRecordsResultEntry{SequenceNumber: aws.String(fmt.Sprint(request, i)), ShardId: aws.String("s")})
	}
	if p.answer != nil {
		if err := p.answer(request, in, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// requests are the partition keys of every request so far.
func (p *putter) requests() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

func (p *putter) sizes() (sizes []int) {
	for _, keys := range p.requests() {
		sizes = append(sizes, len(keys))
	}
	return sizes
}

// fail makes one record of an answer a failed one.
func fail(out *kinesis.PutRecordsOutput, i int, code string) {
	out.Records[i] = types.PutRecordsResultEntry{ErrorCode: aws.String(code), ErrorMessage: aws.String("no")}
	out.FailedRecordCount = aws.Int32(aws.ToInt32(out.FailedRecordCount) + 1)
}

func apiError(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

// running is a Producer whose Run runs.
type running struct {
	*stream.Producer
	reg  *prometheus.Registry
	stop func() // ends Run and waits for it
}

func run(t *testing.T, api *putter, change func(*stream.ProducerConfig)) running {
	t.Helper()
	cfg := stream.DefaultProducerConfig()
	if change != nil {
		change(&cfg)
	}
	reg := prometheus.NewRegistry()
	p, err := stream.NewProducer(api, stream.Ref{Name: "logs"}, cfg, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		for _, gauge := range []string{"in_flight_bytes", "waiting_bytes"} {
			if v := metric(t, reg, gauge, ""); v != 0 {
				t.Errorf("%s is %v after the end", gauge, v)
			}
		}
	})
	t.Cleanup(stop)
	return running{p, reg, stop}
}

// metric sums the series of a metric that have the label value, or all.
func metric(t *testing.T, reg *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != "tributary_stream_"+name {
			continue
		}
		for _, m := range f.Metric {
			if label != "" && !slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
				continue
			}
			found = true
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if !found {
		t.Errorf("no metric %s %s", name, label)
	}
	return sum
}

// publish starts one Publish and returns where its outcome comes.
func (r running) publish(ctx context.Context, key string, size int) <-chan error {
	outcome := make(chan error, 1)
	go func() { outcome <- r.Publish(ctx, stream.Record{Key: key, Data: make([]byte, size)}) }()
	return outcome
}

// ended returns the outcome of a Publish that must have ended by now.
func ended(t *testing.T, outcome <-chan error) error {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-outcome:
		return err
	default:
		t.Fatal("publish has not ended")
		return nil
	}
}
