package schema_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/schema"
)

func compile(t testing.TB, change func(*schema.Rules)) *schema.Classifier {
	t.Helper()
	r := schema.DefaultRules()
	if change != nil {
		change(&r)
	}
	c, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const fallback = int64(42)

func classify(c *schema.Classifier, line string, o *schema.Origin) schema.Verdict {
	return c.Classify([]byte(line), o, fallback, arrival.UnixNano())
}

func TestKindOfALine(t *testing.T) {
	c := compile(t, func(r *schema.Rules) {
		r.Kinds = append(r.Kinds,
			schema.KindRule{Field: "audit", Equals: "true", Kind: "audit"},
			schema.KindRule{Field: "a\"b", Equals: "ä", Kind: "audit"})
	})
	for _, x := range []struct {
		name, line string
		want       schema.Kind
	}{
		{"an object is app", `{"message":"hi"}`, schema.KindApp},
		{"white space around it does not matter", " {} \r", schema.KindApp},
		{"the marker makes it audit", `{"x":1,"marker":"AUDIT"}`, schema.KindAudit},
		{"another marker does not", `{"marker":"AUDITED"}`, schema.KindApp},
		{"a marker further in does not", `{"mdc":{"marker":"AUDIT"}}`, schema.KindApp},
		{"an escaped marker does", `{"\u006darker":"A\u0055DIT"}`, schema.KindAudit},
		{"of two markers the last counts", `{"marker":"AUDIT","marker":"x"}`, schema.KindApp},
		{"a later rule is tried", `{"marker":"x","audit":true}`, schema.KindAudit},
		{"names and texts are unescaped", `{"a\"b":"\u00e4"}`, schema.KindAudit},
		{"text is raw", `hello`, schema.KindRaw},
		{"nothing is raw", ``, schema.KindRaw},
		{"a list is raw", `[{"marker":"AUDIT"}]`, schema.KindRaw},
		{"half an object is raw", `{"marker":"AUDIT"`, schema.KindRaw},
		{"two objects are raw", `{} {}`, schema.KindRaw},
		{"an abyss is raw", strings.Repeat(`{"a":`, 10000), schema.KindRaw},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := classify(c, x.line, nil).Kind; got != x.want {
				t.Fatalf("got %s, want %s", got, x.want)
			}
		})
	}
}

