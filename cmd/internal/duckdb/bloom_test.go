package duckdb_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a search reads is measured, not believed: the bytes that this process reads
// from files while DuckDB answers, footers included, with nothing kept from before.
func TestASearchForAMissingTraceIDReadsLessThanAThirdOfItsColumn(t *testing.T) {
	if _, err := readSoFar(); err != nil {
		t.Skipf("this system does not tell what a process reads: %v", err)
	}
	for _, kind := range []string{"app", "audit"} {
		t.Run(kind, func(t *testing.T) {
			files := filepath.Join(the.dir, "kind="+kind, "*", "*", "*.parquet")
			column := columnBytes(t, files, "trace_id")
			missing := reads(t, files, "trace_id", strings.Repeat("0123456789abcdef", 2), 0)
			if missing*3 >= column {
				t.Errorf("a missing trace id reads %d bytes of a column of %d", missing, column)
			}
			// A column without the filter is read, so the measure sees what is read.
			span := columnBytes(t, files, "span_id")
			read := reads(t, files, "span_id", strings.Repeat("0123456789abcdef", 1), 0)
			if read < span {
				t.Errorf("a missing span id reads %d bytes of a column of %d: the measure is wrong", read, span)
			}
			there := reads(t, files, "trace_id", "90a78b90bf9c88edd4dbedb95487afc4", map[string]int64{"app": 4, "audit": 2}[kind])
			t.Logf("trace_id has %d bytes: a missing one reads %d (%.0f %%), one that is there %d", column, missing, 100*float64(missing)/float64(column), there)
		})
	}
}

// columnBytes is what a column takes in all files, compressed.
func columnBytes(t *testing.T, files, column string) (n int64) {
	t.Helper()
	row := open(t).QueryRowContext(t.Context(), "SELECT sum(total_compressed_size)::BIGINT FROM parquet_metadata(?) WHERE path_in_schema = ?", files, column)
	if err := row.Scan(&n); err != nil || n < 256<<10 {
		t.Fatalf("column %s has %d bytes: %v", column, n, err)
	}
	return n
}

// reads is how many bytes are read to count the rows with a value, of which there
// have to be so many.
func reads(t *testing.T, files, column, value string, rows int64) int64 {
	t.Helper()
	db := open(t)
	// One thread does nothing in vain, and no file stays in memory.
	for _, s := range []string{"SET threads = 1", "SET enable_external_file_cache = false"} {
		must(t, db, s)
	}
	before, err := readSoFar()
	if err != nil {
		t.Fatal(err)
	}
	n, err := count(t, db, files, column, value)
	if err != nil {
		t.Fatal(err)
	}
	after, err := readSoFar()
	if err != nil {
		t.Fatal(err)
	}
	if n != rows {
		t.Errorf("%d rows with %s = %s, want %d", n, column, value, rows)
	}
	return after - before
}

func count(t *testing.T, db *sql.DB, files, column, value string) (n int64, err error) {
	err = db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT count(*) FROM read_parquet('%s') WHERE %s = '%s'", files, column, value)).Scan(&n)
	return n, err
}

// readSoFar is how many bytes this process has read, from whatever.
func readSoFar() (n int64, err error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fscanf(bytes.NewReader(text), "rchar: %d", &n)
	return n, err
}
