package filter_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"tributary/schema"
	"tributary/schema/filter"
)

func compile(t testing.TB, rules ...filter.Rule) *filter.Filter {
	t.Helper()
	r := filter.DefaultRules()
	r.Rules = rules
	f, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func of(kind schema.Kind, service, line string) *filter.Subject {
	return &filter.Subject{Event: &schema.Event{Line: []byte(line)}, Kind: kind, Service: service}
}

func app(line string) *filter.Subject { return of(schema.KindApp, "shop", line) }

func when(c filter.Condition) filter.Rule {
	return filter.Rule{Action: filter.Exclude, Condition: c}
}

func TestAnEventMeetsACondition(t *testing.T) {
	fields := func(f ...filter.Field) filter.Condition { return filter.Condition{Fields: f} }
	levels := func(l ...string) filter.Condition { return filter.Condition{Levels: l} }
	services := func(s ...string) filter.Condition { return filter.Condition{Services: s} }
	path := func(glob string) filter.Condition {
		return fields(filter.Field{Path: "url.path", Glob: []string{glob}})
	}
	const long = `{"url.path":"` + `\u002Fapi\/v1` + `"}`
	for _, x := range []struct {
		name string
		c    filter.Condition
		s    *filter.Subject
		want bool
	}{
		{"no condition means all", filter.Condition{}, app(`x`), true},
		{"its kind", filter.Condition{Kinds: []string{"raw", "app"}}, app(`{}`), true},
		{"another kind", filter.Condition{Kinds: []string{"raw", "audit"}}, app(`{}`), false},
		{"no kind at all", filter.Condition{Kinds: []string{"raw", "app", "audit"}}, of(schema.KindUnset, "", `{}`), false},
		{"a kind nobody knows", filter.Condition{Kinds: []string{"raw", "app", "audit"}}, of(200, "", `{}`), false},

		{"its service", services("x", "shop"), app(``), true},
		{"another service", services("sho", "shopp"), app(``), false},
		{"a service's beginning", services("sh*"), app(``), true},
		{"a service's end", services("*op"), app(``), true},
		{"a service's middle", services("*ho*"), app(``), true},
		{"a service by itself, with stars", services("*shop*"), app(``), true},
		{"pieces must not overlap", services("sho*op"), app(``), false},
		{"pieces in their order", services("*o*h*"), app(``), false},
		{"pieces in theirs", services("s*h**p"), app(``), true},
		{"a star is any service", services("*"), of(schema.KindApp, "", ``), true},
		{"no text is no service", services(""), app(``), false},
		{"a long service", services("*z"), of(schema.KindApp, strings.Repeat("a", 1000)+"z", ``), true},

		{"its level", levels("DEBUG", "INFO"), app(`{"level":"info"}`), true},
		{"another level", levels("DEBUG", "ERROR"), app(`{"level":"info"}`), false},
		{"a level by another name", levels("warning"), app(`{"level":"WARN"}`), true},
		{"up to its level", levels("<=INFO"), app(`{"level":"info"}`), true},
		{"up to a lower one", levels("<= DEBUG"), app(`{"level":"info"}`), false},
		{"below its level", levels("<INFO"), app(`{"level":"info"}`), false},
		{"from its level on", levels(">=INFO"), app(`{"level":"info"}`), true},
		{"above its level", levels(">INFO"), app(`{"level":"info"}`), false},
		{"above a lower one", levels(">TRACE"), app(`{"level":"info"}`), true},
		{"no level is not a low one", levels("<=FATAL"), app(`{}`), false},
		{"no level by its name", levels("none"), app(`{}`), true},
		{"no level beside others", levels("ERROR", "NONE"), app(`hello`), true},
		{"a level that is none of that name", levels("NONE"), app(`{"level":"ERROR"}`), false},

		{"a member that is there", fields(filter.Field{Path: "a"}), app(`{"a":[]}`), true},
		{"a member that is looked into is there", fields(filter.Field{Path: "a"}, filter.Field{Path: "a.b"}), app(`{"a":{"b":1}}`), true},
		{"a member that is not there", fields(filter.Field{Path: "a"}), app(`{"b":"a"}`), false},
		{"a null is not there", fields(filter.Field{Path: "a"}), app(`{"a":null}`), false},
		{"a null is not there any more", fields(filter.Field{Path: "a"}), app(`{"a":1,"a":null}`), false},
		{"a text", fields(filter.Field{Path: "a", Equals: []string{"x", "y"}}), app(`{"a":"y"}`), true},
		{"another text", fields(filter.Field{Path: "a", Equals: []string{"x", "y*"}}), app(`{"a":"yz"}`), false},
		{"a text with a star", fields(filter.Field{Path: "a", Equals: []string{"y*"}}), app(`{"a":"y*"}`), true},
		{"no text", fields(filter.Field{Path: "a", Equals: []string{""}}), app(`{"a":""}`), true},
		{"either list", fields(filter.Field{Path: "a", Equals: []string{"x"}, Glob: []string{"y*"}}), app(`{"a":"yz"}`), true},
		{"a number as written", fields(filter.Field{Path: "a", Glob: []string{"5*"}}), app(`{"a":503}`), true},
		{"a word", fields(filter.Field{Path: "a", Equals: []string{"true"}}), app(`{"a":true}`), true},
		{"a list has no text", fields(filter.Field{Path: "a", Glob: []string{"*"}}), app(`{"a":["x"]}`), false},
		{"an object has no text", fields(filter.Field{Path: "a", Glob: []string{"*"}}), app(`{"a":{}}`), false},
		{"all members", fields(filter.Field{Path: "a", Equals: []string{"1"}}, filter.Field{Path: "b", Equals: []string{"2"}}), app(`{"b":2,"a":1}`), true},
		{"not all members", fields(filter.Field{Path: "a", Equals: []string{"1"}}, filter.Field{Path: "b", Equals: []string{"2"}}), app(`{"a":1}`), false},

		{"a dotted name", path("/api*"), app(`{"url.path":"/api/v1"}`), true},
		{"a nested one", path("/api*"), app(`{"url":{"path":"/api/v1"}}`), true},
		{"a name further in", path("*"), app(`{"x":{"url.path":"/api/v1"}}`), false},
		{"an escaped name", path("*"), app(`{"\u0075rl":{"pa\u0074h":""}}`), true},
		{"an escaped text", path("/api/v1"), app(long), true},
		{"the dotted name before the nested", path("x"), app(`{"url":{"path":"y"},"url.path":"x"}`), true},
		{"the dotted name before the nested, in any order", path("x"), app(`{"url.path":"x","url":{"path":"y"}}`), true},
		{"the last of one name", path("x"), app(`{"url.path":"y","url.path":"x"}`), true},
		{"the last of one object", path("*"), app(`{"url":{"path":"y"},"url":{}}`), false},
		{"the last even if no object", path("*"), app(`{"url":{"path":"y"},"url":7}`), false},
		{"another object of the same name is another", path("y"), app(`{"url":{"path":"y"},"x":{"url":{"path":"z"}}}`), true},
		{"an empty name", fields(filter.Field{Path: "."}), app(`{"":{"":1}}`), true},
		{"every way of nesting", fields(filter.Field{Path: "a.b.c", Equals: []string{"1"}}), app(`{"a":{"b.c":1}}`), true},
		{"every other way of nesting", fields(filter.Field{Path: "a.b.c", Equals: []string{"1"}}), app(`{"a.b":{"c":1}}`), true},

		{"a raw line has no fields", path("*"), of(schema.KindRaw, "", `{"url.path":""}`), false},
		{"half an object has no fields", path("*"), app(`{"url.path":""`), false},
		{"two objects have no fields", path("*"), app(`{"url.path":""}{}`), false},
		{"a part of a line has no fields", path("*"), &filter.Subject{Kind: schema.KindApp, Event: &schema.Event{Part: schema.Part{Number: 1, Count: 2}, Line: []byte(`{"url.path":""}`)}}, false},
		{"an abyss has no fields", path("*"), app(`{"url.path":"","a":` + strings.Repeat(`[`, 10000) + strings.Repeat(`]`, 10000) + `}`), false},
		{"bytes that are not UTF-8 are a text", path("*z"), app("{\"url.path\":\"\xff\xfez\"}"), true},
		{"half a surrogate pair is one of U+FFFD", path("\uFFFD"), app(`{"url.path":"\ud800"}`), true},
		{"all lists at once", filter.Condition{Kinds: []string{"app"}, Services: []string{"s*"}, Levels: []string{">INFO"}, Fields: []filter.Field{{Path: "a"}}}, app(`{"level":"error","a":1}`), true},
		{"one list says no", filter.Condition{Kinds: []string{"app"}, Services: []string{"t*"}, Levels: []string{">INFO"}, Fields: []filter.Field{{Path: "a"}}}, app(`{"level":"error","a":1}`), false},
	} {
		t.Run(x.name, func(t *testing.T) {
			v := compile(t, when(x.c)).Judge(x.s)
			if v.Send == x.want || (v.Rule == 0) != x.want {
				t.Fatalf("got %+v", v)
			}
		})
	}
}

func TestTheFirstRuleThatIsMetDecides(t *testing.T) {
	f := compile(t,
		filter.Rule{Name: "errors", Action: filter.Include, Condition: filter.Condition{Levels: []string{">=ERROR"}}},
		filter.Rule{Action: filter.Exclude, Condition: filter.Condition{Services: []string{"batch-*"}}},
		filter.Rule{Name: "half", Action: filter.Sample, Rate: 0.5, Condition: filter.Condition{Kinds: []string{"audit"}}},
		filter.Rule{Action: filter.Sample, Rate: 1, Condition: filter.Condition{Services: []string{"all"}}},
		filter.Rule{Action: filter.Sample, Rate: 0, Condition: filter.Condition{Services: []string{"nothing"}}},
	)
	if got := fmt.Sprint(f.Names()); got != "[errors 1 half 3 4]" {
		t.Errorf("names: %s", got)
	}
	for _, x := range []struct {
		name string
		s    *filter.Subject
		want filter.Verdict
	}{
		{"an error of a batch", of(schema.KindApp, "batch-1", `{"level":"ERROR"}`), filter.Verdict{Send: true, Rule: 0, Level: filter.Error}},
		{"other lines of a batch", of(schema.KindApp, "batch-1", `{"level":"INFO"}`), filter.Verdict{Rule: 1, Level: filter.Info}},
		{"what no rule means", app(`{"level":"INFO"}`), filter.Verdict{Send: true, Rule: -1, Level: filter.Info}},
		{"raw lines", of(schema.KindRaw, "shop", `ERROR`), filter.Verdict{Send: true, Rule: -1}},
		{"a sample of all", of(schema.KindApp, "all", `{}`), filter.Verdict{Send: true, Rule: 3}},
		{"a sample of nothing", of(schema.KindApp, "nothing", `{}`), filter.Verdict{Rule: 4}},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := f.Judge(x.s); got != x.want {
				t.Fatalf("got %+v, want %+v", got, x.want)
			}
		})
	}
}

