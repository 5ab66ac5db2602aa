package app

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/stream/forwarder"
)

// NewDrain makes a forwarder that is to empty a spool. It asks for the stream first:
// without one nothing can be drained.
func NewDrain(ctx context.Context, s *Settings, log *slog.Logger) (*forwarder.Forwarder, error) {
	cfg, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	producer, err := NewProducer(s, NewKinesis(cfg), reg, log)
	if err != nil {
		return nil, err
	}
	d, err := producer.Describe(ctx)
	switch {
	case err != nil:
		return nil, Faultf("stream %s cannot be used in %s: %w (set stream.name or stream.arn, and aws.region)", s.Stream.Ref, cfg.Region, err)
	case d.Automatic:
		return nil, Faultf("stream %s distributes records automatically and ignores partition keys: what was published before could not be told", s.Stream.Ref)
	}
	return NewForwarder(s, producer, reg, log)
}
