package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"tributary/consumers"
	"tributary/sinks/cloudwatch"
	"tributary/sinks/lake"
	"tributary/sinks/rejects"
	"tributary/sinks/treasuredata"
	"tributary/stream"
	"tributary/stream/forwarder"
	"tributary/stream/spool"
)

// AWS provides the clients of real AWS, or of whatever endpoint is configured.
var AWS = fx.Options(
	fx.Provide(func(s *Settings) (aws.Config, error) { return s.AWS.Load(context.Background()) }),
	clients,
)

var clients = fx.Provide(NewKinesis, NewDynamoDB, NewS3, NewCloudWatchLogs)

// RunAdmin serves metrics and health.
func RunAdmin(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, s *Settings, reg *prometheus.Registry, f Forwarding) {
	var probes Probes
	if f.Forwarder != nil {
		probes = Probes{Ready: f.Forwarder.Ready, Healthy: f.Forwarder.Healthy}
	}
	a := NewAdmin(s.Admin, reg, probes)
	Run(lc, sd, out, "admin page", a.Ready(), a.Run)
}

// Forwarding is the forwarder of a command that has one, and its producer.
type Forwarding struct {
	fx.In
	Forwarder *forwarder.Forwarder `optional:"true"`
	Producer  *stream.Producer     `optional:"true"`
}

// NewProducer makes what publishes to the stream.
func NewProducer(s *Settings, k *kinesis.Client, reg prometheus.Registerer, log *slog.Logger) (*stream.Producer, error) {
	return stream.NewProducer(k, s.Stream.Ref, s.Stream.Producer, reg, log)
}

// NewForwarder makes the forwarder, which runs the producer.
func NewForwarder(s *Settings, producer *stream.Producer, reg prometheus.Registerer, log *slog.Logger) (*forwarder.Forwarder, error) {
	rules, err := s.LineRules()
	if err != nil {
		return nil, err
	}
	return forwarder.New(s.Forward.Config, s.Forward.Server, s.Forward.Spool, rules, producer, reg, log)
}

// RunForwarder runs it.
func RunForwarder(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, s *Settings, f *forwarder.Forwarder) {
	Run(lc, sd, out, "forwarder", f.Listening(), func(ctx context.Context) error {
		err := f.Run(ctx)
		if errors.Is(err, spool.ErrLocked) {
			return Faultf("spool directory %s is in use by another forwarder: stop that one, or set forward.spool.dir", s.Forward.Spool.Dir)
		}
		return err
	})
}

// Services are what groups are made with.
type Services struct {
	fx.In
	Settings *Settings
	Kinesis  *kinesis.Client
	DynamoDB *dynamodb.Client
	Logs     *cloudwatchlogs.Client
	Objects  *s3.Client
	Metrics  prometheus.Registerer
	Log      *slog.Logger
}

// group makes a group. Its metrics have a label for it, since a process may have
// several.
func (v Services) group(of GroupSettings, dest consumers.Destination, kept *rejects.Store) (*consumers.Group, error) {
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"group": of.Group.Name}, v.Metrics)
	return consumers.New(of.Group, dest, rejectStore{kept}, v.Kinesis, v.DynamoDB, v.Settings.Stream.Ref, labelled, v.Log)
}

// LakeGroup fills the lake.
type LakeGroup struct{ *consumers.Group }

// NewLakeGroup makes the lake and the group that fills it.
func NewLakeGroup(v Services) (LakeGroup, error) {
	kept, err := v.rejects(v.Settings.Lake.GroupSettings)
	if err != nil {
		return LakeGroup{}, err
	}
	dest, err := v.lake()
	if err != nil {
		return LakeGroup{}, err
	}
	g, err := v.group(v.Settings.Lake.GroupSettings, dest, kept)
	return LakeGroup{g}, err
}

