package cloudwatch_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/deploy/local/logs"
	"tributary/schema"
	"tributary/schema/filter"
	"tributary/sinks/cloudwatch"
	"tributary/stream"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

func TestThePlanHoldsWhatDecidesNamesAndMessages(t *testing.T) {
	w := start(t, func(w *world, _ *logs.Options) {
		w.cfg.LogGroup, w.cfg.Metadata = "/logs/{kind}/{service}", true
		w.cfg.Filter.Rules = []filter.Rule{{Name: "noise", Action: filter.Exclude, Condition: filter.Condition{Levels: []string{"<=DEBUG"}}}}
	})
	golden(t, "plan.json", w.cw.Plan()+"\n")
	other := start(t, func(w *world, _ *logs.Options) {
		w.cfg.RequestsPerSecond, w.cfg.MaxGroups, w.cfg.RetentionDays = 50, 3, 1
	})
	if start(t).cw.Plan() != other.cw.Plan() {
		t.Error("rates belong to the plan")
	}
	// A sink follows the plan it is given.
	s, err := other.cw.Open(t.Context(), shard, w.cw.Plan())
	if err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s, record(1, event(time.Now(), "x"), event(time.Now(), `{"level":"debug"}`)))
	if got := other.stored("/logs/app/shop"); len(got) != 1 || !strings.Contains(got[0], "_tributary") {
		t.Errorf("stored %q", got)
	}
	for name, plan := range map[string]string{
		"no JSON":           "nonsense",
		"a later format":    `{"format":2}`,
		"an unknown member": strings.Replace(w.cw.Plan(), `"group"`, `"groups"`, 1),
		"a bad template":    strings.Replace(w.cw.Plan(), "{service}", "{host}", 1),
		"more behind it":    w.cw.Plan() + "{}",
	} {
		if _, err := w.cw.Open(t.Context(), shard, plan); !stream.IsPermanent(err) {
			t.Errorf("a plan with %s: %v", name, err)
		}
	}
}

func TestMessagesWithMetadata(t *testing.T) {
	w := start(t, func(w *world, _ *logs.Options) { w.cfg.Metadata, w.cfg.MessageBytes = true, 1024 })
	at := time.Now().Truncate(time.Second)
	bare := schema.Event{Kind: schema.KindRaw, Line: []byte("no origin")}
	cut := event(at, "a piece")
	cut.Part = schema.Part{Line: [16]byte{1, 2, 3}, Number: 1, Count: 2}
	incomplete := event(at, `{"half":`)
	incomplete.Flags = schema.FlagIncomplete
	odd := event(at, "tab\t quote\" slash\\ nul\x00 \xff end")
	odd.Origin = &schema.Origin{Service: "shop", Host: "h\xffst\n"}
	var events []schema.Event
	for i, e := range []schema.Event{
		event(at, `{"a":1}`), event(at, ` { } `), event(at, "{\"a\":{}\n}\n"), event(at, "a line"), event(at, ""), event(at, `["a"]`),
		cut, incomplete, bare, odd, event(at, `{"long":"`+strings.Repeat("é", 900)+`"}`),
	} {
		e.Time = at.Add(time.Duration(i) * time.Millisecond).UnixNano()
		if e.Origin == nil {
			e.Origin = &schema.Origin{Service: "shop"}
		}
		events = append(events, e)
	}
	mustFlush(t, w.open(), record(1, events...))
	golden(t, "metadata.txt", strings.Join(w.stored(group), "\n␤\n")+"\n")
}

func TestConfigurationTellsAllFaultsAtOnce(t *testing.T) {
	cfg := cloudwatch.DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg.LogGroup, cfg.RetentionDays, cfg.Class, cfg.KMSKey = "/a b/{service}", 2, "DELIVERY", "alias/x"
	cfg.MessageBytes, cfg.MaxGroups, cfg.Parallel, cfg.RenderBytes = 10, 0, 0, 0
	cfg.RequestsPerSecond, cfg.CreateRate, cfg.AttemptTimeout, cfg.ParkAfter = 0, 51, 0, 0
	cfg.Errors.Level, cfg.Filter.Rules = "loud", []filter.Rule{{Action: "drop"}}
	cfg.ReadBack = cloudwatch.ReadBack{Calls: -1, Time: -1, Rate: 0, Bytes: -1}
	cfg.Price = cloudwatch.Price{PerGB: -1, Currency: "dollars", Date: "June"}
	_, err := cloudwatch.New(cfg, schema.DefaultRules(), nil, nil, prometheus.NewRegistry(), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"group", "retention_days", "class", "kms_key", "message_bytes", "max_groups", "parallel", "render_bytes", "requests_per_second",
		"create_rate", "attempt_timeout", "park_after", "errors", "filter", "read_back.calls", "read_back.time", "read_back.rate", "read_back.bytes",
		"price.per_gb", "price.currency", "price.date"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named in %v", key, err)
		}
	}
	for template, want := range map[string]string{
		"":                "is empty",
		"aws/{service}":   "cannot begin with aws/",
		"/{service":       "without its",
		"/{host}":         "there are {kind} and {service}",
		"/a}":             "a name is of",
		"/log:{service}/": "a name is of",
	} {
		cfg := cloudwatch.DefaultConfig()
		cfg.LogGroup = template
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("template %q: %v", template, err)
		}
	}
}
