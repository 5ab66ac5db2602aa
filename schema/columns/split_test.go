package columns_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/schema"
	"tributary/schema/columns"
)

// at is the time of the rows, as text 2026-11-22T10:00:00.123456Z.
var at = time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC).UnixMicro()

func splitters(t testing.TB, promote ...string) *columns.Splitters {
	t.Helper()
	m := columns.DefaultMapping()
	m.Promote = promote
	rules := schema.DefaultRules()
	rules.TimeFields = []string{"@timestamp", "ts"}
	s, err := m.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// table is the row as a reader would see it.
func table(s *columns.Splitters, r *columns.Row) (cells map[string]string, attributes map[string]string) {
	cells, attributes = map[string]string{"service": "condor"}, map[string]string{}
	for i, text := range r.Text {
		if text != nil {
			cells[columns.ID(i).String()] = string(text)
		}
	}
	if r.HasStatus {
		cells["status"] = strconv.Itoa(int(r.Status))
	}
	if r.HasDuration {
		cells["duration_ms"] = strconv.FormatFloat(r.Duration, 'f', -1, 64)
	}
	for i, text := range r.Promoted {
		if text != nil {
			cells[s.Columns()[i]] = string(text)
		}
	}
	for i, key := range r.Keys {
		attributes[string(key)] = string(r.Values[i])
	}
	return cells, attributes
}

func rebuilt(s *columns.Splitters, r *columns.Row, micros int64) ([]byte, error) {
	cells, attributes := table(s, r)
	get := func(m map[string]string) func(string) ([]byte, bool) {
		return func(name string) ([]byte, bool) { v, ok := m[name]; return []byte(v), ok }
	}
	return columns.Cells{Time: micros, Shape: r.Shape, Column: get(cells), Attribute: get(attributes)}.Line()
}

func TestMembersFindTheirColumns(t *testing.T) {
	for _, c := range []struct{ name, line, cells, attributes, shape string }{
		{"Logstash's encoder",
			`{"@timestamp":"2026-11-22T10:00:00.123Z","@version":"1","message":"placed","logger_name":"shop.Orders","thread_name":"exec-1","level":"INFO","tenant":"jp"}`,
			"level=INFO logger=shop.Orders message=placed thread=exec-1", "@version=1 tenant=jp",
			`{"@timestamp":"time T3Z","@version":"","message":"message","logger_name":"logger","thread_name":"thread","level":"level","tenant":""}`},
		{"Elastic's common schema, dotted",
			`{"@timestamp":"2026-11-22T10:00:00.123Z","log.level":"WARN","log.logger":"x","process.thread.name":"main","error.stack_trace":"java…","trace.id":"abc"}`,
			"level=WARN logger=x stack_trace=java… thread=main trace_id=abc", "",
			`{"@timestamp":"time T3Z","log.level":"level","log.logger":"logger","process.thread.name":"thread","error.stack_trace":"stack_trace","trace.id":"trace_id"}`},
		{"Elastic's common schema, nested", `{"log":{"level":"WARN","logger":"x"},"trace":{"id":"abc"}}`, "level=WARN logger=x trace_id=abc", "",
			`{"log":{"level":"level","logger":"logger"},"trace":{"id":"trace_id"}}`},
		{"a context within", `{"mdc":{"traceId":"abc","tenant":"jp","deep":{"er":1}}}`, "trace_id=abc", "mdc.deep.er=1 mdc.tenant=jp",
			`{"mdc":{"traceId":"trace_id","tenant":"","deep":{"er":"json"}}}`},
		{"the more wanted of two", `{"severity":"INFO","msg":"b","message":"a","level":"WARN"}`, "level=WARN message=a", "msg=b severity=INFO",
			`{"severity":"","msg":"","message":"message","level":"level"}`},
		{"a null is no candidate", `{"message":null,"msg":"b"}`, "message=b", "", `{"message":null,"msg":"message"}`},
		{"the last of a name counts", `{"a":1,"message":"x","a":{"b":2},"message":"y","a":"z"}`, "message=y", "a=z", `{"message":"message","a":""}`},
		{"two members of one path", `{"a.b":1,"a":{"b":"2"}}`, "", "a.b=1 a.b~=2", `{"a.b":"json","a":{"b":""}}`},
		{"numbers, words and lists as they are written", `{"n":1.50e3,"t":true,"l":[1, "x"],"e":{},"s":"7"}`, "", `l=[1, "x"] n=1.50e3 s=7 t=true`,
			`{"n":"json","t":"json","l":"json","e":{},"s":""}`},
		{"a number as a message", `{"message":5,"traceId":7}`, "message=5 trace_id=7", "", `{"message":"message json","traceId":"trace_id json"}`},
		{"a list as a message", `{"message":[5]}`, "", "message=[5]", `{"message":"json"}`},
		{"levels in their ways", `{"level":"warn"}`, "level=WARN", "", `{"level":"level lower"}`},
		{"levels in other ways", `{"level":"Warning"}`, "level=WARNING", "", `{"level":"level title"}`},
		{"levels in odd ways", `{"level":"wArn"}`, "level=WARN", "level=wArn", `{"level":""}`},
		{"levels as numbers", `{"level":30}`, "level=30", "", `{"level":"level json"}`},
		{"what is no level", `{"level":"` + strings.Repeat("x", 33) + `"}`, "", "level=" + strings.Repeat("x", 33), `{"level":""}`},
		{"a time of its own", `{"@timestamp":"2026-11-22T10:00:00.124Z"}`, "", "@timestamp=2026-11-22T10:00:00.124Z", `{"@timestamp":""}`},
		{"a time elsewhere", `{"@timestamp":"2026-11-22 19:00:00,123456+0900"}`, "", "", `{"@timestamp":"time  6,+0900"}`},
		{"a time as a number", `{"@timestamp":1795341600123}`, "", "", `{"@timestamp":"time ms"}`},
		{"a time as a number of seconds", `{"@timestamp":1795341600.1234}`, "", "", `{"@timestamp":"time s.4"}`},
		{"a time as a number in quotes", `{"@timestamp":"1795341600"}`, "", "", `{"@timestamp":"time s text"}`},
		{"escapes", `{"message":"a\n\"b\"\u00e4\ud83d\ude00","\u006bey":"\\"}`, "message=a\n\"b\"ä😀", `key=\`, `{"message":"message","\u006bey":""}`},
		{"nothing", ` { } `, "", "", `{}`},
		{"audit columns are not an app's", `{"method":"GET","status":200}`, "", "method=GET status=200", `{"method":"","status":"json"}`},
		{"what is promoted", `{"Tenant-Id":"jp","n":5,"list":[1]}`, "list=[1] n=5 tenant_id=jp", "", `{"Tenant-Id":"tenant_id","n":"n json","list":"list json"}`},
		{"its own service", `{"service":"condor"}`, "", "", `{"service":"service"}`},
		{"another service", `{"service":"heron"}`, "", "service=heron", `{"service":""}`},
		{"a service that is no text", `{"service":{"name":"condor"}}`, "", "service.name=condor", `{"service":{"name":""}}`},
		{"no JSON", `GET / 200`, "message=GET / 200", "", ``},
		{"half an object", `{"message":"x"`, `message={"message":"x"`, "", ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := splitters(t, "Tenant-Id", "n", "list")
			if !strings.Contains(c.name, "promoted") {
				s = splitters(t)
			}
			sp := s.New(schema.KindApp)
			for range 2 { // the second time from memory
				r := sp.Split([]byte(c.line), at, "condor")
				cells, attributes := table(s, r)
				delete(cells, "service")
				if got := printed(cells); got != c.cells {
					t.Errorf("cells %s\nwant  %s", got, c.cells)
				}
				if got := printed(attributes); got != c.attributes {
					t.Errorf("attributes %s\nwant       %s", got, c.attributes)
				}
				if string(r.Shape) != c.shape {
					t.Errorf("shape %s\nwant  %s", r.Shape, c.shape)
				}
				if err := same(s, r, []byte(c.line)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestAuditLinesFillTheirColumns(t *testing.T) {
	s := splitters(t)
	for _, c := range []struct{ name, line, cells, attributes string }{
		{"a request", `{"method":"GET","path":"/a","status":200,"duration_ms":12.5,"client_ip":"1.2.3.4","userId":7,"request_body":"{}","response_body":"[]"}`,
			"client_ip=1.2.3.4 duration_ms=12.5 method=GET path=/a request_body={} response_body=[] status=200 user_id=7", ""},
		{"numbers as texts", `{"status":"404","duration":"3"}`, "duration_ms=3 status=404", ""},
		{"what is no status", `{"status":"OK","duration":"3ms"}`, "", "duration=3ms status=OK"},
		{"numbers written oddly", `{"status":2e2,"duration":3.0}`, "", "duration=3.0 status=2e2"},
		{"numbers too large", `{"status":2147483648,"duration":1e300}`, "", "duration=1e300 status=2147483648"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.New(schema.KindAudit).Split([]byte(c.line), at, "condor")
			cells, attributes := table(s, r)
			delete(cells, "service")
			if got := printed(cells); got != c.cells {
				t.Errorf("cells %s\nwant  %s", got, c.cells)
			}
			if got := printed(attributes); got != c.attributes {
				t.Errorf("attributes %s\nwant       %s", got, c.attributes)
			}
			if err := same(s, r, []byte(c.line)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValuesThatDoNotFitAreCounted(t *testing.T) {
	sp := splitters(t).New(schema.KindAudit)
	for _, line := range []string{`{"status":"OK","message":[1]}`, `{"status":2.5,"level":"` + strings.Repeat("x", 40) + `"}`, `{"message":"fits"}`} {
		sp.Split([]byte(line), at, "condor")
	}
	got := map[string]int64{}
	sp.Misfits(func(c string, n int64) { got[c] = n })
	if want := map[string]int64{"status": 2, "message": 1, "level": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	sp.Misfits(func(c string, n int64) { t.Errorf("%s counted twice", c) })
}

func TestWhatCannotBeToldFromTheCellsIsVerbatim(t *testing.T) {
	sp := splitters(t).New(schema.KindApp)
	for line, want := range map[string]bool{
		"{\"a\":\"\xff\"}":                   true,
		"\xff":                               true,
		`{"a":"\ud800"}`:                     true,
		`{"a":"\udc00\ud800"}`:               true,
		`{"a":"\ud800\u0041"}`:               true,
		`{"a":"x\\\ud800"}`:                  true,
		`{"\ud800":1}`:                       true,
		`{"a":"\\ud800"}`:                    false,
		`{"a":"\ud83d\ude00"}`:               false,
		`{"a":"\u00e4\ud7ff\ue000"}`:         false,
		`{"a":"\uD83D\uDE00\uD83D\uDE00\\"}`: false,
	} {
		if got := sp.Split([]byte(line), at, "condor").Verbatim; got != want {
			t.Errorf("%q: verbatim %v", line, got)
		}
	}
}

// Names that are data must not fill the memory, and lines of many members not the
// time.
func TestNamesThatAreDataAreSplitAsWell(t *testing.T) {
	s := splitters(t)
	sp := s.New(schema.KindApp)
	for i := range 30_000 {
		line := fmt.Appendf(nil, `{"message":"m","user-%d":{"n-%d":%d},"level":"INFO"}`, i, i%977, i)
		if r := sp.Split(line, at, "condor"); i%1000 == 0 {
			if err := same(s, r, line); err != nil {
				t.Fatal(err)
			}
		}
		sp.Forget()
	}
	var wide bytes.Buffer
	wide.WriteString(`{"a":1`)
	for i := range 20_000 {
		fmt.Fprintf(&wide, `,"k%d":"v"`, i)
	}
	wide.WriteString(`}`)
	for range 3 {
		if err := same(s, sp.Split(wide.Bytes(), at, "condor"), wide.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMappingTellsItsFaults(t *testing.T) {
	m := columns.DefaultMapping()
	m.Level = []string{""}
	m.Promote = []string{"service", "a.b", "a-b", "\xff", "mdc.traceId", "Trace-Id"}
	err := m.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"level[0]", "promote[0]", "promote[2]", "promote[3]", "promote[5]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	for _, good := range []string{"promote[1]", "promote[4]"} {
		if strings.Contains(err.Error(), good) {
			t.Errorf("%v tells of %s", err, good)
		}
	}
}

func printed(m map[string]string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, k+"="+m[k])
	}
	return strings.Join(pairs, " ")
}

// same compares the line that a row gives with the one it was made of.
func same(s *columns.Splitters, r *columns.Row, line []byte) error {
	if r.Verbatim {
		return nil
	}
	again, err := rebuilt(s, r, at)
	if err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	if r.Shape == nil {
		if !bytes.Equal(again, line) {
			return fmt.Errorf("rebuilt %q, was %q", again, line)
		}
		return nil
	}
	got, want := decoded(again), decoded(line)
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("rebuilt %s\nwas     %s\nshape   %s", again, line, r.Shape)
	}
	return nil
}

// decoded is what the line means; numbers as they are written.
func decoded(line []byte) (v any) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	return v
}

func FuzzSplit(f *testing.F) {
	for _, line := range []string{
		`{"@timestamp":"2026-11-22T10:00:00.123Z","level":"info","message":"a","mdc":{"a":{"b":null,"c":[1,{"x":2}]}},"n":1.0,"status":"200","t":true}`,
		`{"a.b":1,"a":{"b":2,"b":{"c":"d"}},"a.b~":3,"":{"":"","":{}}}`,
		`{"log":{"level":"Error"},"log.level":"x","status":200,"duration":1.25,"user":{"id":7},"tenant":{"x":1}}`,
		`{"ts":1795341600123,"@timestamp":"2026-11-22 19:00:00,123456+09:00"}`,
		"{\"a\":\"\\ud800\",\"b\":\"\xff\"}", `[1]`, `x`, `{"tenant":"a","tenant":null}`,
	} {
		f.Add([]byte(line), at)
	}
	s := splitters(f, "tenant", "n")
	f.Fuzz(func(t *testing.T, line []byte, micros int64) {
		for _, k := range []schema.Kind{schema.KindAudit, schema.KindApp, schema.KindRaw} {
			sp := s.New(k)
			for range 2 {
				r := sp.Split(line, micros, "condor")
				if r.Verbatim {
					continue
				}
				again, err := rebuilt(s, r, micros)
				if err != nil {
					t.Fatal(err)
				}
				if r.Shape == nil {
					if !bytes.Equal(again, line) {
						t.Fatalf("rebuilt %q", again)
					}
				} else if got, want := decoded(again), decoded(line); !reflect.DeepEqual(got, want) {
					t.Fatalf("rebuilt %s\nshape %s", again, r.Shape)
				}
			}
		}
	})
}

func FuzzCells(f *testing.F) {
	f.Add([]byte(`{"a":"","b":{"c":"level lower","d":null},"t":"time T3Z","s":"status text"}`), []byte("x"), at)
	f.Fuzz(func(t *testing.T, shape, cell []byte, micros int64) {
		get := func(name string) ([]byte, bool) { return cell, len(name)%7 != 6 }
		_, _ = columns.Cells{Time: micros, Shape: shape, Column: get, Attribute: get}.Line()
	})
}
