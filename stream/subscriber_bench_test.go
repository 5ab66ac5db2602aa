package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/deploy/local/localtest"
	"tributary/stream"
)

// nexter is a Reader or a Subscriber.
type nexter interface {
	Next(context.Context) (stream.Batch, error)
	Close()
}

// BenchmarkLatency is the time from before a record is put until Next returns it,
// over the embedded endpoint, which pushes at most five events a second per
// subscription. Ten records a second come, out of step with everything.
func BenchmarkLatency(b *testing.B) {
	tests := map[string]func(c *stream.ReaderConfig){
		"polling_as_configured": func(*stream.ReaderConfig) {},
		"polling_at_most":       func(c *stream.ReaderConfig) { c.PollMin, c.PollInterval = 200*time.Millisecond, 200*time.Millisecond },
		"fan_out":               func(c *stream.ReaderConfig) { c.FanOut.Enabled = true },
	}
	for _, name := range []string{"polling_as_configured", "polling_at_most", "fan_out"} {
		b.Run(name, func(b *testing.B) {
			cfg := stream.DefaultReaderConfig()
			tests[name](&cfg)
			latencies := measure(b, cfg, 100)
			slices.Sort(latencies)
			b.ReportMetric(float64(latencies[len(latencies)/2].Milliseconds()), "p50_ms")
			b.ReportMetric(float64(latencies[len(latencies)*99/100].Milliseconds()), "p99_ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func measure(b *testing.B, cfg stream.ReaderConfig, records int) (latencies []time.Duration) {
	api := kinesis.NewFromConfig(localtest.Start(b, localtest.WithLimits()).AWS)
	if _, err := api.CreateStream(b.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("logs"), ShardCount: aws.Int32(1)}); err != nil {
		b.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	src, err := stream.NewSource(api, logs, cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	var r nexter
	if cfg.FanOut.Enabled {
		fan, err := stream.NewFanOut(src, api, "bench", nil, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		if r, err = fan.Open(firstShard, stream.TrimHorizon()); err != nil {
			b.Fatal(err)
		}
	} else if r, err = src.Open(firstShard, stream.TrimHorizon()); err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(b.Context()); err != nil { // whatever it takes to begin
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for n := range records {
			text := fmt.Sprintf(`{"n":%d,"put":%d}`, n, time.Now().UnixNano())
			if _, err := api.PutRecord(b.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String("k"), Data: []byte(text)}); err != nil {
				ended <- err
				return
			}
			time.Sleep(97 * time.Millisecond)
		}
		ended <- nil
	}()
	for len(latencies) < records {
		batch, err := r.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range batch.Events {
			var n int
			var put int64
			if _, err := fmt.Sscanf(string(e.Line), `{"n":%d,"put":%d}`, &n, &put); err != nil {
				b.Fatal(err)
			}
			latencies = append(latencies, time.Since(time.Unix(0, put)))
		}
	}
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return latencies
}
