package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tributary/cmd/internal/backfill"
	"tributary/cmd/internal/config"
	"tributary/cmd/internal/replay"
	"tributary/consumers"
	"tributary/deploy/local"
	"tributary/schema"
	"tributary/schema/edit"
	"tributary/sinks/cloudwatch"
	"tributary/sinks/lake"
	"tributary/sinks/objects"
	"tributary/sinks/rejects"
	"tributary/sinks/treasuredata"
	"tributary/stream"
	"tributary/stream/fluent"
	"tributary/stream/forwarder"
	"tributary/stream/spool"
)

// Settings is the whole configuration: a section per part.
type Settings struct {
	Log          LogConfig            `koanf:"log"`
	AWS          AWSConfig            `koanf:"aws"`
	Admin        AdminConfig          `koanf:"admin"`
	Memory       MemoryConfig         `koanf:"memory"`
	Stream       StreamSettings       `koanf:"stream"`
	Rules        schema.Rules         `koanf:"rules"`
	Forward      ForwardSettings      `koanf:"forward"`
	Lake         LakeSettings         `koanf:"lake"`
	Realtime     RealtimeSettings     `koanf:"realtime"`
	TreasureData TreasureDataSettings `koanf:"treasuredata"`
	Local        LocalSettings        `koanf:"local"`
}

// StreamSettings name the stream and say how it is written.
type StreamSettings struct {
	stream.Ref `koanf:",squash"`
	Producer   stream.ProducerConfig `koanf:"producer"`
}

// ForwardSettings are the forwarder's parts.
type ForwardSettings struct {
	forwarder.Config `koanf:",squash"`
	Server           fluent.Config `koanf:"server"`
	Spool            spool.Config  `koanf:"spool"`
	Edits            edit.Rules    `koanf:",squash"`
}

// LakeSettings are the lake and the group that fills it.
type LakeSettings struct {
	lake.Config   `koanf:",squash"`
	GroupSettings `koanf:",squash"`
}

// RealtimeSettings are CloudWatch Logs and the group that writes there.
type RealtimeSettings struct {
	cloudwatch.Config `koanf:",squash"`
	GroupSettings     `koanf:",squash"`
}

// TreasureDataSettings are Treasure Data and the group that imports there.
type TreasureDataSettings struct {
	treasuredata.Config `koanf:",squash"`
	GroupSettings       `koanf:",squash"`
	// APIKeySecret names a secret of AWS Secrets Manager that is the key, by name or
	// ARN; the part behind a # is a member of a secret that is a JSON object.
	APIKeySecret string `koanf:"api_key_secret_id"`
}

// GroupSettings are a group of workers, and where it keeps what it cannot deliver.
type GroupSettings struct {
	Group   consumers.Config `koanf:"group"`
	Rejects rejects.Config   `koanf:"rejects"`
}

// LocalSettings are the embedded endpoints.
type LocalSettings struct {
	local.Config `koanf:",squash"`
	Listen       string     `koanf:"listen"` // host:port of the endpoints
	Shards       int        `koanf:"shards"` // of a stream that "local" makes
	Demo         DemoConfig `koanf:"demo"`
}

