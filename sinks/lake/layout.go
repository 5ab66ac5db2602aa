package lake

import (
	"fmt"
	"reflect"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// layout is a table as the Parquet library wants it. It is immutable and shared by
// all encoders of a plan.
type layout struct {
	table   []column
	leaf    []int // of each column, the first of its columns in the file
	leaves  int
	entries int // leaf of the map's keys; the values come behind it
	schema  *parquet.Schema
	options []parquet.WriterOption
}

func newLayout(format int, table []column) *layout {
	l := &layout{table: table}
	fields := make([]reflect.StructField, 0, len(table))
	for i, c := range table {
		l.leaf = append(l.leaf, l.leaves)
		l.leaves++
		if c.Type == Map {
			l.entries = l.leaf[i]
			l.leaves++
		}
		fields = append(fields, c.field(i))
		switch {
		case c.Type == Map:
			l.options = append(l.options, parquet.SkipPageBounds(c.Name, "key_value", "key"), parquet.SkipPageBounds(c.Name, "key_value", "value"))
		case c.unbound:
			l.options = append(l.options, parquet.SkipPageBounds(c.Name))
		}
		if c.bloom {
			// Ten bits a value: one look-up in a hundred is in vain.
			l.options = append(l.options, parquet.BloomFilters(parquet.SplitBlockFilter(10, c.Name)))
		}
	}
	row := reflect.New(reflect.StructOf(fields)).Interface()
	l.schema = parquet.NewSchema("event", parquet.SchemaOf(row))
	// parquet-mr ignores statistics of writers whose name it cannot parse. The version
	// is that of the format, not of the program: a new build writes the same bytes.
	l.options = append(l.options, parquet.CreatedBy("tributary", fmt.Sprintf("%d.0.0", format), "lake"))
	return l
}

// field describes the column by a field of a struct that is never filled: the
// library keeps the order of fields, which it does not of groups made by hand.
func (c column) field(i int) reflect.StructField {
	name, typ := c.Name, reflect.Type(nil)
	switch c.Type {
	case Timestamp:
		name, typ = name+",timestamp(microsecond)", reflect.TypeFor[int64]()
	case BigInt:
		typ = reflect.TypeFor[int64]()
	case Integer:
		typ = reflect.TypeFor[int32]()
	case Double:
		typ = reflect.TypeFor[float64]()
	case Boolean:
		typ = reflect.TypeFor[bool]()
	case Text:
		typ = reflect.TypeFor[string]()
	case Binary:
		typ = reflect.TypeFor[[]byte]()
	case Map:
		typ = reflect.TypeFor[map[string]string]()
	}
	if !c.Required {
		name += ",optional"
	}
	if c.encoding != "" {
		name += "," + c.encoding
	}
	tag := fmt.Sprintf("parquet:%q", name)
	if c.Type == Map {
		tag += ` parquet-key:",dict" parquet-value:",dict"`
	}
	return reflect.StructField{Name: fmt.Sprintf("C%d", i), Type: typ, Tag: reflect.StructTag(tag)}
}

// newCodec returns the compression, which keeps its compressors between objects.
// Each works in the caller's goroutine: objects of several shards are encoded at
// a time anyway.
func newCodec() *zstd.Codec { return &zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1} }

// minPage is the smallest page; below it the page's own header starts to count.
const minPage = 64 << 10

// newFile returns a writer of one object. pageBytes is the most a page may hold;
// lines is what will be written, so that small objects do not pay for buffers of
// large pages.
func (l *layout) newFile(out *objectBuffer, codec *zstd.Codec, pageBytes, lines int64) *parquet.GenericWriter[any] {
	options := append([]parquet.WriterOption{
		l.schema,
		parquet.Compression(codec),
		parquet.PageBufferSize(int(max(minPage, min(pageBytes, 2*lines)))),
		// A dictionary without a bound turns into a copy of the column.
		parquet.DictionaryMaxBytes(1 << 20),
		// Page headers would repeat the smallest and largest value, in full and
		// uncompressed, twice each: a line of a megabyte would cost five, and readers
		// refuse such headers. The page index tells the same in a few bytes.
		parquet.DataPageStatistics(false),
		// The writer sorts nothing; this only tells readers what partition.sort did.
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("service"), parquet.Ascending("time"))),
		parquet.WriteBufferSize(0),
	}, l.options...)
	return parquet.NewGenericWriter[any](out, options...)
}

// objectBuffer is the object in memory.
type objectBuffer struct{ bytes []byte }

func (b *objectBuffer) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

// micros is a time as columns have it.
func micros(ns int64) int64 { return floorDiv(ns, int64(time.Microsecond)) }