func TestServiceOfALine(t *testing.T) {
	label := func(name, value string) []schema.Label { return []schema.Label{{Name: name, Value: value}} }
	all := []string{"label:L", "env:E", "field:service", "tag:1", "tag:-1", "container_name"}
	for _, x := range []struct {
		name    string
		sources []string
		line    string
		origin  schema.Origin
		want    string
	}{
		{"a label", all, ``, schema.Origin{Labels: label("L", "x")}, "x"},
		{"an environment variable", all, ``, schema.Origin{Labels: label("E", "x")}, "x"},
		{"an empty label is none", all, ``, schema.Origin{Labels: label("L", ""), ContainerName: "c"}, "c"},
		{"a field", all, `{"service":"x\u0079"}`, schema.Origin{ContainerName: "c"}, "xy"},
		{"a number", all, `{"service":7}`, schema.Origin{}, "7"},
		{"a field that names nothing", all, `{"service":null}`, schema.Origin{ContainerName: "c"}, "c"},
		{"a field of half an object is none", all, `{"service":"x"`, schema.Origin{ContainerName: "c"}, "c"},
		{"a part of the tag", all, ``, schema.Origin{Tag: "docker.web.1"}, "web"},
		{"the last part of the tag", []string{"tag:-1"}, ``, schema.Origin{Tag: "docker.web"}, "web"},
		{"a part before the first is none", []string{"tag:-3"}, ``, schema.Origin{Tag: "docker.web"}, "unknown"},
		{"a part after the last is none", []string{"tag:2"}, ``, schema.Origin{Tag: "docker.web"}, "unknown"},
		{"a container's name", all, ``, schema.Origin{ContainerName: "/web"}, "web"},
		{"a task's name", all, ``, schema.Origin{ContainerName: "ecs-shop-api-12-web-a8c2f6e4b19ad3ca8801"}, "web"},
		{"a task's name full of numbers", all, ``, schema.Origin{ContainerName: "ecs-web-2-prod-7-redis-sidecar-a8c2f6e4b19ad3ca8801"}, "redis-sidecar"},
		{"a numbered container", all, ``, schema.Origin{ContainerName: "ecs-web-7-worker-2-a8c2f6e4b19ad3ca8801"}, "worker-2"},
		{"not quite a task's name", all, ``, schema.Origin{ContainerName: "ecs-7-web-a8c2f6e4b19ad3ca8801"}, "ecs-7-web-a8c2f6e4b19ad3ca8801"},
		{"a name that only begins with ecs", all, ``, schema.Origin{ContainerName: "ecs-agent"}, "ecs-agent"},
		{"nothing at all", all, ``, schema.Origin{Service: "not looked at"}, "unknown"},
		{"no sources", nil, ``, schema.Origin{ContainerName: "c"}, "unknown"},
		{"too long a name", all, ``, schema.Origin{ContainerName: "x" + strings.Repeat("ä", 64)}, "x" + strings.Repeat("ä", 63)},
		{"too long a field", all, `{"service":"` + strings.Repeat(`\u00e4`, 100_000) + `"}`, schema.Origin{}, strings.Repeat("ä", 64)},
		{"a name that is not UTF-8", all, ``, schema.Origin{ContainerName: "a\xffb"}, "a\uFFFDb"},
		{"a name with a path in it", all, ``, schema.Origin{ContainerName: "a/../b=c"}, "a/../b=c"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := compile(t, func(r *schema.Rules) { r.Service = x.sources })
			if got := classify(c, x.line, &x.origin).Service; got != x.want {
				t.Fatalf("got %q, want %q", got, x.want)
			}
		})
	}
}