// Defaults are what runs on AWS once region, bucket and stream are named.
func Defaults() *Settings {
	s := &Settings{
		Log:          LogConfig{Level: "info", Format: "auto"},
		Admin:        AdminConfig{Listen: "127.0.0.1:8080"},
		Stream:       StreamSettings{Ref: stream.Ref{Name: "tributary"}, Producer: stream.DefaultProducerConfig()},
		Rules:        schema.DefaultRules(),
		Forward:      ForwardSettings{Config: forwarder.DefaultConfig(), Server: fluent.DefaultConfig(), Spool: spool.DefaultConfig(), Edits: edit.DefaultRules()},
		Lake:         LakeSettings{Config: lake.DefaultConfig(), GroupSettings: defaultGroup("tributary-lake")},
		Realtime:     RealtimeSettings{Config: cloudwatch.DefaultConfig(), GroupSettings: defaultGroup("tributary-realtime")},
		TreasureData: TreasureDataSettings{Config: treasuredata.DefaultConfig(), GroupSettings: defaultGroup("tributary-treasuredata")},
		Local:        LocalSettings{Config: local.DefaultConfig(), Listen: "127.0.0.1:4566", Shards: 4, Demo: DefaultDemoConfig()},
	}
	s.Forward.Spool.Dir = "/var/lib/tributary/spool"
	// The larger a file, the fewer requests and the quicker Athena: a shard flushes
	// by age or when its range is full, 256 MiB of lines and about 45 MB of Parquet.
	s.Lake.Group.Policy.MaxAge = 5 * time.Minute
	s.Lake.Group.Policy.MaxBytes = s.Lake.Group.Policy.RangeBytes
	// Each import is a small file at Treasure Data: as few as lateness allows.
	s.TreasureData.Group.Policy.MaxAge = 5 * time.Minute
	s.TreasureData.Group.Policy.MaxBytes = s.TreasureData.Group.Policy.RangeBytes
	// Sooner counts for more than fewer requests, and a duplicate for less than a write
	// to the table with each flush. 16 MiB are three seconds of a shard at its limit: a
	// flush that waits for its quota is followed by a larger one.
	p := &s.Realtime.Group.Policy
	p.TwoPhase, p.MaxAge, p.MaxBytes, p.RangeBytes, p.WorkerBytes = false, 200*time.Millisecond, 16<<20, 32<<20, 128<<20
	p.StuckAfter = 15 * time.Minute // behind park_after: one log stream that fails holds nothing up
	// Two of the five calls that a shard answers a second, lake and treasuredata one each.
	s.Realtime.Group.Reader.PollInterval = 500 * time.Millisecond
	return s
}

func defaultGroup(name string) GroupSettings {
	g := GroupSettings{Group: consumers.DefaultConfig(), Rejects: rejects.DefaultConfig()}
	g.Group.Name = name
	return g
}

// groups are those of all destinations.
func (s *Settings) groups() []*GroupSettings {
	return []*GroupSettings{&s.Lake.GroupSettings, &s.Realtime.GroupSettings, &s.TreasureData.GroupSettings}
}

// LocalDefaults are Defaults for one machine without an account: everything below
// ./data, results within seconds.
func LocalDefaults() *Settings {
	s := Defaults()
	s.AWS.Region = "us-east-1"
	s.Forward.Spool.Dir = "" // below local.dir, see Finish
	s.Forward.ListenGrace = 0
	s.Lake.Bucket = "tributary"
	s.Lake.Group.Policy.MaxAge = 10 * time.Second
	s.TreasureData.Group.Policy.MaxAge = 10 * time.Second
	s.TreasureData.APIKey = localKey
	s.TreasureData.APIEndpoint, s.TreasureData.ImportEndpoint = "", "" // those of local.listen, see finish
	for _, g := range s.groups() {
		// Embedded shards give what they can; with --limits they refuse what is too much.
		g.Group.Reader.ShardRateBytes = 0
	}
	return s
}

// Load reads the configuration of a command over defaults.
func Load(defaults *Settings, file string, flags map[string]string) (*Settings, error) {
	if file == "" {
		file = os.Getenv(config.EnvPrefix + "CONFIG")
	}
	if err := config.Load(defaults, file, os.Environ(), flags); err != nil {
		return nil, faults("", err)
	}
	defaults.finish()
	return defaults, nil
}

// finish fills in what follows from other keys.
func (s *Settings) finish() {
	if s.Forward.Spool.Dir == "" {
		s.Forward.Spool.Dir = filepath.Join(s.Local.Dir, "spool")
	}
	if s.Stream.ARN != "" && s.Stream.Name == Defaults().Stream.Name {
		s.Stream.Name = "" // only the default; the ARN was asked for
	}
	inherit(&s.Lake.Rejects, s.Lake.Bucket, s.Lake.Options)
	inherit(&s.Realtime.Rejects, s.Lake.Rejects.Bucket, s.Lake.Rejects.Options)
	inherit(&s.TreasureData.Rejects, s.Lake.Rejects.Bucket, s.Lake.Rejects.Options)
	s.TreasureData.GroupName = s.TreasureData.Group.Name
	for _, e := range []*string{&s.TreasureData.APIEndpoint, &s.TreasureData.ImportEndpoint} {
		if *e == "" {
			*e = "http://" + s.Local.Listen
		}
	}
	for _, g := range s.groups() {
		g.Rejects.Group = g.Group.Name
	}
}

