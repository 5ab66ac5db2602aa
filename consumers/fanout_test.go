package consumers_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/consumers"
	"tributary/deploy/local/fault"
	"tributary/stream"
)

func pushedConfig(worker string) consumers.Config {
	cfg := testConfig(worker)
	cfg.Reader.FanOut.Enabled = true
	return cfg
}

func (s *site) trouble(rules ...fault.Rule) {
	s.t.Helper()
	if err := s.server.Faults.Replace(rules); err != nil {
		s.t.Fatal(err)
	}
}

func TestAGroupByFanOutDeliversOnceThroughCutsADeathAndASplit(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	// Nothing can be polled: what arrives was pushed.
	s.trouble(fault.Rule{Service: "kinesis", Operation: "GetRecords", Action: fault.Error})
	a := s.start(pushedConfig("a"))
	s.send(40)
	s.eventually("everything is pushed", s.delivered)
	s.trouble(fault.Rule{Service: "kinesis", Operation: "SubscribeToShard", Action: fault.Cut, Every: 4})
	b := s.start(pushedConfig("b"))
	s.eventually("one shard each", func() bool { return held(a) == 1 && held(b) == 1 })
	s.send(40)
	s.eventually("everything is delivered", s.delivered)
	s.lake.slow = 50 * time.Millisecond
	s.send(40)
	b.cut()
	s.send(40)
	if _, err := s.kinesis().SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: aws.String(streamName),
		ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("85070591730234615865843651857942052864")}); err != nil {
		t.Fatal(err)
	}
	s.send(40)
	s.eventually("everything is delivered", s.delivered)
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	s.exactlyOnce()
}

func TestAConsumerNameThatKinesisRefusesIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	tests := map[string]func(c *consumers.Config){
		"its own":               func(c *consumers.Config) { c.Reader.FanOut.ConsumerName = "a lake" },
		"the name of the group": func(c *consumers.Config) { c.Name, c.LeaseTable = "a lake", "lake" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := pushedConfig("a")
			change(&cfg)
			if _, err := consumers.New(cfg, s.lake.destination(), s.lake, s.kinesis(), dynamodb.NewFromConfig(s.server.AWS),
				stream.Ref{Name: streamName}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "a lake") {
				t.Errorf("error %v", err)
			}
		})
	}
}