func TestTimeOfALine(t *testing.T) {
	const base = 1_700_000_000 // 2023-11-14T22:13:20Z, the second of arrival
	const second, millisecond = int64(time.Second), int64(time.Millisecond)
	exact := base*second + 123456789
	tokyo := func(r *schema.Rules) { r.TimeZone = "Asia/Tokyo" }
	for _, x := range []struct {
		name, line string
		change     func(*schema.Rules)
		want       int64
	}{
		{"RFC 3339", `{"@timestamp":"2023-11-14T22:13:20Z"}`, nil, base * second},
		{"nanoseconds", `{"@timestamp":"2023-11-14T22:13:20.123456789Z"}`, nil, exact},
		{"finer than nanoseconds", `{"@timestamp":"2023-11-14T22:13:20.1234567899Z"}`, nil, exact},
		{"a zone", `{"@timestamp":"2023-11-15T07:13:20.5+09:00"}`, nil, base*second + second/2},
		{"a zone to the west", `{"@timestamp":"2023-11-14T17:43:20-0430"}`, nil, base * second},
		{"Logback's zone", `{"@timestamp":"2023-11-15T07:13:20.123+0900"}`, nil, base*second + 123*millisecond},
		{"a zone of hours", `{"@timestamp":"2023-11-15T07:13:20+09"}`, nil, base * second},
		{"a comma and spaces", `{"@timestamp":"2023-11-15 07:13:20,123 +0900"}`, nil, base*second + 123*millisecond},
		{"an escaped plus", `{"@timestamp":"2023-11-15T07:13:20\u002B09:00"}`, nil, base * second},
		{"a leap second", `{"@timestamp":"2023-11-14T22:13:60Z"}`, nil, (base + 40) * second},
		{"no zone is no time", `{"@timestamp":"2023-11-14T22:13:20"}`, nil, fallback},
		{"no zone but in the configuration", `{"@timestamp":"2023-11-15 07:13:20.123"}`, tokyo, base*second + 123*millisecond},
		{"a zone beats that of the configuration", `{"@timestamp":"2023-11-14T22:13:20Z"}`, tokyo, base * second},
		{"seconds", `{"ts":1700000000}`, nil, base * second},
		{"seconds with a fraction", `{"ts":1700000000.123456789}`, nil, exact},
		{"milliseconds", `{"ts":1700000000123}`, nil, base*second + 123*millisecond},
		{"milliseconds with a fraction", `{"ts":1700000000123.456789}`, nil, exact},
		{"microseconds", `{"ts":1700000000123456}`, nil, base*second + 123456000},
		{"nanoseconds since the epoch", `{"ts":1700000000123456789}`, nil, exact},
		{"Java's double", `{"ts":1.700000000123E9}`, nil, base*second + 123*millisecond},
		{"a number in quotes", `{"ts":"1700000000.123"}`, nil, base*second + 123*millisecond},
		{"a day ago", `{"ts":1699913601}`, nil, (base - 86399) * second},
		{"more than a day ago", `{"ts":1699913599}`, nil, fallback},
		{"ten minutes ahead", `{"ts":1700000600}`, nil, (base + 600) * second},
		{"more than ten minutes ahead", `{"ts":1700000601}`, nil, fallback},
		{"the first field that is a time", `{"time":12,"ts":1700000001,"timestamp":"soon"}`, nil, (base + 1) * second},
		{"the order of the rules, not of the line", `{"ts":1700000001,"@timestamp":1700000002}`, nil, (base + 2) * second},
		{"of two the last", `{"ts":1700000001,"ts":1700000002}`, nil, (base + 2) * second},
		{"not a scalar", `{"ts":[1700000001]}`, nil, fallback},
		{"an empty text", `{"ts":""}`, nil, fallback},
		{"half an object", `{"ts":1700000001`, nil, fallback},
		{"no object", `2023-11-14T22:13:20Z`, nil, fallback},
		{"a month too many", `{"ts":"2023-13-14T22:13:20Z"}`, nil, fallback},
		{"a day too many", `{"ts":"2023-11-31T22:13:20Z"}`, nil, fallback},
		{"a point without digits", `{"ts":"2023-11-14T22:13:20.Z"}`, nil, fallback},
		{"something behind", `{"ts":"2023-11-14T22:13:20Zulu"}`, nil, fallback},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := classify(compile(t, x.change), x.line, nil).Time; got != x.want {
				t.Fatalf("got %s, want %s", time.Unix(0, got).UTC(), time.Unix(0, x.want).UTC())
			}
		})
	}
}

