package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	duck "github.com/duckdb/duckdb-go/v2"

	"tributary/cmd/internal/workload"
	"tributary/schema"
	"tributary/schema/columns"
	"tributary/sinks/lake"
)

// The mark is fair only if DuckDB writes what the lake writes: its columns, and
// every member of a line in one of them.
func TestTheCopyHasTheLakesColumnsAndAllMembersOfTheLines(t *testing.T) {
	lines := map[schema.Kind][][]byte{}
	shop := workload.NewLines(1, time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), time.Millisecond)
	for n := range int64(5000) {
		line, kind := shop.Append(nil, n)
		lines[kind] = append(lines[kind], line)
	}
	for _, kind := range []schema.Kind{schema.KindApp, schema.KindAudit} {
		t.Run(kind.String(), func(t *testing.T) {
			in, out := filepath.Join(t.TempDir(), "it's.json"), filepath.Join(t.TempDir(), "rows.parquet")
			if err := os.WriteFile(in, append(bytes.Join(lines[kind], []byte("\n")), '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
			took, err := run(t.Context(), kind.String(), in, out, 0)
			if err != nil {
				t.Fatal(err)
			}
			if took.Rows != int64(len(lines[kind])) || took.BytesIn < 400*took.Rows || took.BytesOut == 0 || took.CPUSeconds <= 0 || took.PeakRSS == 0 {
				t.Errorf("%+v of %d lines", took, len(lines[kind]))
			}
			compare(t, out, kind, lines[kind])
		})
	}
}

func compare(t *testing.T, path string, kind schema.Kind, lines [][]byte) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM read_parquet(?) ORDER BY \"index\"", path)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, table := range lake.Tables(columns.DefaultMapping()) {
		for _, c := range table.Columns {
			if table.Kind == kind {
				want = append(want, c.Name)
			}
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("columns %q\nwant    %q", names, want)
	}
	from := map[string]string{"service": "service", "@timestamp": "time"}
	for _, c := range fields[kind.String()].columns {
		words := strings.Fields(c)
		from[words[0]] = words[1]
	}
	n := 0
	for ; rows.Next(); n++ {
		cells, at := make([]any, len(names)), make([]any, len(names))
		for i := range cells {
			at[i] = &cells[i]
		}
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		compareRow(t, names, cells, from, lines[n])
	}
	if err := rows.Err(); err != nil || n != len(lines) {
		t.Errorf("%d rows of %d lines: %v", n, len(lines), err)
	}
}

func compareRow(t *testing.T, names []string, cells []any, from map[string]string, line []byte) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(line, &members); err != nil {
		t.Fatal(err)
	}
	attributes := map[any]any{}
	entries := cells[slices.Index(names, "attributes")].(duck.OrderedMap)
	for i, key := range entries.Keys() {
		attributes[key] = entries.Values()[i]
	}
	told := entries.Len()
	for name, want := range members {
		got := any(nil)
		if column, ok := from[name]; ok {
			told++
			switch v := cells[slices.Index(names, column)].(type) {
			case time.Time:
				got = v.UTC().Format("2006-01-02T15:04:05.000Z")
			case int32:
				got = float64(v)
			default:
				got = v
			}
		} else if got = attributes[name]; got != nil {
			if number, ok := want.(float64); ok {
				want = string(must(json.Marshal(number)))
			}
		}
		if got != want {
			t.Fatalf("%s is %#v, want %#v", name, got, want)
		}
	}
	if told != len(members) {
		t.Fatalf("%d attributes and columns of %d members: %v of %s", told, len(members), attributes, line)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
