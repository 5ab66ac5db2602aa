package duckdb_test

import (
	"cmp"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/schema"
)

// said is what the questions are about, as a line says it.
type said struct {
	kind    schema.Kind
	at      time.Time
	service string
	Fields
}

// Fields are those of the shop's lines.
type Fields struct {
	Level       string  `json:"level"`
	Message     string  `json:"message"`
	TraceID     string  `json:"traceId"`
	UserID      string  `json:"userId"`
	Method      string  `json:"method"`
	Path        string  `json:"path"`
	ClientIP    string  `json:"client_ip"`
	RequestBody string  `json:"request_body"`
	Status      int64   `json:"status"`
	Duration    float64 `json:"duration_ms"`
}

// readLines are all lines, decoded: the shop's for what their program calls things,
// the odd ones for what they are expected to become.
func readLines(t *testing.T) (all []said) {
	t.Helper()
	for _, r := range the.records {
		for _, e := range r.events {
			l := said{kind: e.Kind, at: time.UnixMicro(floor(e.Time, 1000)).UTC(), service: e.Origin.Service}
			if strings.HasPrefix(e.Origin.Service, "odd-") {
				row := expected(r, e, the.config.Columns)
				l.Level, _ = row["level"].(string)
				l.Path, _ = row["path"].(string)
				l.Duration, _ = row["duration_ms"].(float64)
			} else if e.Kind != schema.KindRaw {
				if err := json.Unmarshal(e.Line, &l.Fields); err != nil {
					t.Fatalf("%q: %v", e.Line, err)
				}
			}
			all = append(all, l)
		}
	}
	return all
}

var fenced = regexp.MustCompile("(?s)\n([^\n]+):\n\n```sql\n(.*?)```")

// questions are the README's, by the line before them.
func questions(t *testing.T) map[string]string {
	t.Helper()
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range fenced.FindAllSubmatch(readme, -1) {
		name, _, _ := strings.Cut(string(m[1]), " (")
		out[name] = string(m[2])
	}
	return out
}

func TestTheReadmesQuestionsAreAnsweredAsTheLinesSay(t *testing.T) {
	db := open(t)
	the.views(t, db)
	lines, asked := readLines(t), questions(t)
	for name, answer := range map[string]func([]said) [][]any{
		"Errors by service": errorsByService, "A request by its trace id": requestByTrace, "Slow requests": slowRequests,
		"Volume by service": volumeByService, "What a user did": whatAUserDid,
	} {
		t.Run(name, func(t *testing.T) {
			sql, ok := asked[name]
			if !ok {
				t.Fatalf("the README does not ask it, only %q", asked)
			}
			var got [][]any
			eachRow(t, db, sql, func(_ []string, cells []any) { got = append(got, slices.Clone(cells)) })
			want := answer(lines)
			if len(want) < 3 {
				t.Fatalf("%d rows are too few to show anything", len(want))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%d rows %.2000v\nwant %d %.2000v", len(got), got, len(want), want)
			}
		})
		delete(asked, name)
	}
	if len(asked) > 0 {
		t.Errorf("nobody checks %q", asked)
	}
}

func errorsByService(lines []said) (out [][]any) {
	counts, latest := map[string]int64{}, map[string]time.Time{}
	for _, l := range lines {
		if l.kind == schema.KindApp && (l.Level == "ERROR" || l.Level == "FATAL") {
			counts[l.service]++
			if l.at.After(latest[l.service]) {
				latest[l.service] = l.at
			}
		}
	}
	for service, n := range counts {
		out = append(out, []any{service, n, latest[service]})
	}
	slices.SortFunc(out, func(a, b []any) int {
		return cmp.Or(cmp.Compare(b[1].(int64), a[1].(int64)), cmp.Compare(a[0].(string), b[0].(string)))
	})
	return out
}

func requestByTrace(lines []said) (out [][]any) {
	for _, l := range lines {
		if l.TraceID != "90a78b90bf9c88edd4dbedb95487afc4" {
			continue
		}
		what := l.Message
		if l.kind == schema.KindAudit {
			what = l.Path
		}
		out = append(out, []any{l.at, l.service, l.Level, what})
	}
	return out // in the order of their times, as all lines are
}

func slowRequests(lines []said) (out [][]any) {
	for _, l := range lines {
		if l.kind == schema.KindAudit && l.Path != "" && l.Duration >= 1000 {
			out = append(out, []any{l.at, l.service, l.Method, l.Path, l.Status, l.Duration, l.TraceID})
		}
	}
	slices.SortStableFunc(out, func(a, b []any) int { return cmp.Compare(b[5].(float64), a[5].(float64)) })
	return out[:20]
}

func volumeByService(lines []said) (out [][]any) {
	counts := map[[2]string]int64{}
	for _, l := range lines {
		counts[[2]string{l.service, l.kind.String()}]++
	}
	for of, n := range counts {
		out = append(out, []any{of[0], of[1], n})
	}
	slices.SortFunc(out, func(a, b []any) int {
		return cmp.Or(cmp.Compare(b[2].(int64), a[2].(int64)), cmp.Compare(a[0].(string), b[0].(string)), cmp.Compare(a[1].(string), b[1].(string)))
	})
	return out
}

func whatAUserDid(lines []said) (out [][]any) {
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	for _, l := range lines {
		if l.kind == schema.KindAudit && l.UserID == "u-100749" {
			status := any(l.Status)
			if l.Status == 0 {
				status = nil // a slow query has none
			}
			out = append(out, []any{l.at, l.service, text(l.Method), text(l.Path), status, text(l.ClientIP), text(l.RequestBody)})
		}
	}
	return out
}
