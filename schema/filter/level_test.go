package filter_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tributary/schema/filter"
)

func TestLevelOfALine(t *testing.T) {
	r := filter.DefaultRules()
	r.LevelPaths = append(r.LevelPaths, "severityNumber", "otel.severity_number")
	f, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	const (
		none, trace, debug = filter.None, filter.Trace, filter.Debug
		info, warn, error_ = filter.Info, filter.Warn, filter.Error
		fatal              = filter.Fatal
	)
	for _, x := range []struct {
		name, line string
		want       filter.Level
	}{
		{"Logback's", `{"level":"WARN"}`, warn},
		{"padded", `{"level":"INFO "}`, info},
		{"lower case", `{"level":"error"}`, error_},
		{"title case", `{"level":"Debug"}`, debug},
		{"escaped", `{"level":"\u0054RACE"}`, trace},
		{"Elastic's, nested", `{"log":{"level":"FATAL"}}`, fatal},
		{"Elastic's, dotted", `{"log.level":"FATAL"}`, fatal},
		{"Google's", `{"severity":"CRITICAL"}`, fatal},
		{"Python's", `{"levelname":"WARNING"}`, warn},
		{"java.util.logging's", `{"level":"SEVERE"}`, error_},
		{"slog's between two", `{"level":"INFO+2"}`, info},
		{"slog's below one", `{"level":"ERROR-1"}`, error_},
		{"OpenTelemetry's text", `{"severity_text":"WARN3"}`, warn},
		{"pino's number", `{"level":50}`, error_},
		{"pino's number in quotes", `{"level":"30"}`, info},
		{"a custom number of pino's", `{"level":35}`, info},
		{"the lowest number", `{"level":10}`, trace},
		{"the highest number", `{"level":69}`, fatal},
		{"below the lowest", `{"level":9}`, none},
		{"above the highest", `{"level":70}`, none},
		{"syslog's number is none", `{"level":3}`, none},
		{"a huge number is none", `{"level":30000000000000000000000000000}`, none},
		{"a negative number is none", `{"level":-30}`, none},
		{"a fraction is none", `{"level":30.0}`, none},
		{"OpenTelemetry's number by its name", `{"severityNumber":17}`, error_},
		{"OpenTelemetry's number further in", `{"otel":{"severity_number":"13"}}`, warn},
		{"OpenTelemetry's lowest", `{"severityNumber":1}`, trace},
		{"OpenTelemetry's highest", `{"severityNumber":24}`, fatal},
		{"OpenTelemetry's unspecified", `{"severityNumber":0}`, none},
		{"beyond OpenTelemetry's", `{"severityNumber":25}`, none},
		{"the order of the paths, not of the line", `{"severity":"ERROR","level":"INFO"}`, info},
		{"the first that is a level", `{"level":"audit","severity":"ERROR"}`, error_},
		{"the first that is not null", `{"level":null,"severity":"ERROR"}`, error_},
		{"the first that is not a list", `{"level":["INFO"],"severity":"ERROR"}`, error_},
		{"of two the last", `{"level":"INFO","level":"ERROR"}`, error_},
		{"a word is none", `{"level":true}`, none},
		{"nothing is none", `{"level":""}`, none},
		{"a number of no name is none", `{"level":"+2"}`, none},
		{"a long text is none", `{"level":"ERROR ` + strings.Repeat("x", 1<<16) + `"}`, none},
		{"a level further in is none", `{"mdc":{"level":"ERROR"}}`, none},
		{"no line", ``, none},
		{"half an object", `{"level":"ERROR"`, none},
		{"something behind", `{"level":"ERROR"} x`, none},
	} {
		t.Run(x.name, func(t *testing.T) {
			if v := f.Judge(app(x.line)); v != (filter.Verdict{Send: true, Rule: -1, Level: x.want}) {
				t.Fatalf("got %+v", v)
			}
		})
	}
}

func TestLevelsHaveManyNames(t *testing.T) {
	for level, names := range map[filter.Level]string{
		filter.None:  "NONE none",
		filter.Trace: "TRACE trc T finest SILLY 10 TRACE2",
		filter.Debug: "DEBUG dbg D fine FINER verbose VRB 20",
		filter.Info:  "INFO inf I Information INFORMATIONAL notice CONFIG http 30",
		filter.Warn:  "WARN wrn W Warning 40",
		filter.Error: "ERROR err E Severe 50",
		filter.Fatal: "FATAL ftl F Critical CRIT alert Emergency EMERG panic DPANIC 60",
	} {
		for name := range strings.FieldsSeq(names) {
			if got, err := filter.ParseLevel(name); got != level || err != nil {
				t.Errorf("%s: got %s, %v", name, got, err)
			}
		}
		if got, err := filter.ParseLevel(level.String()); got != level || err != nil {
			t.Errorf("%s: got %s, %v", level, got, err)
		}
	}
	if got := filter.Level(7).String(); got != "level(7)" {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"", " ", "LOUD", "3", "70", strings.Repeat("E", 100)} {
		if got, err := filter.ParseLevel(name); err == nil {
			t.Errorf("%q is %s", name, got)
		}
	}
	if _, err := filter.ParseLevel("eror"); err == nil || !strings.Contains(err.Error(), `did you mean "ERROR"`) {
		t.Errorf("got %v", err)
	}
	if !(filter.None < filter.Trace && filter.Trace < filter.Debug && filter.Debug < filter.Info &&
		filter.Info < filter.Warn && filter.Warn < filter.Error && filter.Error < filter.Fatal) {
		t.Error("levels are not in order")
	}
}

