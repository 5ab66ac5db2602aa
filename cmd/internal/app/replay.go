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
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/replay"
	"tributary/consumers"
	"tributary/sinks/lake"
)

// ReplayOf makes a job of what was asked for: group is a destination's word or its
// group's name, into another target of its kind.
func (s *Settings) ReplayOf(group, into string, from, to time.Time) (replay.Job, error) {
	j := replay.Job{From: from.Truncate(time.Millisecond), To: to.Truncate(time.Millisecond), Stream: s.Stream.Ref.String()}
	var names []string
	for _, d := range []struct {
		kind string
		of   *GroupSettings
	}{{"lake", &s.Lake.GroupSettings}, {"realtime", &s.Realtime.GroupSettings}, {"treasuredata", &s.TreasureData.GroupSettings}} {
		names = append(names, d.kind)
		if j.Kind == "" && (group == d.kind || group == d.of.Group.Name) {
			j.Kind, j.Group = d.kind, d.of.Group.Name
		}
	}
	if j.Kind == "" {
		return j, Faultf("the configuration has no group %q: use %s, or the group's name", group, strings.Join(names, ", "))
	}
	if j.Into = into; into == "" {
		return j, Faultf("--into is not set: name another %s", targetWords[j.Kind])
	}
	if j.Kind == "treasuredata" && !strings.Contains(into, ".") {
		j.Into = s.TreasureData.Database + "." + into
	}
	if !j.From.Before(j.To) {
		return j, Faultf("--from %s is not before --to %s", j.From.Format(time.RFC3339), j.To.Format(time.RFC3339))
	}
	return j, nil
}

// targetWords say what --into names.
var targetWords = map[string]string{
	"lake":         "prefix in the lake's bucket",
	"realtime":     "log group, by {service} and {kind}",
	"treasuredata": "table or database.table, by {service} and {kind}",
}

// Target is what a kind of destination is configured to write into, as Into has it.
func (s *Settings) Target(kind string) string {
	switch kind {
	case "lake":
		return s.Lake.Prefix
	case "realtime":
		return s.Realtime.LogGroup
	}
	return s.TreasureData.Database + "." + s.TreasureData.Table
}

// SameTarget reports that a job's rows would be found with those of its group: in the
// same target or, of prefixes, in one below or above it, where engines and "lake
// verify" look too.
func (s *Settings) SameTarget(j replay.Job) bool {
	is := s.Target(j.Kind)
	if j.Kind != "lake" || is == j.Into {
		return is == j.Into
	}
	return is == "" || strings.HasPrefix(j.Into+"/", is+"/") || strings.HasPrefix(is+"/", j.Into+"/")
}

// retarget is the configuration with the job's target and names.
func (s *Settings) retarget(j replay.Job) (*Settings, *GroupSettings) {
	t := *s
	switch j.Kind {
	case "lake":
		t.Lake.Prefix = j.Into
		t.Lake.Rejects.Group = j.Name()
		return &t, &t.Lake.GroupSettings
	case "realtime":
		t.Realtime.LogGroup = j.Into
		t.Realtime.Rejects.Group = j.Name()
		return &t, &t.Realtime.GroupSettings
	}
	t.TreasureData.Database, t.TreasureData.Table, _ = strings.Cut(j.Into, ".")
	t.TreasureData.GroupName, t.TreasureData.Rejects.Group = j.Name(), j.Name()
	return &t, &t.TreasureData.GroupSettings
}

// CheckReplayOf tells what is wrong for a job.
func (s *Settings) CheckReplayOf(j replay.Job) error {
	t, of := s.retarget(j)
	of.Group = j.Configure(of.Group, j.From)
	switch j.Kind {
	case "lake":
		return t.CheckLake()
	case "realtime":
		return t.CheckRealtime()
	}
	return t.CheckTreasureData()
}

// NewReplay gives a replay, and what closes its connections.
func NewReplay(ctx context.Context, s *Settings, j replay.Job, log *slog.Logger) (*replay.Replay, func(), error) {
	cfg, err := s.AWS.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, of := s.retarget(j)
	reg := prometheus.NewRegistry()
	v := Services{Settings: t, Kinesis: NewKinesis(cfg), DynamoDB: NewDynamoDB(cfg), Logs: NewCloudWatchLogs(cfg), Objects: NewS3(cfg), Metrics: reg, Log: log}
	kept, err := v.rejects(*of)
	if err != nil {
		return nil, nil, Fault{err}
	}
	r := &replay.Replay{
		Job: j, Kinesis: v.Kinesis, Ref: s.Stream.Ref, LakeTable: s.LeaseTable(s.Lake.Group.Name), Log: log,
		Archive: replay.Archive{API: v.Objects, Bucket: of.Rejects.Bucket, Options: of.Rejects.Options},
		Admin: consumers.NewAdmin(consumers.AdminConfig{Stream: s.Stream.Ref, LeaseDuration: of.Group.LeaseDuration, AttemptTimeout: of.Group.AttemptTimeout},
			v.Kinesis, v.DynamoDB, log),
	}
	if s.Lake.Bucket != "" {
		if r.Lake, err = lake.NewProver(s.Lake.Config, v.Objects); err != nil {
			return nil, nil, Fault{err}
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	memory := int64(replayObject)
	switch j.Kind {
	case "lake":
		r.Dest, err = v.lake()
		memory += LakeMemory(t)
	case "realtime":
		r.Dest, err = v.realtime(kept)
		memory += RealtimeMemory(t)
	default:
		r.Dest, err = v.treasureData(cfg, transport, kept)
		memory += TreasureDataMemory(t)
	}
	if err != nil {
		return nil, nil, Fault{err}
	}
	r.NewGroup = func(since time.Time) (*consumers.Group, error) {
		own := *of
		own.Group = j.Configure(of.Group, since)
		return v.group(own, r.Dest, kept)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cmp.Or(s.Memory.LimitBytes, runtimeBytes+memory))
	}
	return r, transport.CloseIdleConnections, nil
}

// replayObject is what reading an object of the lake takes: the object, of a range of
// 256 MiB of lines, and a chunk of its rows.
const replayObject = 80 << 20

// RefusedReplay makes a Fault of what a person has to change about a replay.
func RefusedReplay(err error) error {
	if errors.Is(err, replay.ErrRefused) {
		return Fault{err}
	}
	return RefusedGroup(err)
}