// inherit lets rejects without a bucket of their own lie in another's, as that one
// wants it.
func inherit(r *rejects.Config, bucket string, o objects.Options) {
	if r.Bucket != "" {
		return
	}
	r.Bucket = bucket
	if o.Validate() == nil { // what is wrong is told once, where it stands
		r.Options = r.Or(o)
	}
}

// CheckForward tells what is wrong for "forward".
func (s *Settings) CheckForward() error { return errors.Join(s.checkCommon(), s.checkForward()) }

// CheckLake tells what is wrong for "consume lake".
func (s *Settings) CheckLake() error { return errors.Join(s.checkCommon(), s.checkLake()) }

// CheckRealtime tells what is wrong for "consume realtime".
func (s *Settings) CheckRealtime() error { return errors.Join(s.checkCommon(), s.checkRealtime()) }

// CheckCost tells what is wrong for "cost".
func (s *Settings) CheckCost() error {
	return errors.Join(s.checkCommon(), faults("realtime", s.Realtime.Config.Validate()))
}

// CheckTreasureData tells what is wrong for "consume treasuredata".
func (s *Settings) CheckTreasureData() error {
	return errors.Join(s.checkCommon(), s.checkTreasureData())
}

// CheckLocal tells what is wrong for "local".
func (s *Settings) CheckLocal() error {
	return errors.Join(s.checkCommon(), s.checkLocal(), s.checkForward(), s.checkLake(), s.checkRealtime(), s.checkTreasureData())
}

// CheckEndpoints tells what is wrong for "local --endpoints-only".
func (s *Settings) CheckEndpoints() error { return errors.Join(s.checkCommon(), s.checkLocal()) }

func (s *Settings) checkCommon() error {
	return errors.Join(faults("memory", s.Memory.Validate()), faults("stream", s.Stream.Validate()), faults("rules", s.Rules.Validate()))
}

func (s *Settings) checkForward() error {
	_, edits := s.editor()
	return errors.Join(
		faults("stream.producer", s.Stream.Producer.Validate()), faults("forward", s.Forward.Config.Validate()),
		faults("forward", s.Forward.ValidateStop(s.Forward.Server.Drain)), s.checkStuckAfter(),
		faults("forward.server", s.Forward.Server.Validate()), faults("forward.spool", s.Forward.Spool.Validate()), edits,
	)
}

// LineRules are what the forwarder does to lines.
func (s *Settings) LineRules() (*forwarder.Rules, error) {
	classifier, err := s.Rules.Compile()
	editor, edits := s.editor()
	if err := errors.Join(faults("rules", err), edits); err != nil {
		return nil, err
	}
	return forwarder.NewRules(classifier, editor), nil
}

// editor compiles the forwarder's own rules, with the secret out of its file.
func (s *Settings) editor() (*edit.Editor, error) {
	rules := s.Forward.Edits
	if rules.HashSecretFile != "" {
		if rules.HashSecret != "" {
			return nil, Faultf("forward.hash_secret is set, and so is forward.hash_secret_file: leave one of them out")
		}
		text, err := os.ReadFile(rules.HashSecretFile)
		if err != nil {
			return nil, Faultf("forward.hash_secret_file: %w", err)
		}
		if rules.HashSecret = strings.TrimSpace(string(text)); rules.HashSecret == "" {
			return nil, Faultf("forward.hash_secret_file: %s is empty", rules.HashSecretFile)
		}
	}
	editor, err := rules.Compile()
	return editor, faults("forward", err)
}

// checkStuckAfter leaves a lane some attempts before it counts as stuck.
func (s *Settings) checkStuckAfter() error {
	if least := 3 * s.Stream.Producer.AttemptTimeout; s.Forward.StuckAfter < least {
		return Faultf("forward.stuck_after is %v, want at least %v: three times stream.producer.attempt_timeout", s.Forward.StuckAfter, least)
	}
	return nil
}

// CheckStored tells what is wrong for commands that look at what lies in the bucket.
func (s *Settings) CheckStored() error {
	if s.Lake.Bucket == "" {
		return Faultf("lake.bucket is not set: name the S3 bucket of the lake (key lake.bucket, variable TRIBUTARY_LAKE_BUCKET or flag --bucket)")
	}
	return errors.Join(faults("lake", s.Lake.Config.Validate()), faults("lake.rejects", s.Lake.Rejects.Validate()))
}

