package local_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary/deploy/local/localtest"
)

// A version notes the protocol of the last answer.
type version struct {
	next http.RoundTripper
	last string
}

func (v *version) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := v.next.RoundTrip(r)
	if err == nil {
		v.last = resp.Proto
	}
	return resp, err
}

func TestShardsAreSubscribedToOverAnyVersionOfHTTP(t *testing.T) {
	prior := new(http.Protocols)
	prior.SetUnencryptedHTTP2(true)
	for want, transport := range map[string]*http.Transport{
		"HTTP/1.1": awshttp.NewBuildableClient().GetTransport(), // what the SDK takes by itself
		"HTTP/2.0": {Protocols: prior},
	} {
		t.Run(want, func(t *testing.T) {
			srv := localtest.Start(t)
			fill(t, srv)
			seen := &version{next: localtest.PlainBodies(transport)}
			t.Cleanup(transport.CloseIdleConnections)
			cfg := srv.AWS
			cfg.HTTPClient = &http.Client{Transport: seen}
			k := kinesis.NewFromConfig(cfg)
			stream, err := k.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(name)})
			if err != nil {
				t.Fatal(err)
			}
			c, err := k.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: stream.StreamDescriptionSummary.StreamARN, ConsumerName: aws.String("lake")})
			if err != nil {
				t.Fatal(err)
			}
			untilConsumerActive(t, k, c.Consumer.ConsumerARN)
			out, err := k.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
				ConsumerARN: c.Consumer.ConsumerARN, ShardId: aws.String("shardId-000000000000"),
				StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
			})
			if err != nil {
				t.Fatal(err)
			}
			events := out.GetStream()
			defer events.Close()
			first, ok := (<-events.Events()).(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
			if !ok || len(first.Value.Records) != 1 || string(first.Value.Records[0].Data) != "record" {
				t.Fatalf("the first event is %+v, %v", first, events.Err())
			}
			if seen.last != want {
				t.Errorf("it came over %s", seen.last)
			}
			start := time.Now()
			srv.Stop() // well before the subscription's five minutes and the shutdown's five seconds
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("the endpoint took %s to end", took)
			}
			for range events.Events() {
			}
			if events.Err() != nil {
				t.Errorf("the subscription ended with %v", events.Err())
			}
		})
	}
}

func untilConsumerActive(t *testing.T, k *kinesis.Client, arn *string) {
	t.Helper()
	for {
		out, err := k.DescribeStreamConsumer(t.Context(), &kinesis.DescribeStreamConsumerInput{ConsumerARN: arn})
		if err != nil {
			t.Fatal(err)
		}
		if out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive {
			return
		}
	}
}
