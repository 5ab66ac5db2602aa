package cloudwatch_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/sinks/cloudwatch"
	"tributary/stream"
)

// accepting answers every request at once.
type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"nextSequenceToken":"1"}`)),
	}, err
}

// withoutClient is the same without what the SDK does.
type withoutClient struct{ *sdk.Client }

func (withoutClient) PutLogEvents(context.Context, *sdk.PutLogEventsInput, ...func(*sdk.Options)) (*sdk.PutLogEventsOutput, error) {
	return &sdk.PutLogEventsOutput{}, nil
}

// BenchmarkFlush is the CPU that a line takes from Append to the request's last byte.
func BenchmarkFlush(b *testing.B) {
	client := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://logs.invalid"), HTTPClient: &http.Client{Transport: accepting{}},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	for _, size := range []int{500, 5000} {
		for name, api := range map[string]cloudwatch.API{"with the SDK": client, "without": withoutClient{client}} {
			b.Run(fmt.Sprintf("%d bytes a line, %s", size, name), func(b *testing.B) { benchmarkFlush(b, api, size) })
		}
	}
}

func benchmarkFlush(b *testing.B, api cloudwatch.API, size int) {
	cfg := cloudwatch.DefaultConfig()
	cfg.RequestsPerSecond = 100_000
	cw, err := cloudwatch.New(cfg, schema.DefaultRules(), api, nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	s, err := cw.Open(b.Context(), shard, cw.Plan())
	if err != nil {
		b.Fatal(err)
	}
	const lines = 10_000
	head := `{"@timestamp":"2026-11-22T12:00:00.123Z","level":"INFO","logger":"shop.cart.Checkout","message":"`
	line := head + strings.Repeat("order accepted ", size/15)[:size-len(head)-2] + `"}`
	batches := make([]stream.Batch, 0, lines/100)
	now := time.Now()
	for i := range cap(batches) {
		var events []schema.Event
		for j := range 100 {
			events = append(events, eventOf([]string{"shop", "cart", "mail", "auth"}[j%4], now.Add(time.Duration(i)*time.Millisecond), line))
		}
		batches = append(batches, record(i+1, events...))
	}
	b.SetBytes(int64(lines * size))
	b.ReportAllocs()
	for b.Loop() {
		if err := flush(b, s, batches...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}