func TestALineIsLookedAtOnlyWhenAskedFor(t *testing.T) {
	// That of an excluded line nobody has asked for the level shows it.
	line := `{"level":"INFO"}`
	v := compile(t, when(filter.Condition{Services: []string{"shop"}})).Judge(app(line))
	if v != (filter.Verdict{}) {
		t.Errorf("excluded by its service: %+v", v)
	}
	v = compile(t, when(filter.Condition{Fields: []filter.Field{{Path: "x"}}}), when(filter.Condition{})).Judge(app(line))
	if v != (filter.Verdict{Rule: 1, Level: filter.Info}) {
		t.Errorf("looked at for a field: %+v", v)
	}
	f, err := filter.Rules{}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if v := f.Judge(app(line)); v != (filter.Verdict{Send: true, Rule: -1}) {
		t.Errorf("no rules: %+v", v)
	}
}

func TestManyMayAskOneFilter(t *testing.T) {
	f := compile(t, when(filter.Condition{Fields: []filter.Field{{Path: "n", Glob: []string{"*\"1"}}}}))
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 1000 {
				want := (g+i)%2 == 0
				if v := f.Judge(app(fmt.Sprintf(`{"n":"x\"%d","level":"WARN"}`, (g+i)%2))); v.Send != want || v.Level != filter.Warn {
					t.Errorf("got %+v", v)
					return
				}
			}
		})
	}
	all.Wait()
}

// raceDetector has pools lose a part of what they are given.
var raceDetector bool

func TestJudgeDoesNotAllocate(t *testing.T) {
	f := compile(t,
		when(filter.Condition{Services: []string{"a", "*b"}}),
		when(filter.Condition{Kinds: []string{"app"}, Fields: []filter.Field{{Path: "url.path", Glob: []string{"/health*"}}}}),
		filter.Rule{Action: filter.Sample, Rate: 0.5, Key: []string{"trace_id"}})
	s := app(`{"level":"\u0049NFO","url":{"p\u0061th":"\/api"},"trace_id":"0af7651916cd43dd8448eb211c80319c"}`)
	most := 0.0
	if raceDetector {
		most = 2 // each time it would be five
	}
	if n := testing.AllocsPerRun(1000, func() { f.Judge(s) }); n > most {
		t.Fatalf("%v allocations", n)
	}
}
