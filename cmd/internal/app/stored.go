package app

import (
	"cmp"
	"context"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/sinks/lake"
	"tributary/sinks/rejects"
	"tributary/stream"
)

// NewProver gives what proves the lake.
func NewProver(ctx context.Context, s *Settings) (*lake.Prover, error) {
	cfg, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, err
	}
	return lake.NewProver(s.Lake.Config, NewS3(cfg))
}

// NewArchive gives what reads the rejects of the stream.
func NewArchive(ctx context.Context, s *Settings) (*rejects.Archive, error) {
	cfg, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(s.Stream.Name, s.Stream.ARN[strings.LastIndexByte(s.Stream.ARN, '/')+1:])
	return rejects.NewArchive(s.Lake.Rejects, name, NewS3(cfg))
}

// NewReplayer gives what delivers rejects again, and the producer that it needs
// running.
func NewReplayer(ctx context.Context, s *Settings, a *rejects.Archive, log *slog.Logger) (*rejects.Replayer, *stream.Producer, error) {
	cfg, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	producer, err := NewProducer(s, NewKinesis(cfg), prometheus.NewRegistry(), log)
	if err != nil {
		return nil, nil, err
	}
	d, err := producer.Describe(ctx)
	switch {
	case err != nil:
		return nil, nil, Faultf("stream %s cannot be used in %s: %w (set stream.name or stream.arn, and aws.region)", s.Stream.Ref, cfg.Region, err)
	case d.Automatic:
		return nil, nil, Faultf("stream %s distributes records automatically and ignores partition keys: a replay that was cut off could not be told", s.Stream.Ref)
	}
	r, err := rejects.NewReplayer(a, producer, s.Rules, producer.MaxRecordBytes())
	return r, producer, err
}
