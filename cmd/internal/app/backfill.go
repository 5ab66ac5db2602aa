package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/backfill"
	"tributary/sinks/objects"
	"tributary/sinks/rejects"
	"tributary/sinks/treasuredata"
)

// CheckBackfill tells what is wrong for "backfill treasuredata".
func (s *Settings) CheckBackfill(cfg backfill.Config, job backfill.Job) error {
	t := &s.TreasureData
	t.Config.GroupName, t.Rejects.Group = job.Group(), job.Group()
	t.Config.EncodeBytes = cfg.EncodeBytes()
	t.Rejects.Bucket = cmp.Or(t.Rejects.Bucket, job.Bucket)
	return errors.Join(faults("", cfg.Validate()), faults("", job.Validate()), faults("rules", s.Rules.Validate()), s.checkTreasureData())
}

// NewBackfill gives a run of a job that keeps its state at a place: a directory, an
// s3://bucket/prefix, or, where it is empty, the source's bucket. What is returned
// besides closes its connections.
func NewBackfill(ctx context.Context, s *Settings, cfg backfill.Config, job backfill.Job, state string, log *slog.Logger) (*backfill.Backfill, func(), error) {
	aws, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	api := NewS3(aws)
	t := &s.TreasureData
	reg := prometheus.NewRegistry()
	kept, err := rejects.New(t.Rejects, api, reg, log)
	if err != nil {
		return nil, nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	parts := backfill.Parts{
		API: api, Options: s.optionsOf(job.Bucket), Rules: s.Rules, Rejects: kept, Endpoint: t.ImportEndpoint, Log: log,
		Importer: func(r backfill.Rejects) (*treasuredata.Importer, error) {
			return treasuredata.New(t.Config, s.Rules, transport, t.key(aws), r, reg, log)
		},
	}
	for _, g := range s.groups() {
		if g.Rejects.Bucket == job.Bucket {
			parts.Hidden = append(parts.Hidden, g.Rejects.Prefix+"/")
		}
	}
	switch bucket, prefix, err := backfill.ParseFrom(state); {
	case state == "":
		parts.State = backfill.NewBucketState(api, parts.Options, job.Bucket, "_tributary/backfill/"+job.ID())
	case strings.HasPrefix(state, "s3://") && err != nil:
		return nil, nil, Faultf("--state %w", err)
	case err == nil:
		prefix = strings.TrimPrefix(prefix+"/"+job.ID(), "/")
		parts.State = backfill.NewBucketState(api, s.optionsOf(bucket), bucket, prefix)
		if bucket == job.Bucket {
			parts.Hidden = append(parts.Hidden, prefix+"/")
		}
	default:
		parts.State = backfill.NewDirState(state + "/" + job.ID())
	}
	b, err := backfill.New(cfg, job, parts)
	if err != nil {
		return nil, nil, err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.Memory)
	}
	return b, transport.CloseIdleConnections, nil
}

// optionsOf are how a bucket wants to be spoken to, as far as the configuration knows it.
func (s *Settings) optionsOf(bucket string) objects.Options {
	switch bucket {
	case s.Lake.Bucket:
		return s.Lake.Options
	case s.TreasureData.Rejects.Bucket:
		return s.TreasureData.Rejects.Options
	}
	return objects.DefaultOptions()
}