func TestRulesOfAPlanKeepTheirMeaning(t *testing.T) {
	// The list is that of DefaultRules when this was written; plans have it in full.
	const golden = `{"level_paths":["level","log.level","severity","severity_text","log_level","levelname"],"rules":[` +
		`{"name":"noise","action":"exclude","kinds":["app"],"services":["web-*"],"levels":["\u003c=DEBUG"],"fields":[{"path":"url.path","equals":["/"],"glob":["/health*"]}]},` +
		`{"action":"sample","rate":0.1,"key":["trace_id","traceId"]},` +
		`{"action":"include"}]}`
	var r filter.Rules
	if err := json.Unmarshal([]byte(golden), &r); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(r)
	if err != nil || string(again) != golden {
		t.Errorf("got %s, %v", again, err)
	}
	f, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]filter.Verdict{
		`{"level":"DEBUG","url.path":"/healthz"}`: {Rule: 0, Level: filter.Debug},
		`{"level":"DEBUG","url.path":"/health"}`:  {Rule: 0, Level: filter.Debug},
		`{"level":"DEBUG","url":{"path":"/"}}`:    {Rule: 0, Level: filter.Debug},
		`{"level":"INFO","trace_id":"8"}`:         {Send: true, Rule: 1, Level: filter.Info},
		`{"level":"INFO","traceId":"47"}`:         {Rule: 1, Level: filter.Info},
	} {
		s := app(line)
		s.Service = "web-1"
		if got := f.Judge(s); got != want {
			t.Errorf("%s: got %+v", line, got)
		}
	}
	text, err := json.Marshal(filter.Rules{})
	if err != nil || string(text) != `{"level_paths":null,"rules":null}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestEveryFaultOfTheRulesIsNamed(t *testing.T) {
	long := strings.Repeat("x", 300)
	r := filter.Rules{
		LevelPaths: []string{"level", "", long, "a.b.c.d.e.f.g.h", "\xff"},
		Rules: []filter.Rule{
			{Name: "x", Action: "exlude"},
			{Name: "x", Action: ""},
			{Name: long, Action: "include", Rate: 0.5, Key: []string{"a"}},
			{Action: "sample", Rate: 1.5, Key: []string{""}},
			{Action: "sample", Rate: -0.1, Key: make([]string, 17)},
			{Action: "exclude", Condition: filter.Condition{
				Kinds:    []string{"app", "audti"},
				Services: []string{"ok", long},
				Levels:   []string{"INFO", "WRAN", "<=NONE", "=INFO", "<TRACE", ">FATAL", ""},
				Fields:   []filter.Field{{Path: ""}, {Path: "a", Equals: []string{long}, Glob: []string{"\xff"}}},
			}},
			{Action: "exclude", Condition: filter.Condition{Services: make([]string, 257)}},
		},
	}
	err := r.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{
		`level_paths[1]: `, `level_paths[2]: `, `level_paths[3]: "a.b.c.d.e.f.g.h" has more than 6 dots`, `level_paths[4]: `,
		`rules[0].action: "exlude" must be include, exclude, sample, did you mean "exclude"`,
		`rules[1].action: "" must be include, exclude, sample` + "\n",
		`rules[1].name: "x" is that of rules[0]`, `rules[2].name: `, `rules[2].rate: `, `rules[2].key: `,
		`rules[3].rate: 1.5 must be from 0 to 1`, `rules[3].key[0]: `, `rules[4].rate: `, `rules[4].key: has 17 entries`,
		`rules[5].kinds[1]: "audti" must be raw, app, audit, did you mean "audit"`, `rules[5].services[1]: `,
		`rules[5].levels[1]: "WRAN" is no level`, `did you mean "WARN"`, `rules[5].levels[2]: `, `rules[5].levels[3]: `,
		`rules[5].levels[4]: `, `rules[5].levels[5]: `, `rules[5].levels[6]: `,
		`rules[5].fields[0].path: `, `rules[5].fields[1].equals[0]: `, `rules[5].fields[1].glob[0]: `,
		`rules[6].services: has 257 entries, at most 256`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "rules[5].levels[0]") || strings.Contains(err.Error(), "rules[5].services[0]") {
		t.Errorf("names what is right:\n%v", err)
	}
	if len(err.Error()) > 16<<10 {
		t.Errorf("%d bytes of faults", len(err.Error()))
	}

	blind := filter.Rules{Rules: []filter.Rule{{Action: "exclude", Condition: filter.Condition{Levels: []string{"INFO"}}}}}
	if err := blind.Validate(); err == nil || !strings.Contains(err.Error(), "rules[0].levels: there are no level_paths") {
		t.Errorf("levels without paths: %v", err)
	}
	many := filter.Rules{Rules: make([]filter.Rule, 257)}
	for i := range many.Rules {
		many.Rules[i] = filter.Rule{Action: "include", Condition: filter.Condition{Fields: []filter.Field{{Path: fmt.Sprint(i, ".a.b.c")}}}}
	}
	if err := many.Validate(); err == nil || !strings.Contains(err.Error(), "rules: has 257 entries") || !strings.Contains(err.Error(), "rules[64].fields[0].path: ") {
		t.Errorf("too many: %v", err)
	}
	for _, good := range []filter.Rules{{}, filter.DefaultRules()} {
		if err := good.Validate(); err != nil {
			t.Error(err)
		}
	}
}