func (v Services) lake() (consumers.Destination, error) {
	sink, err := lake.New(v.Settings.Lake.Config, v.Settings.Rules, v.Objects, v.Metrics, v.Log)
	if err != nil {
		return consumers.Destination{}, err
	}
	return consumers.Destination{
		Name: "lake",
		Plan: sink.Plan(),
		Open: func(ctx context.Context, shard stream.ShardID, plan string) (consumers.Sink, error) {
			return sink.Open(ctx, shard, plan)
		},
	}, nil
}

// RealtimeGroup fills CloudWatch Logs.
type RealtimeGroup struct{ *consumers.Group }

// NewRealtimeGroup makes the sink of CloudWatch Logs and the group that fills it.
func NewRealtimeGroup(v Services) (RealtimeGroup, error) {
	kept, err := v.rejects(v.Settings.Realtime.GroupSettings)
	if err != nil {
		return RealtimeGroup{}, err
	}
	dest, err := v.realtime(kept)
	if err != nil {
		return RealtimeGroup{}, err
	}
	g, err := v.group(v.Settings.Realtime.GroupSettings, dest, kept)
	return RealtimeGroup{g}, err
}

func (v Services) realtime(kept *rejects.Store) (consumers.Destination, error) {
	sink, err := cloudwatch.New(v.Settings.Realtime.Config, v.Settings.Rules, v.Logs, kept, v.Metrics, v.Log)
	if err != nil {
		return consumers.Destination{}, err
	}
	return consumers.Destination{
		Name: "realtime",
		Plan: sink.Plan(),
		Open: func(ctx context.Context, shard stream.ShardID, plan string) (consumers.Sink, error) {
			return sink.Open(ctx, shard, plan)
		},
	}, nil
}

// TreasureDataGroup imports into Treasure Data.
type TreasureDataGroup struct{ *consumers.Group }

// NewTreasureDataGroup makes the importer and the group that feeds it.
func NewTreasureDataGroup(v Services, cfg aws.Config, lc fx.Lifecycle) (TreasureDataGroup, error) {
	kept, err := v.rejects(v.Settings.TreasureData.GroupSettings)
	if err != nil {
		return TreasureDataGroup{}, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	lc.Append(fx.StopHook(transport.CloseIdleConnections))
	dest, err := v.treasureData(cfg, transport, kept)
	if err != nil {
		return TreasureDataGroup{}, err
	}
	g, err := v.group(v.Settings.TreasureData.GroupSettings, dest, kept)
	return TreasureDataGroup{g}, err
}

func (v Services) treasureData(cfg aws.Config, transport *http.Transport, kept *rejects.Store) (consumers.Destination, error) {
	s := v.Settings
	sink, err := treasuredata.New(s.TreasureData.Config, s.Rules, transport, s.TreasureData.key(cfg), kept, v.Metrics, v.Log)
	if err != nil {
		return consumers.Destination{}, err
	}
	return consumers.Destination{
		Name: "treasuredata",
		Plan: sink.Plan(),
		Open: func(ctx context.Context, shard stream.ShardID, plan string) (consumers.Sink, error) {
			return sink.Open(ctx, shard, plan)
		},
	}, nil
}

func (v Services) rejects(of GroupSettings) (*rejects.Store, error) {
	return rejects.New(of.Rejects, v.Objects, v.Metrics, v.Log)
}

// rejectStore fits rejects.Store to consumers.RejectStore: the two packages do not
// know each other.
type rejectStore struct{ store *rejects.Store }

func (r rejectStore) Put(ctx context.Context, rng stream.Range, items []consumers.Reject) error {
	out := make([]rejects.Item, len(items))
	for i, item := range items {
		out[i] = rejects.Item{Sequence: item.Sequence, Arrival: item.Arrival, Reject: item.Reject}
	}
	return r.store.Put(ctx, rng, out)
}

// RunLake runs the group.
func RunLake(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, g LakeGroup) {
	Run(lc, sd, out, "lake group", nil, g.Run)
}

// RunRealtime runs the group.
func RunRealtime(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, g RealtimeGroup) {
	Run(lc, sd, out, "realtime group", nil, g.Run)
}

// RunTreasureData runs the group.
func RunTreasureData(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, g TreasureDataGroup) {
	Run(lc, sd, out, "treasuredata group", nil, g.Run)
}

// checkTimeout bounds the look at stream and bucket before the start.
const checkTimeout = 10 * time.Second

// CheckStream refuses to start on a stream that does not exist or that ignores
// partition keys. When the service cannot be asked the start goes on: a forwarder
// must take lines while Kinesis is away. A producer goes by the answer.
func CheckStream(lc fx.Lifecycle, s *Settings, k *kinesis.Client, cfg aws.Config, f Forwarding, log *slog.Logger) {
	describe := func(ctx context.Context) (stream.Description, error) { return stream.Describe(ctx, k, s.Stream.Ref) }
	if f.Producer != nil {
		describe = f.Producer.Describe
	}
	lc.Append(fx.StartHook(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		d, err := describe(ctx)
		switch {
		case stream.IsPermanent(err):
			return Faultf("stream %s cannot be used in %s: %w (set stream.name or stream.arn, and aws.region)", s.Stream.Ref, cfg.Region, err)
		case err != nil:
			log.Warn("stream not described, starting all the same", "stream", s.Stream.Ref.String(), "err", err)
		case d.Automatic:
			return Faultf("stream %s distributes records automatically and ignores partition keys: switch it to partition keys, lanes need them", s.Stream.Ref)
		}
		return nil
	}))
}

