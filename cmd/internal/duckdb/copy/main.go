// Command copy has DuckDB write the lines of package workload as Parquet, in the
// columns that the lake has for them, and says what that took: the mark for the
// lake's own encoder. Input are lines of one kind, one a line; what a lake adds to a
// line (container, place in the stream) is the same in every row.
//
//	copy -kind app|audit -in lines.json -out rows.parquet
//
// It prints one JSON object. The time is that of the COPY statement alone, on one
// thread; a started DuckDB and an open file are not counted.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
)

// Took is what is printed.
type Took struct {
	Engine      string  `json:"engine"` // with its version
	Rows        int64   `json:"rows"`
	BytesIn     int64   `json:"bytes_in"`
	BytesOut    int64   `json:"bytes_out"`
	CPUSeconds  float64 `json:"cpu_seconds"` // user and system
	WallSeconds float64 `json:"wall_seconds"`
	PeakRSS     int64   `json:"peak_rss"` // bytes
}

func main() {
	kind := flag.String("kind", "app", "app or audit")
	in := flag.String("in", "", "file of JSON lines")
	out := flag.String("out", "", "Parquet file to write")
	level := flag.Int("level", 0, "level of zstd; 0 is DuckDB's own choice")
	flag.Parse()
	took, err := run(context.Background(), *kind, *in, *out, *level)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(took)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "copy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kind, in, out string, level int) (t Took, err error) {
	statement, err := copyStatement(kind, in, out, level)
	if err != nil {
		return t, err
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return t, fmt.Errorf("open: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range []string{"SET threads = 1", "SET TimeZone = 'UTC'", "SET enable_progress_bar = false"} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return t, fmt.Errorf("%s: %w", s, err)
		}
	}
	if err := db.QueryRowContext(ctx, "SELECT 'DuckDB ' || version()").Scan(&t.Engine); err != nil {
		return t, fmt.Errorf("read the version: %w", err)
	}
	before, start := cpu(), time.Now()
	result, err := db.ExecContext(ctx, statement)
	if err != nil {
		return t, fmt.Errorf("copy: %w", err)
	}
	t.CPUSeconds, t.WallSeconds = (cpu() - before).Seconds(), time.Since(start).Seconds()
	if t.Rows, err = result.RowsAffected(); err != nil {
		return t, fmt.Errorf("count rows: %w", err)
	}
	for path, size := range map[string]*int64{in: &t.BytesIn, out: &t.BytesOut} {
		info, err := os.Stat(path)
		if err != nil {
			return t, fmt.Errorf("look at a file: %w", err)
		}
		*size = info.Size()
	}
	t.PeakRSS = usage().Maxrss * 1024
	return t, nil
}

func usage() (u syscall.Rusage) {
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails on bad arguments only
	return u
}

// cpu is what this process has used in all its threads.
func cpu() time.Duration {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fields of the lines, by kind: those that become columns and the others, which
// always or sometimes stand in a line.
var fields = map[string]struct {
	columns  []string // "field column" or "field column TYPE"
	always   []string
	requests []string // of an audit line about a request
	queries  []string // and of one about a slow query
}{
	"app": {
		columns: []string{
			"level level", "logger_name logger", "thread_name thread", "message message", "stack_trace stack_trace", "traceId trace_id",
			"spanId span_id", "requestId request_id", "clientIp client_ip", "userId user_id",
		},
		always: []string{"@version", "seq", "tenant"},
	},
	"audit": {
		columns: []string{
			"level level", "traceId trace_id", "spanId span_id", "request_id request_id", "method method", "path path",
			"status status INTEGER", "duration_ms duration_ms DOUBLE", "client_ip client_ip", "userId user_id",
			"request_body request_body", "response_body response_body",
		},
		always:   []string{"seq", "marker", "tenant", "type"},
		requests: []string{"session_id", "user_agent"},
		queries:  []string{"datasource", "rows", "sql"},
	},
}

// order is that of the lake's columns; what a kind lacks is left out, what no line
// fills is null.
var order = map[string][]string{
	"app": {"level", "logger", "thread", "message", "stack_trace", "trace_id", "span_id", "request_id", "client_ip", "user_id"},
	"audit": {
		"level", "logger", "thread", "message", "stack_trace", "trace_id", "span_id", "request_id", "client_ip", "user_id", "method", "path",
		"status", "duration_ms", "request_body", "response_body",
	},
}

func copyStatement(kind, in, out string, level int) (string, error) {
	f, ok := fields[kind]
	if !ok {
		return "", fmt.Errorf("kind is %q, want app or audit", kind)
	}
	read := []string{`"@timestamp": 'TIMESTAMPTZ'`, `"service": 'VARCHAR'`}
	from := map[string]string{}
	for _, c := range f.columns {
		words := strings.Fields(c + " VARCHAR")
		read = append(read, fmt.Sprintf(`"%s": '%s'`, words[0], words[2]))
		from[words[1]] = words[0]
	}
	for _, list := range [][]string{f.always, f.requests, f.queries} {
		for _, name := range list {
			read = append(read, fmt.Sprintf(`"%s": 'VARCHAR'`, name))
		}
	}
	sel := []string{`"@timestamp" AS time`, `TIMESTAMPTZ '2026-11-22 12:00:00Z' AS ingest_time`, `service`}
	for _, c := range order[kind] {
		if field := from[c]; field != "" {
			sel = append(sel, fmt.Sprintf(`"%s" AS %s`, field, c))
		} else {
			sel = append(sel, "NULL::VARCHAR AS "+c)
		}
	}
	attributes := mapOf(f.always)
	if f.queries != nil {
		attributes = fmt.Sprintf(`CASE WHEN type = 'slow_query' THEN %s ELSE %s END`, mapOf(f.always, f.queries), mapOf(f.always, f.requests))
	}
	sel = append(sel,
		`'0123456789ab' AS container_id`, `'order-1' AS container_name`, `'stdout' AS source`, `'ip-10-2-0-1' AS host`, `'docker' AS tag`,
		`false AS incomplete`, `NULL::VARCHAR AS part_line`, `NULL::BIGINT AS part_number`, `NULL::BIGINT AS part_count`,
		`'shardId-000000000000' AS shard`, `'49590338271490256608559692538361571095921575989136588000' AS sequence`,
		`row_number() OVER () AS "index"`, `NULL::BLOB AS line_bytes`, `'{"@timestamp":"time T3Z"}' AS shape`,
		attributes+` AS attributes`)
	options := "FORMAT parquet, COMPRESSION zstd"
	if level > 0 {
		options += fmt.Sprintf(", COMPRESSION_LEVEL %d", level)
	}
	return fmt.Sprintf("COPY (\nSELECT %s\nFROM read_json(%s, format = 'newline_delimited', columns = {%s})\n) TO %s (%s)",
		strings.Join(sel, ",\n  "), quoted(in), strings.Join(read, ", "), quoted(out), options), nil
}

// mapOf is a map of fields that are there.
func mapOf(names ...[]string) string {
	var pairs []string
	for _, list := range names {
		for _, n := range list {
			pairs = append(pairs, fmt.Sprintf(`'%s': "%s"`, n, n))
		}
	}
	return "MAP {" + strings.Join(pairs, ", ") + "}"
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
