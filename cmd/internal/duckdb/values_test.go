package duckdb_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	duck "github.com/duckdb/duckdb-go/v2"

	"tributary/schema"
	"tributary/sinks/lake"
)

// checklist ticks off the events of a lake as their rows are read.
type checklist struct {
	w    written
	seen map[string][]bool // by sequence number, then index
	rows map[schema.Kind]int
}

func (w written) checklist() *checklist {
	c := &checklist{w, map[string][]bool{}, map[schema.Kind]int{}}
	for _, r := range w.records {
		c.seen[string(r.sequence)] = make([]bool, len(r.events))
	}
	return c
}

// row compares one that was read in the table of a kind.
func (c *checklist) row(t lake.Table, got map[string]any) error {
	sequence, _ := got["sequence"].(string)
	index, _ := got["index"].(int64)
	seen := c.seen[sequence]
	if index < 0 || int(index) >= len(seen) {
		return fmt.Errorf("there is no event %d of record %q", index, sequence)
	}
	if seen[index] {
		return fmt.Errorf("event %d of record %q is there twice", index, sequence)
	}
	seen[index] = true
	c.rows[t.Kind]++
	r := c.w.records[slices.IndexFunc(c.w.records, func(r record) bool { return string(r.sequence) == sequence })]
	e := r.events[index]
	if e.Kind != t.Kind {
		return fmt.Errorf("a line of kind %v is in the table of %v", e.Kind, t.Kind)
	}
	return same(t, r, e, c.w.config.Columns, got)
}

func (c *checklist) done(t *testing.T) {
	t.Helper()
	events := 0
	for sequence, seen := range c.seen {
		events += len(seen)
		if i := slices.Index(seen, false); i >= 0 {
			t.Errorf("event %d of record %s is not there", i, sequence)
		}
	}
	t.Logf("%d events, rows by kind: %v", events, c.rows)
	if w := c.w.records; len(w) == len(the.records) && (events != 200_000 || len(c.rows) != 3) {
		t.Errorf("%d events of %d kinds were compared, want 200,000 of 3", events, len(c.rows))
	}
}

func TestDuckDBReadsEveryValueOfEveryLine(t *testing.T) {
	t.Parallel()
	db, list := open(t), the.checklist()
	the.views(t, db)
	for _, table := range lake.Tables(the.config.Columns) {
		if got, want := columnsOf(t, db, table.Kind.String()), append(columnNames(table), "dt", "hour"); !slices.Equal(got, want) {
			t.Errorf("columns of %v: %v\nwant %v", table.Kind, got, want)
		}
		eachRow(t, db, "SELECT * FROM "+table.Kind.String(), byName(func(got map[string]any) {
			if when := got["time"].(time.Time); got["dt"] != when.Format(time.DateOnly) || got["hour"] != when.Format("15") {
				t.Fatalf("a row of %v lies in dt %v, hour %v", when, got["dt"], got["hour"])
			}
			if err := list.row(table, got); err != nil {
				t.Fatal(err)
			}
		}))
	}
	list.done(t)
}

// fromDuck makes of DuckDB's values those that expected has.
func fromDuck(v any) any {
	switch v := v.(type) {
	case int32:
		return int64(v)
	case time.Time:
		return v.UTC()
	case duck.OrderedMap:
		m := make(map[string]string, v.Len())
		for i, k := range v.Keys() {
			m[k.(string)] = v.Values()[i].(string)
		}
		if len(m) != v.Len() {
			return fmt.Sprintf("a map with a key twice: %v", v)
		}
		return m
	}
	return v
}

func columnNames(t lake.Table) (names []string) {
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	return names
}

func TestArrowReadsEveryValueOfEveryLine(t *testing.T) {
	t.Parallel()
	list := the.checklist()
	tables := map[string]lake.Table{}
	for _, table := range lake.Tables(the.config.Columns) {
		tables[table.Kind.String()] = table
	}
	for _, path := range the.objects(t) {
		_, kind, _ := strings.Cut(path, "kind=")
		kind, _, _ = strings.Cut(kind, "/")
		if err := readArrow(t, path, tables[kind], list); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	list.done(t)
}

var arrowTypes = map[lake.Type]arrow.DataType{
	lake.Timestamp: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, lake.Text: arrow.BinaryTypes.String,
	lake.Integer: arrow.PrimitiveTypes.Int32, lake.BigInt: arrow.PrimitiveTypes.Int64, lake.Double: arrow.PrimitiveTypes.Float64,
	lake.Boolean: arrow.FixedWidthTypes.Boolean, lake.Binary: arrow.BinaryTypes.Binary, lake.Map: arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.String),
}

func readArrow(t *testing.T, path string, table lake.Table, list *checklist) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := file.NewParquetReader(f, file.WithReadProps(parquet.NewReaderProperties(memory.DefaultAllocator)))
	if err != nil {
		return err
	}
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 4096}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	batches, err := fr.GetRecordReader(t.Context(), nil, nil)
	if err != nil {
		return err
	}
	defer batches.Release()
	for i, c := range table.Columns {
		field := batches.Schema().Field(i)
		if want := arrowTypes[c.Type]; field.Name != c.Name || field.Nullable == c.Required || field.Type.ID() != want.ID() ||
			c.Type != lake.Map && !arrow.TypeEqual(field.Type, want) {
			return fmt.Errorf("column %d is %v, want %s of type %v, required %v", i, field, c.Name, want, c.Required)
		}
	}
	if n := batches.Schema().NumFields(); n != len(table.Columns) {
		return fmt.Errorf("it has %d columns, want %d", n, len(table.Columns))
	}
	for batches.Next() {
		batch := batches.RecordBatch()
		for i := range int(batch.NumRows()) {
			got := make(map[string]any, len(table.Columns))
			for k, c := range table.Columns {
				got[c.Name] = fromArrow(batch.Column(k), i)
			}
			if err := list.row(table, got); err != nil {
				return err
			}
		}
	}
	return batches.Err()
}

// fromArrow makes of a value of Arrow that which expected has.
func fromArrow(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.String:
		return strings.Clone(a.Value(i))
	case *array.Binary:
		return slices.Clone(a.Value(i))
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(i))).UTC()
	case *array.Int32:
		return int64(a.Value(i))
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.Map:
		keys, values := a.Keys().(*array.String), a.Items().(*array.String)
		from, to := a.ValueOffsets(i)
		m := make(map[string]string, to-from)
		for k := int(from); k < int(to); k++ {
			m[strings.Clone(keys.Value(k))] = strings.Clone(values.Value(k))
		}
		if len(m) != int(to-from) {
			return fmt.Sprintf("a map with a key twice: %v", m)
		}
		return m
	}
	return fmt.Sprintf("a column of type %v", reflect.TypeOf(a))
}
