package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/config"
)

// What is set differently from the defaults of an AWS account, and why. All of it
// is printed with the result.
var (
	forwardSets = map[string]string{
		// Stages end by a stop; production would go on listening for containers that
		// die with the instance.
		"forward.listen_grace": "0s",
		// A stop publishes what lies in the spool, however long that takes.
		"forward.drain_timeout": "60s",
		"forward.grace":         "2m",
	}
	lakeSets = map[string]string{
		// Not the five minutes of an account: a run is shorter.
		"lake.group.policy.max_age": "10s",
		"lake.group.drain_timeout":  "60s",
	}
	// Readers keep to the 2 MiB/s of a shard by themselves. Endpoints without limits
	// are read without it, or four shards would decide what the chain can do.
	unlimitedSets = map[string]string{"lake.group.reader.shard_rate_bytes": "0"}
)

// arguments writes sets as a command line.
func arguments(sets ...map[string]string) (args []string) {
	for _, s := range sets {
		for _, key := range slices.Sorted(maps.Keys(s)) {
			args = append(args, "--set", key+"="+s[key])
		}
	}
	return args
}

// inForce lists the settings that decide the figures, read as the processes read
// them: defaults, environment, and what is set here.
func inForce() ([]Setting, error) {
	all := map[string]string{"lake.bucket": "tributary"}
	for _, s := range []map[string]string{forwardSets, lakeSets} {
		maps.Copy(all, s)
	}
	s, err := app.Load(app.Defaults(), "", all)
	if err != nil {
		return nil, err
	}
	size := config.FormatSize
	p := s.Lake.Group.Policy
	return []Setting{
		{"forward.spool.ack", fmt.Sprintf("%s (an entry is acknowledged after write%s)", s.Forward.Spool.Ack, map[bool]string{true: " and fdatasync"}[s.Forward.Spool.Ack == "synced"])},
		{"forward.spool.pending_bytes", size(s.Forward.Spool.PendingBytes)},
		{"forward.linger", s.Forward.Linger.String()},
		{"forward.record_bytes", size(s.Forward.RecordBytes)},
		{"forward.max_lanes", fmt.Sprint(s.Forward.MaxLanes)},
		{"forward.listen_grace", s.Forward.ListenGrace.String() + " (default " + defaultOf(func(s *app.Settings) time.Duration { return s.Forward.ListenGrace }) + ")"},
		{"forward.drain_timeout", s.Forward.DrainTimeout.String() + " (default " + defaultOf(func(s *app.Settings) time.Duration { return s.Forward.DrainTimeout }) + ")"},
		{"stream.producer.max_in_flight", fmt.Sprint(s.Stream.Producer.MaxInFlight)},
		{"lake.group.reader.poll_min", s.Lake.Group.Reader.PollMin.String()},
		{"lake.group.reader.shard_rate_bytes", "0, in the stage \"limits\" " + size(s.Lake.Group.Reader.ShardRateBytes) + " (the default)"},
		{"lake.group.policy.max_age", p.MaxAge.String() + " (default " + defaultOf(func(s *app.Settings) time.Duration { return s.Lake.Group.Policy.MaxAge }) + "; \"tributary local\": 10s)"},
		{"lake.group.policy.max_bytes", size(p.MaxBytes)},
		{"lake.group.policy.range_bytes", size(p.RangeBytes)},
		{"lake.group.policy.worker_bytes", size(p.WorkerBytes)},
		{"lake.group.policy.two_phase", fmt.Sprint(p.TwoPhase)},
		{"lake.encode_bytes", size(s.Lake.EncodeBytes)},
		{"object verification", "on (footer read back and counted before a flush returns; no switch)"},
		{"local.limits", "false, except in \"limits\" and \"consumers\""},
		{"endpoints' durability", "an answered PutRecords or PutObject survives kill -9"},
		{"compilation", "CGO_ENABLED=0 -trimpath, no race detector"},
	}, nil
}

func defaultOf(of func(*app.Settings) time.Duration) string { return of(app.Defaults()).String() }