// CheckRejects tells what is wrong for commands that look at rejects.
func (s *Settings) CheckRejects() error {
	if s.Lake.Rejects.Bucket == "" {
		return Faultf("lake.rejects.bucket is not set, and neither is lake.bucket: name the S3 bucket of the rejects (flag --bucket)")
	}
	return errors.Join(faults("stream", s.Stream.Validate()), faults("lake.rejects", s.Lake.Rejects.Validate()))
}

// CheckReplay tells what is wrong for "rejects replay".
func (s *Settings) CheckReplay() error {
	if strings.HasPrefix(s.Lake.Group.Name, backfill.GroupPrefix) {
		return Faultf("group %s is a backfill's: nobody reads its rejects from the stream; mend what was wrong and give the backfill another --name", s.Lake.Group.Name)
	}
	if replay.IsName(s.Lake.Group.Name) {
		return Faultf("group %s is a replay's, which nobody reads for any more: mend what was wrong, then replay that time into another target", s.Lake.Group.Name)
	}
	return errors.Join(s.checkCommon(), faults("stream.producer", s.Stream.Producer.Validate()), s.CheckRejects())
}

func (s *Settings) checkLake() error {
	return errors.Join(faults("lake.group", s.Lake.Group.Validate()), s.CheckStored())
}

func (s *Settings) checkRealtime() error {
	r := &s.Realtime
	var own []error
	if r.Group.Policy.TwoPhase {
		own = append(own, errors.New("group.policy.two_phase is true, but CloudWatch Logs takes the same events twice: leave it false"))
	}
	if r.Group.Policy.StuckAfter <= r.ParkAfter {
		own = append(own, fmt.Errorf("group.policy.stuck_after is %v, want more than park_after (%v)", r.Group.Policy.StuckAfter, r.ParkAfter))
	}
	return errors.Join(r.check("realtime", "CloudWatch Logs"), faults("realtime", errors.Join(append(own, r.Config.Validate())...)))
}

// check tells what is wrong of a group whose rejects may lie in the lake's bucket.
func (g *GroupSettings) check(section, destination string) error {
	if g.Rejects.Bucket == "" {
		return errors.Join(faults(section+".group", g.Group.Validate()),
			Faultf("%s.rejects.bucket is not set, and neither is lake.bucket: name the S3 bucket for what %s refuses (flag --bucket)", section, destination))
	}
	return errors.Join(faults(section+".group", g.Group.Validate()), faults(section+".rejects", g.Rejects.Validate()))
}

func (s *Settings) checkTreasureData() error {
	t := &s.TreasureData
	var own []error
	if !t.Group.Policy.TwoPhase {
		own = append(own, errors.New("group.policy.two_phase is false, but without it a row may be imported under two ids: leave it true"))
	}
	keys := 0
	for _, set := range []bool{t.APIKey != "", t.APIKeyFile != "", t.APIKeySecret != ""} {
		if set {
			keys++
		}
	}
	if keys == 0 {
		own = append(own, errors.New("api_key is not set: set it (TRIBUTARY_TREASUREDATA_API_KEY), api_key_file, or api_key_secret_id for one in AWS Secrets Manager"))
	}
	if keys > 1 {
		own = append(own, errors.New("api_key, api_key_file and api_key_secret_id exclude one another"))
	}
	return errors.Join(t.check("treasuredata", "Treasure Data"), faults("treasuredata", errors.Join(append(own, t.Config.Validate())...)))
}

func (s *Settings) checkLocal() error {
	var shards error
	if s.Local.Shards < 1 || s.Local.Shards > 1000 {
		shards = Faultf("local.shards is %d, want 1 to 1000", s.Local.Shards)
	}
	return errors.Join(faults("local", s.Local.Config.Validate()), faults("local.demo", s.Local.Demo.Validate()), shards)
}

// faults makes each line of a joined error a Fault that begins with its section.
func faults(section string, err error) error {
	if err == nil {
		return nil
	}
	var out []error
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		if section != "" && !strings.HasPrefix(line, section) {
			line = section + "." + line
		}
		out = append(out, Fault{errors.New(line)})
	}
	return errors.Join(out...)
}

// OneLine joins the lines of an error, so that a log collector keeps it whole.
func OneLine(err error) string {
	return strings.Join(strings.Split(strings.TrimSpace(fmt.Sprint(err)), "\n"), "; ")
}