func TestTheWindowDoesNotOverflow(t *testing.T) {
	c := compile(t, nil)
	line := []byte(`{"ts":1700000000}`)
	for _, at := range []int64{-1 << 63, 1<<63 - 1} {
		if got := c.Classify(line, nil, fallback, at).Time; got != fallback {
			t.Fatalf("arrival %d: %d", at, got)
		}
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	c := compile(t, nil)
	o := &schema.Origin{ContainerName: "ecs-shop-12-web-a8c2f6e4b19ad3ca8801", Labels: []schema.Label{{Name: "x", Value: "y"}}}
	line := []byte(`{"@timestamp":"2023-11-15T07:13:20\u002B09:00","level":"INFO","m\u0061rker":"AUDIT","message":"a \"quoted\" text"}`)
	if n := testing.AllocsPerRun(100, func() { c.Classify(line, o, fallback, arrival.UnixNano()) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
	hostile := []byte(`{"@timestamp":"` + strings.Repeat(`\u0030`, 1<<16) + `","marker":"` + strings.Repeat(`\\`, 1<<16) + `","` + strings.Repeat(`\n`, 1<<16) + `":1}`)
	if n := testing.AllocsPerRun(10, func() { c.Classify(hostile, o, fallback, arrival.UnixNano()) }); n > 12 {
		t.Fatalf("%v allocations for a hostile line", n)
	}
}

func TestRulesOfAPlanKeepTheirMeaning(t *testing.T) {
	// A pending range may name rules that an older version wrote.
	const golden = `{"kinds":[{"field":"marker","equals":"AUDIT","kind":"audit"}],` +
		`"service":["label:com.amazonaws.ecs.container-name","label:com.docker.compose.service","env:SERVICE","field:service","container_name"],` +
		`"default_service":"unknown","time_fields":["@timestamp","timestamp","time","ts"],"time_zone":"",` +
		`"time_window":{"past":86400000000000,"future":600000000000}}`
	text, err := json.Marshal(schema.DefaultRules())
	if err != nil || string(text) != golden {
		t.Fatalf("got %s, %v", text, err)
	}
	var r schema.Rules
	if err := json.Unmarshal([]byte(golden), &r); err != nil || !reflect.DeepEqual(r, schema.DefaultRules()) {
		t.Fatalf("got %+v, %v", r, err)
	}
}

func TestEveryFaultOfTheRulesIsNamed(t *testing.T) {
	r := schema.Rules{
		Kinds:          []schema.KindRule{{Field: "", Kind: "app"}, {Field: "a", Kind: "raw"}, {Field: "a", Kind: "app", Equals: strings.Repeat("x", 129)}},
		Service:        []string{"label", "label:", "field:", "tag:x", "container_name:x", "hostname"},
		DefaultService: "",
		TimeFields:     []string{""},
		TimeZone:       "Mars/Olympus",
		TimeWindow:     schema.TimeWindow{Past: -1, Future: 1000000 * time.Hour},
	}
	err := r.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{
		"kinds[0].field", "kinds[1].kind", "kinds[2].equals", "service[0]", "service[1]", "service[2]", "service[3]", "service[4]",
		"service[5]", "default_service", "time_fields[0]", "time_zone", "time_window",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in:\n%v", want, err)
		}
	}
	local := schema.DefaultRules()
	local.TimeZone = "Local"
	if local.Validate() == nil {
		t.Error("took the zone of this machine")
	}
	many := schema.DefaultRules()
	for i := range 40 {
		many.TimeFields = append(many.TimeFields, fmt.Sprint("f", i))
	}
	if many.Validate() == nil {
		t.Error("took 45 fields")
	}
	if err := schema.DefaultRules().Validate(); err != nil {
		t.Error(err)
	}
}

// strictTime is RFC 3339 as it is written. Package time also takes an hour of one
// digit and zones of a hundred hours (go.dev/issue/54580).
var strictTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// FuzzTime compares dates with package time.
func FuzzTime(f *testing.F) {
	for _, s := range []string{
		"2023-11-14T22:13:20Z", "2023-11-15T07:13:20.123+09:00", "2000-02-29 00:00:00,5 -0430", "1900-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
		"1700000000.123456789", "1.7E9", "-1700000000", "17e8", "2262-04-11T23:47:16.854775807Z", "99999999999999999999", "1e99", "0.0000000001",
		"2000-01-01T0:00:00+00:00", "2000-01-01T00:00:00+24:00",
	} {
		f.Add(s)
	}
	r := schema.DefaultRules()
	c, err := r.Compile()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := json.Marshal(map[string]string{"ts": s})
		if err != nil {
			t.Skip()
		}
		var want time.Time
		err = want.UnmarshalText([]byte(s))
		if err != nil || !strictTime.MatchString(s) || want.Year() < 1678 || want.Year() > 2261 {
			c.Classify(line, nil, fallback, arrival.UnixNano()) // must not panic
			return
		}
		if got := c.Classify(line, nil, fallback, want.UnixNano()).Time; got != want.UnixNano() {
			t.Fatalf("%s: got %d, want %d", s, got, want.UnixNano())
		}
	})
}
