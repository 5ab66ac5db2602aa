package treasuredata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"tributary/schema"
	"tributary/sinks/held"
)

var (
	columnShape = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	tableShape  = regexp.MustCompile(`^[a-z0-9_]{3,255}$`)
)

func planOf(change func(*Config)) *layout {
	c := DefaultConfig()
	c.GroupName = "g"
	change(&c)
	text, err := planText(c, schema.DefaultRules())
	if err != nil {
		panic(err)
	}
	l, err := readPlan(text)
	if err != nil {
		panic(err)
	}
	return l
}

// rowOf encodes a line twice, the second time by what was remembered of the first.
func rowOf(t *testing.T, e *rowEncoder, line []byte) map[string]any {
	t.Helper()
	encode := func() []byte {
		row, _ := e.encode(&held.Row{Time: 1e9}, &held.Line{Text: line}, source{"s", schema.KindApp}, &held.Record{})
		return bytes.Clone(row)
	}
	row := encode()
	if again := encode(); !bytes.Equal(row, again) {
		t.Fatalf("%q becomes %q, then %q", line, row, again)
	}
	n, rest, err := msgp.ReadMapHeaderBytes(row)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	for range n {
		var name string
		var v any
		if name, rest, err = msgp.ReadStringBytes(rest); err != nil {
			t.Fatal(err)
		}
		if v, rest, err = msgp.ReadIntfBytes(rest); err != nil {
			t.Fatal(err)
		}
		if _, twice := m[name]; twice || !columnShape.MatchString(name) || len(name) > maxName || name == "v" {
			t.Errorf("column %q of %q", name, line)
		}
		if s, isText := v.(string); isText && !utf8.ValidString(s) {
			t.Errorf("column %q has %q", name, s)
		}
		m[name] = v
	}
	if len(rest) > 0 {
		t.Errorf("%d bytes behind the row of %q", len(rest), line)
	}
	if len(m) > e.limit+1+len(e.metadata)+len(ownColumns) {
		t.Errorf("%d columns", len(m))
	}
	return m
}

// FuzzRow: a row has the members that encoding/json finds in the line.
func FuzzRow(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1,"b":"x","c":[1,{"d":null}],"e":{"f":1.5}}`, `{"A":1,"a":2,"a_1":3,"time":4,"v":5,"_rest":6}`, `{"a":1,"\u0061":2}`,
		`{"n":18446744073709551616,"m":-9223372036854775808,"e":1e400,"z":-0,"f":1E5}`, `{"":1000000000000000000,"n":18446744073709551615}`, "{\"\xff\":\"\xc3\"}", `{"":"\ud800","":true}`, "plain", `{"a":`,
		`{"a":{"b":{"c":1},"d":{}},"a_b":2,"a.b":3}`, `{"` + strings.Repeat("x", 300) + `":1}`, `{"注文":1,"注 文":2}`,
	} {
		f.Add([]byte(s))
	}
	plain := planOf(func(c *Config) { c.Metadata = nil })
	flat := planOf(func(c *Config) { c.Nested = nestedFlatten })
	narrow := planOf(func(c *Config) { c.MaxColumns = 32 })
	f.Fuzz(func(t *testing.T, line []byte) {
		rowOf(t, newRowEncoder(flat.columns, "shard"), line)
		rowOf(t, newRowEncoder(narrow.columns, "shard"), line)
		row := rowOf(t, newRowEncoder(plain.columns, "shard"), line)
		if row["time"] != int64(1) {
			t.Fatalf("time %v", row["time"])
		}
		delete(row, "time")
		if schema.WalkObject(line, nil) != nil {
			if want := string(bytes.ToValidUTF8(line, replacement)); len(row) != 1 || row["message"] != want {
				t.Errorf("%q became %v", line, row)
			}
			return
		}
		if !utf8.Valid(line) || bytes.Count(line, []byte(":")) > plain.columns.limit {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		var want map[string]any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(row) != len(want) {
			t.Fatalf("%q has %d members, the row %d: %v", line, len(want), len(row), row)
		}
		var other, others []string
		for name, v := range want {
			if columnName(name) == name && !plain.columns.reserved[name] {
				if got := row[name]; told(t, got) != wanted(t, v) {
					t.Errorf("%q: %s is %v", line, name, got)
				}
				delete(row, name)
				continue
			}
			others = append(others, wanted(t, v))
		}
		for _, v := range row {
			other = append(other, told(t, v))
		}
		slices.Sort(other)
		slices.Sort(others)
		if !slices.Equal(other, others) {
			t.Errorf("%q: %q, want %q", line, other, others)
		}
	})
}

// told and wanted write a value of a row, and what a line's member is to become.
func told(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case nil, bool, string, float64, int64, uint64:
		if s, isText := v.(string); isText && s != "" && (s[0] == '{' || s[0] == '[') {
			var x any
			dec := json.NewDecoder(strings.NewReader(s))
			dec.UseNumber()
			if dec.Decode(&x) == nil && !dec.More() {
				return fmt.Sprintf("json %v", x)
			}
		}
		return fmt.Sprintf("%T %v", v, v)
	}
	t.Fatalf("a value of type %s", reflect.TypeOf(v))
	return ""
}

func wanted(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case json.Number:
		text := v.String()
		if strings.ContainsAny(text, ".eE") {
			if f, err := v.Float64(); err == nil {
				return told(t, f)
			}
			return told(t, text)
		}
		if n, err := v.Int64(); err == nil {
			return told(t, n)
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return told(t, u)
		}
		return told(t, text)
	case map[string]any, []any:
		return fmt.Sprintf("json %v", v)
	}
	return told(t, v)
}

// FuzzNames: whatever a service calls itself, its table is fit for TD, and its own.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"cart", "order-api", "order_api", "a--b", "", "ü", "_", strings.Repeat("x", 500), "A", "a.b"} {
		f.Add(s, s+"-x")
	}
	l := planOf(func(*Config) {})
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, k := range []schema.Kind{schema.KindRaw, schema.KindApp, schema.KindAudit} {
			name := l.table.name(a, k)
			if !tableShape.MatchString(name) {
				t.Errorf("%q has the table %q", a, name)
			}
			same := a == b || (a == "" || a == "unknown") && (b == "" || b == "unknown")
			if same != (name == l.table.name(b, k)) {
				t.Errorf("%q and %q share %q", a, b, name)
			}
		}
		if c := columnName(a); !columnShape.MatchString(c) || len(c) > maxColumn {
			t.Errorf("%q has the column %q", a, c)
		}
	})
}

// FuzzPlan: a state item is read that any build, or a person, may have written.
func FuzzPlan(f *testing.F) {
	c := DefaultConfig()
	c.GroupName = "g"
	text, err := planText(c, schema.DefaultRules())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(`{"format":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := readPlan(text)
		if (l == nil) == (err == nil) {
			t.Errorf("plan %v, error %v", l, err)
		}
	})
}