// settleTimeout bounds how long "local" waits for its groups to read what the
// forwarder has just published.
const settleTimeout = 20 * time.Second

// Settle makes stopping wait, after the forwarder has stopped and before the groups
// do, until these have read all there is: Ctrl-C leaves nothing in the stream for the
// next start.
func Settle(lc fx.Lifecycle, lake LakeGroup, realtime RealtimeGroup, td TreasureDataGroup, log *slog.Logger) {
	groups := []*consumers.Group{lake.Group, realtime.Group, td.Group}
	lc.Append(fx.StopHook(func(ctx context.Context) error {
		since := time.Now()
		ctx, cancel := context.WithTimeout(ctx, settleTimeout)
		defer cancel()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for _, g := range groups {
			for !allRead(g.Status(), since) {
				select {
				case <-ctx.Done():
					log.Warn("not all was read, the next start goes on")
					return nil
				case <-tick.C:
				}
			}
		}
		return nil
	}))
}

// allRead reports whether everything that was in the stream at since is taken.
func allRead(shards []consumers.ShardStatus, since time.Time) bool {
	if len(shards) == 0 {
		return false // the group has not looked yet
	}
	for _, s := range shards {
		if s.State != consumers.StateFinished && s.Tip.Before(since) {
			return false
		}
	}
	return true
}

// Greet says on a terminal where everything is.
func Greet(lc fx.Lifecycle, s *Settings, log *slog.Logger) {
	lc.Append(fx.StartHook(func() {
		log.Info("ready", "forward", s.Forward.Server.Listen, "endpoints", "http://"+s.Local.Listen, "metrics", "http://"+s.Admin.Listen+"/metrics",
			"lake", fmt.Sprintf("%s/s3/%s/%s", s.Local.Dir, s.Lake.Bucket, s.Lake.Prefix))
	}))
}

// GreetClients says how other processes reach the endpoints.
func GreetClients(lc fx.Lifecycle, s *Settings, log *slog.Logger) {
	lc.Append(fx.StartHook(func() {
		log.Info("ready", "endpoints", "http://"+s.Local.Listen, "stream", s.Stream.Name, "bucket", s.Lake.Bucket,
			"environment", fmt.Sprintf("AWS_ENDPOINT_URL=http://%s AWS_REGION=%s AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local", s.Local.Listen, s.AWS.Region))
	}))
}
