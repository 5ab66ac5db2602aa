package duckdb_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tributary/cmd/internal/ddl"
	"tributary/deploy/local/fault"
	"tributary/deploy/local/s3"
	"tributary/schema"
	"tributary/sinks/lake"
	"tributary/stream"
)

// the is the lake that most tests look at: written once, never changed.
var the written

// written is a lake on disk and what was put into it.
type written struct {
	config  lake.Config
	dir     string // of the objects, what an engine calls the location
	records []record
}

// lines is how many of the generator's, and half as many in a hundred are odd ones.
const lines = 190_000

func TestMain(m *testing.M) {
	code, err := run(m)
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "tributary-duckdb-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	cfg := lake.DefaultConfig()
	cfg.Columns.Promote = promoted
	the, err = write(dir, cfg, traffic(lines))
	if err != nil {
		return 1, fmt.Errorf("write the lake: %w", err)
	}
	return m.Run(), nil
}

// write has a lake written through the S3 API, as a worker does, one range a shard.
func write(dir string, cfg lake.Config, records []record) (written, error) {
	return writePending(dir, cfg, "", records)
}

// writePending is write of ranges that have a plan already.
func writePending(dir string, cfg lake.Config, plan string, records []record) (w written, err error) {
	cfg.Bucket = "logs"
	w = written{cfg, filepath.Join(dir, "logs", cfg.Prefix), records}
	service, err := s3.Open(dir, &fault.Set{})
	if err != nil {
		return w, err
	}
	server, transport := httptest.NewServer(service), &http.Transport{}
	defer func() {
		server.Close()
		transport.CloseIdleConnections()
		if closed := service.Close(); err == nil {
			err = closed
		}
	}()
	ctx := context.Background()
	client := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:  &http.Client{Transport: transport},
	})
	var owned *types.BucketAlreadyOwnedByYou
	if _, err := client.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String(cfg.Bucket)}); err != nil && !errors.As(err, &owned) {
		return w, err
	}
	l, err := lake.New(cfg, schema.DefaultRules(), client, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return w, err
	}
	for _, shard := range shards {
		if err := flush(ctx, l, shard, cmp.Or(plan, l.Plan()), records); err != nil {
			return w, err
		}
	}
	return w, nil
}

// flush writes the records of one shard as one range.
func flush(ctx context.Context, l *lake.Lake, shard stream.ShardID, plan string, records []record) error {
	sink, err := l.Open(ctx, shard, plan)
	if err != nil {
		return err
	}
	var r stream.Range
	decoder := schema.NewDecoder()
	for _, rec := range records {
		if rec.shard != shard {
			continue
		}
		b, rejects, size := decoder.Decode(rec.data, rec.arrival)
		if len(rejects) > 0 {
			return fmt.Errorf("record %s is rejected: %s", rec.sequence, rejects[0].Reason)
		}
		if err := sink.Append(stream.Batch{
			Shard: shard, Sequence: rec.sequence, Arrival: rec.arrival, Epoch: b.Epoch, Lane: b.Lane,
			Events: b.Events, Record: rec.data, Bytes: size,
		}); err != nil {
			return err
		}
		if r.First == "" {
			r = stream.Range{Shard: shard, First: rec.sequence}
		}
		r.Last = rec.sequence
	}
	if r.First == "" {
		return nil
	}
	return sink.Flush(ctx, r)
}

// open returns a DuckDB whose times are UTC's.
func open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	db.SetMaxOpenConns(1)
	must(t, db, "SET TimeZone = 'UTC'")
	return db
}

func must(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%v in\n%s", err, statement)
	}
}

// views makes the views that "tributary lake ddl" prints for a lake.
func (w written) views(t testing.TB, db *sql.DB) {
	t.Helper()
	text, err := ddl.Write("duckdb", ddl.Lake{Location: w.dir, Template: w.config.Layout(), Tables: lake.Tables(w.config.Columns), Since: "2026-01-01"})
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, text)
}

// eachRow calls fn with the rows of an answer, in the values that expected has. The
// cells are good until the next call.
func eachRow(t testing.TB, db *sql.DB, query string, fn func(names []string, cells []any)) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%v in\n%s", err, query)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	cells, at := make([]any, len(names)), make([]any, len(names))
	for i := range cells {
		at[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		for i := range cells {
			cells[i] = fromDuck(cells[i])
		}
		fn(names, cells)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// byName makes of a row what expected is.
func byName(fn func(row map[string]any)) func(names []string, cells []any) {
	return func(names []string, cells []any) {
		row := make(map[string]any, len(names))
		for i, n := range names {
			row[n] = cells[i]
		}
		fn(row)
	}
}

// columnsOf are the names of a view's columns in their order.
func columnsOf(t testing.TB, db *sql.DB, view string) (names []string) {
	t.Helper()
	eachRow(t, db, "SELECT column_name FROM (DESCRIBE "+view+")", func(_ []string, cells []any) { names = append(names, cells[0].(string)) })
	return names
}

// objects are the files of the lake.
func (w written) objects(t testing.TB) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".parquet" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d objects below %s: %v", len(paths), w.dir, err)
	}
	return paths
}

// begin is when the first line was written, the date is the README's.
var begin = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
