package lake

import (
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// layout describes the columns of format 1, in their order in the file. It is
// never filled: rows are written column by column. Kind is not among them, it is
// in the object's name.
//
// Dictionaries serve columns of few values. Columns of random text are PLAIN,
// because zstd at its fastest finds nothing in them once lengths and bytes are
// apart. The map comes last: what reads single columns never passes it.
type layout struct {
	Time          int64             `parquet:"time,timestamp(microsecond),delta"`        // the line's own time, or Docker's
	IngestTime    int64             `parquet:"ingest_time,timestamp(microsecond),delta"` // arrival of the record in the stream
	Service       string            `parquet:"service,dict"`
	Level         *string           `parquet:"level,optional,dict"` // upper case; app and audit lines that state one
	ContainerID   *string           `parquet:"container_id,optional,dict"`
	ContainerName *string           `parquet:"container_name,optional,dict"`
	Source        *string           `parquet:"source,optional,dict"` // stdout or stderr
	Tag           *string           `parquet:"tag,optional,dict"`
	Host          *string           `parquet:"host,optional,dict"`
	Incomplete    bool              `parquet:"incomplete"`               // pieces of the line are missing
	PartLine      *string           `parquet:"part_line,optional,plain"` // 32 hex digits shared by the parts of a line too long for a record
	PartNumber    *int64            `parquet:"part_number,optional"`     // from 1
	PartCount     *int64            `parquet:"part_count,optional"`
	Shard         string            `parquet:"shard,dict"`
	Sequence      string            `parquet:"sequence,dict"` // with shard and index the row's identity
	Index         int64             `parquet:"index,delta"`   // place in the record
	Line          *string           `parquet:"line,optional,plain"`
	LineBytes     []byte            `parquet:"line_bytes,optional,plain"` // instead of line where the bytes are not UTF-8
	Attributes    map[string]string `parquet:"attributes" parquet-key:",dict" parquet-value:",dict"`
}

// The columns by their index in the file.
const (
	colTime = iota
	colIngestTime
	colService
	colLevel
	colContainerID
	colContainerName
	colSource
	colTag
	colHost
	colIncomplete
	colPartLine
	colPartNumber
	colPartCount
	colShard
	colSequence
	colIndex
	colLine
	colLineBytes
	colAttributeKey
	colAttributeValue
	columnCount
)

var fileSchema = parquet.NewSchema("event", parquet.SchemaOf(layout{}))

// newCodec returns the compression, which keeps its compressors between objects.
// Each works in the caller's goroutine: objects of several shards are encoded at
// a time anyway.
func newCodec() *zstd.Codec { return &zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1} }

// minPage is the smallest page; below it the page's own header starts to count.
const minPage = 64 << 10

// newFile returns a writer of one object. pageBytes is the most a page may hold;
// lines is what will be written, so that small objects do not pay for buffers of
// large pages.
func newFile(out *objectBuffer, codec *zstd.Codec, pageBytes, lines int64) *parquet.GenericWriter[any] {
	return parquet.NewGenericWriter[any](out,
		fileSchema,
		// parquet-mr ignores statistics of writers whose name it cannot parse. The
		// version is that of the format, not of the program: a new build writes the
		// same bytes.
		parquet.CreatedBy("tributary", "1.0.0", "lake"),
		parquet.Compression(codec),
		parquet.PageBufferSize(int(max(minPage, min(pageBytes, 2*lines)))),
		// A dictionary without a bound turns into a copy of the column.
		parquet.DictionaryMaxBytes(1<<20),
		// Page headers would repeat the smallest and largest value, in full and
		// uncompressed, twice each: a line of a megabyte would cost five, and readers
		// refuse such headers. The page index tells the same in a few bytes.
		parquet.DataPageStatistics(false),
		parquet.SkipPageBounds("line"),
		parquet.SkipPageBounds("line_bytes"),
		parquet.SkipPageBounds("part_line"),
		parquet.SkipPageBounds("attributes", "key_value", "value"),
		// The writer sorts nothing; this only tells readers what partition.sort did.
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("service"), parquet.Ascending("time"))),
		parquet.WriteBufferSize(0),
	)
}

// objectBuffer is the object in memory.
type objectBuffer struct{ bytes []byte }

func (b *objectBuffer) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}
