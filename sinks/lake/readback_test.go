package lake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/schema"
	"tributary/schema/columns"
	"tributary/sinks/lake"
	"tributary/stream"
)

// rowRead is a row as a library that did not write it understands it. Text that
// is null is "<null>", so that it differs from empty text.
type rowRead struct {
	kind                               string // from the object's name
	time, ingest                       time.Time
	service, level                     string
	container, name, source, tag, host string
	incomplete                         bool
	partLine                           string
	partNumber, partCount              int64
	shard, sequence                    string
	index                              int64
	line                               string // put together again
	labels                             map[string]string
	verbatim                           bool // the line's bytes are there
}

const null = "<null>"

// readObject reads every row of an object with arrow-go.
func readObject(t testing.TB, key string, content []byte) []rowRead {
	t.Helper()
	table, err := pqarrow.ReadTable(t.Context(), bytes.NewReader(content), parquet.NewReaderProperties(memory.DefaultAllocator),
		pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	defer table.Release()
	_, kind, _ := strings.Cut(key, "kind=")
	kind, _, _ = strings.Cut(kind, "/")

	var rows []rowRead
	reader := array.NewTableReader(table, 0)
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		cells := map[string]arrow.Array{}
		for i, a := range batch.Columns() {
			cells[batch.ColumnName(i)] = a
		}
		column := func(name string) arrow.Array { return cells[name] }
		text := func(name string, i int) string {
			a := column(name).(*array.String)
			if a.IsNull(i) {
				return null
			}
			return strings.Clone(a.Value(i))
		}
		number := func(name string, i int) int64 {
			a := column(name).(*array.Int64)
			if a.IsNull(i) {
				return -1
			}
			return a.Value(i)
		}
		mapped := func(name string, i int) map[string]string {
			m := column(name).(*array.Map)
			keys, values := m.Keys().(*array.String), m.Items().(*array.String)
			from, to := m.ValueOffsets(i)
			out := map[string]string{}
			for k := from; k < to; k++ {
				out[strings.Clone(keys.Value(int(k)))] = strings.Clone(values.Value(int(k)))
			}
			if len(out) != int(to-from) {
				t.Fatalf("%s, row %d: a key of %s is there twice", key, i, name)
			}
			return out
		}
		instant := func(name string, i int) time.Time {
			a := column(name).(*array.Timestamp)
			if typ := a.DataType().(*arrow.TimestampType); typ.Unit != arrow.Microsecond || typ.TimeZone != "UTC" {
				t.Fatalf("%s: column %s is %v", key, name, typ)
			}
			return time.UnixMicro(int64(a.Value(i))).UTC()
		}
		for i := range int(batch.NumRows()) {
			r := rowRead{
				kind: kind, time: instant("time", i), ingest: instant("ingest_time", i),
				service: text("service", i), level: null, container: text("container_id", i),
				name: text("container_name", i), source: text("source", i), tag: text("tag", i), host: text("host", i),
				incomplete: column("incomplete").(*array.Boolean).Value(i),
				partLine:   text("part_line", i), partNumber: number("part_number", i), partCount: number("part_count", i),
				shard: text("shard", i), sequence: text("sequence", i), index: number("index", i),
				labels: map[string]string{},
			}
			attributes := mapped("attributes", i)
			for name, value := range attributes {
				if label, is := strings.CutPrefix(name, "label."); is {
					r.labels[label] = value
				}
			}
			if kind != "raw" {
				r.level = text("level", i)
			}
			if raw := column("line_bytes").(*array.Binary); raw.IsValid(i) {
				r.line, r.verbatim = string(raw.Value(i)), true
			} else {
				r.line = lineOf(t, cells, i, r.time, attributes)
			}
			rows = append(rows, r)
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// lineOf puts the line of a row together.
func lineOf(t testing.TB, table map[string]arrow.Array, i int, at time.Time, attributes map[string]string) string {
	t.Helper()
	cells := columns.Cells{
		Time: at.UnixMicro(),
		Column: func(name string) ([]byte, bool) {
			a := table[name]
			if a == nil || a.IsNull(i) {
				return nil, false
			}
			return []byte(a.ValueStr(i)), true
		},
		Attribute: func(name string) ([]byte, bool) { v, ok := attributes[name]; return []byte(v), ok },
	}
	if shape, ok := table["shape"].(*array.String); ok && shape.IsValid(i) {
		cells.Shape = []byte(shape.Value(i))
	}
	line, err := cells.Line()
	if err != nil {
		t.Fatalf("row %d: %v", i, err)
	}
	return string(line)
}

// readLake reads all objects and checks that each is sorted.
func readLake(t testing.TB, b *bucket) []rowRead {
	t.Helper()
	var all []rowRead
	for _, key := range b.keys() {
		if !strings.HasSuffix(key, ".parquet") {
			continue
		}
		rows := readObject(t, key, b.content(key))
		if !slices.IsSortedFunc(rows, func(a, b rowRead) int {
			if c := strings.Compare(a.service, b.service); c != 0 {
				return c
			}
			return a.time.Compare(b.time)
		}) {
			t.Errorf("%s is not sorted by service and time", key)
		}
		all = append(all, rows...)
	}
	return all
}

// want is what a row must hold, told from the event alone.
func want(b stream.Batch, e schema.Event) rowRead {
	or := func(s string) string {
		if s == "" {
			return null
		}
		return s
	}
	r := rowRead{
		kind: e.Kind.String(), time: time.Unix(0, e.Time).UTC().Truncate(time.Microsecond), ingest: b.Arrival,
		service: e.Origin.Service, level: null, container: or(e.Origin.ContainerID), name: or(e.Origin.ContainerName),
		source: or(e.Origin.Source), tag: or(e.Origin.Tag), host: or(e.Origin.Host),
		incomplete: e.Flags == schema.FlagIncomplete, partLine: null, partNumber: -1, partCount: -1,
		shard: string(shard), sequence: string(b.Sequence), index: int64(e.Index),
		line: string(e.Line), labels: map[string]string{}, verbatim: !utf8.Valid(e.Line),
	}
	if e.Part.Number > 0 {
		r.partLine, r.partNumber, r.partCount = fmt.Sprintf("%x", e.Part.Line), int64(e.Part.Number), int64(e.Part.Count)
	}
	for _, l := range e.Origin.Labels {
		r.labels[l.Name] = l.Value
	}
	var fields map[string]any
	if e.Kind != schema.KindRaw && e.Part.Number == 0 && json.Unmarshal(e.Line, &fields) == nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, e.Line); err != nil {
			panic(err)
		}
		r.line = compact.String()
		for _, f := range []string{"log_level", "severity", "level"} {
			if v, ok := fields[f]; ok {
				r.level = strings.ToUpper(fmt.Sprint(v))
			}
		}
	}
	return r
}

func compareRows(t testing.TB, got []rowRead, batches []stream.Batch) {
	t.Helper()
	byPlace := map[string]rowRead{}
	for _, r := range got {
		id := r.sequence + "/" + fmt.Sprint(r.index)
		if _, twice := byPlace[id]; twice {
			t.Errorf("event %s is there twice", id)
		}
		byPlace[id] = r
	}
	n := 0
	for _, b := range batches {
		for _, e := range b.Events {
			n++
			w := want(b, e)
			g, ok := byPlace[w.sequence+"/"+fmt.Sprint(w.index)]
			if !ok || !reflect.DeepEqual(g, w) {
				t.Fatalf("event %d of record %s (there: %v)\n got %#v\nwant %#v", e.Index, b.Sequence, ok, g, w)
			}
		}
	}
	if len(got) != n {
		t.Errorf("%d rows for %d events", len(got), n)
	}
}

func TestEveryValueIsReadBackByAnotherLibrary(t *testing.T) {
	b := newBucket()
	batches := traffic(10_000)
	reg := prometheus.NewRegistry()
	l, err := lake.New(config(), schema.DefaultRules(), b, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := flushAll(context.Background(), t, l, batches, rangeOf(1, len(batches))); err != nil {
		t.Fatal(err)
	}
	compareRows(t, readLake(t, b), batches)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"tributary_lake_objects_total": 9 /* 3 kinds, 3 hours */, "tributary_lake_rows_total": 10_000}
	for _, f := range families {
		if n, ok := want[f.GetName()]; ok && f.Metric[0].Counter.GetValue() == n {
			delete(want, f.GetName())
		}
	}
	if len(want) > 0 {
		t.Errorf("not counted: %v", want)
	}
}

// A range with more lines than may be in the clear is decoded piece by piece; rows on
// both sides of a cut keep their own values.
func TestARangeLargerThanTheEncodingBudgetIsEncodedInPieces(t *testing.T) {
	cfg, b := config(), newBucket()
	cfg.EncodeBytes = 16 << 20
	batches := traffic(9_000)
	for _, batch := range batches {
		for i := range batch.Events {
			if e := &batch.Events[i]; e.Kind == schema.KindRaw {
				e.Line = append(e.Line, fmt.Sprintf("%05d", i)+strings.Repeat(".", 5_000)...)
			}
		}
	}
	if err := flushAll(t.Context(), t, newLake(t, cfg, b), batches, rangeOf(1, len(batches))); err != nil {
		t.Fatal(err)
	}
	compareRows(t, readLake(t, b), batches)
}

func TestRowGroupsAndPagesAreCutByBytes(t *testing.T) {
	cfg, b := config(), newBucket()
	cfg.PageBytes, cfg.RowGroupBytes = 64<<10, 1<<20
	batches := traffic(1_000)
	for _, batch := range batches {
		for i := range batch.Events {
			batch.Events[i].Line = append(batch.Events[i].Line, strings.Repeat(" ", 12_000)...)
		}
	}
	if err := flushAll(t.Context(), t, newLake(t, cfg, b), batches, rangeOf(1, len(batches))); err != nil {
		t.Fatal(err)
	}
	compareRows(t, readLake(t, b), batches)
	for _, key := range b.keys()[1:] {
		f, err := file.NewParquetReader(bytes.NewReader(b.content(key)))
		if err != nil {
			t.Fatal(err)
		}
		// Some 111 lines of 12 kB in each object.
		if n := f.NumRowGroups(); n != 2 {
			t.Errorf("%s of %d rows has %d row groups, want one of 1 MiB and the rest", key, f.NumRows(), n)
		}
	}
}
