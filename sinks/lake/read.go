package lake

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"tributary/schema"
	"tributary/schema/columns"
	"tributary/stream"
)

// Row is an event that was read, and where it stood in the stream.
type Row struct {
	schema.Event
	reader *rowReader
}

// Place is that of the event's record, and of the event in it.
func (r *Row) Place() (stream.ShardID, stream.SequenceNumber, uint32, error) {
	index, err := strconv.ParseUint(string(r.reader.cell("index")), 10, 32)
	if err != nil {
		return "", "", 0, fmt.Errorf("column index: %w", err)
	}
	return stream.ShardID(r.reader.cell("shard")), stream.SequenceNumber(r.reader.cell("sequence")), uint32(index), nil
}

// Arrival is when the event's record arrived in the stream.
func (r *Row) Arrival() (time.Time, error) {
	micros, err := strconv.ParseInt(string(r.reader.cell("ingest_time")), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("column ingest_time: %w", err)
	}
	return time.UnixMicro(micros).UTC(), nil
}

// Read calls each with every row of an object of any format, in their order, until it
// returns an error. The row, its line included, is the reader's until each returns;
// its origin may be kept. A line is equal to the one that was
// written, see package schema/columns. Without a kind that of its columns counts; those of format 1 tell
// none.
//
// Of an object that is corrupt it calls each for the rows before the fault. A page of
// each column is in memory at a time.
func Read(object io.ReaderAt, size int64, kind schema.Kind, each func(*Row) error) error {
	tail := make([]byte, min(size, trailerBytes))
	if _, err := object.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return fmt.Errorf("read its end: %w", err)
	}
	// The library makes room for whatever a footer is said to be.
	if n, err := footerBytes(tail); err != nil {
		return err
	} else if n > min(size, maxFooter) {
		return fmt.Errorf("its footer would have %d of its %d bytes", n, size)
	}
	var file *parquet.File
	err := guarded(func() (err error) {
		file, err = parquet.OpenFile(object, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBuffer))
		return err
	})
	if err != nil {
		return fmt.Errorf("open Parquet: %w", err)
	}
	r, err := newRowReader(file, kind)
	if err != nil {
		return err
	}
	for i, group := range file.RowGroups() {
		if err := r.group(group, each); err != nil {
			return fmt.Errorf("row group %d: %w", i, err)
		}
	}
	return nil
}

// guarded calls the Parquet library, which trusts what it reads: of a corrupt object
// it may panic.
func guarded(call func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("it is corrupt: %v", fault)
		}
	}()
	return call()
}

// CountRows reads from the last bytes of an object how many rows it has, and how many
// bytes before compression. It fails if the footer is longer than that.
func CountRows(tail []byte, size int64) (rows, bytes int64, err error) {
	n, err := footerBytes(tail)
	if err != nil {
		return 0, 0, err
	}
	if n > int64(len(tail)) {
		return 0, 0, fmt.Errorf("its footer has %d bytes", n)
	}
	var file *parquet.File
	err = guarded(func() (err error) {
		file, err = parquet.OpenFile(&tailReader{tail, size}, size, parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read footer: %w", err)
	}
	for _, g := range file.Metadata().RowGroups {
		bytes += g.TotalByteSize
	}
	return file.NumRows(), bytes, nil
}

const (
	// readBuffer is one for each column.
	readBuffer = 64 << 10
	// readRows are taken from the columns at a time.
	readRows = 32
	// maxOriginsKnown bounds how many origins are remembered.
	maxOriginsKnown = 1024
)

// rowReader makes events of rows. It lives for one object.
type rowReader struct {
	kind   schema.Kind
	leaves map[string]int
	old    bool // format 1: the line is a column
	keys   int  // leaf of the map's keys, the values come behind it; -1: none
	single [][]byte
	buffer []byte // what single holds of numbers

	attributes map[string][]byte
	used       map[string]bool // attributes that are the line's
	origins    map[string]*schema.Origin
	name       []byte // of the origin at hand
}

func newRowReader(file *parquet.File, kind schema.Kind) (*rowReader, error) {
	r := &rowReader{kind: kind, leaves: map[string]int{}, keys: -1, attributes: map[string][]byte{}, used: map[string]bool{}, origins: map[string]*schema.Origin{}}
	leaves := leavesOf(file.Root(), "", nil)
	for i, l := range leaves {
		r.leaves[l.path] = i
		if l.path == "attributes.key_value.key" {
			r.keys = i
		}
	}
	for _, name := range []string{"time", "service"} {
		if _, there := r.leaves[name]; !there {
			return nil, fmt.Errorf("it has no column %s: no lake of ours has written it", name)
		}
	}
	_, r.old = r.leaves["line"]
	_, message := r.leaves[columns.Message.String()]
	if !r.old && !message {
		return nil, errors.New("it has neither column line nor message: no lake of ours has written it")
	}
	if r.kind == schema.KindUnset && !r.old { // whose columns are alike
		r.kind = kindOf(r.leaves)
	}
	r.single = make([][]byte, len(leaves))
	return r, nil
}

// kindOf tells the kind from the columns that only its objects have.
func kindOf(leaves map[string]int) schema.Kind {
	if _, audit := leaves[columns.Status.String()]; audit {
		return schema.KindAudit
	}
	if _, app := leaves["shape"]; app {
		return schema.KindApp
	}
	return schema.KindRaw
}

func (r *rowReader) group(g parquet.RowGroup, each func(*Row) error) (err error) {
	var rows parquet.Rows
	if err := guarded(func() error { rows = g.Rows(); return nil }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guarded(rows.Close)) }()
	buffer := make([]parquet.Row, readRows)
	for number := int64(0); ; {
		var n int
		err := guarded(func() (err error) { n, err = rows.ReadRows(buffer); return err })
		for _, row := range buffer[:n] {
			event, err := r.event(row)
			if err != nil {
				return fmt.Errorf("row %d: %w", number, err)
			}
			if err := each(&Row{event, r}); err != nil {
				return err
			}
			number++
		}
		switch {
		case err != nil && err != io.EOF:
			return fmt.Errorf("row %d: %w", number, err)
		case err == io.EOF, n == 0:
			if number != g.NumRows() {
				return fmt.Errorf("it ends after %d of %d rows", number, g.NumRows())
			}
			return nil
		}
	}
}

// event makes that of a row.
func (r *rowReader) event(row parquet.Row) (e schema.Event, err error) {
	r.take(row)
	micros, err := strconv.ParseInt(string(r.cell("time")), 10, 64)
	if err != nil {
		return e, fmt.Errorf("column time: %w", err)
	}
	e.Time, e.Kind = micros*int64(time.Microsecond), r.kind
	if string(r.cell("incomplete")) == "true" {
		e.Flags |= schema.FlagIncomplete
	}
	if e.Part, err = r.part(); err != nil {
		return e, err
	}
	if e.Line, err = r.line(micros); err != nil {
		return e, err
	}
	e.Origin = r.origin()
	return e, nil
}

// take sorts the values of a row by their columns.
func (r *rowReader) take(row parquet.Row) {
	clear(r.single)
	clear(r.attributes)
	clear(r.used)
	r.buffer = r.buffer[:0]
	var names [][]byte
	at := 0
	for _, v := range row {
		leaf := v.Column()
		switch {
		case v.IsNull():
		case leaf == r.keys:
			names = append(names, v.ByteArray())
		case r.keys >= 0 && leaf == r.keys+1:
			if at < len(names) {
				r.attributes[string(names[at])] = v.ByteArray()
				at++
			}
		case leaf < len(r.single):
			r.single[leaf] = r.text(v)
		}
	}
}

// text is a value as Cells want it.
func (r *rowReader) text(v parquet.Value) []byte {
	from := len(r.buffer)
	switch v.Kind() {
	case parquet.Boolean:
		r.buffer = strconv.AppendBool(r.buffer, v.Boolean())
	case parquet.Int32:
		r.buffer = strconv.AppendInt(r.buffer, int64(v.Int32()), 10)
	case parquet.Int64:
		r.buffer = strconv.AppendInt(r.buffer, v.Int64(), 10)
	case parquet.Double:
		r.buffer = strconv.AppendFloat(r.buffer, v.Double(), 'f', -1, 64)
	default:
		return v.ByteArray()
	}
	return r.buffer[from:len(r.buffer):len(r.buffer)]
}

// cell is nil for null and for a column that the object has not.
func (r *rowReader) cell(name string) []byte {
	leaf, there := r.leaves[name]
	if !there {
		return nil
	}
	return r.single[leaf]
}

func (r *rowReader) has(name string) ([]byte, bool) {
	c := r.cell(name)
	return c, c != nil
}

func (r *rowReader) part() (p schema.Part, err error) {
	line, there := r.has("part_line")
	if !there {
		return p, nil
	}
	number, numberErr := strconv.ParseUint(string(r.cell("part_number")), 10, 32)
	count, countErr := strconv.ParseUint(string(r.cell("part_count")), 10, 32)
	id, idErr := hex.DecodeString(string(line))
	if err := errors.Join(numberErr, countErr, idErr); err != nil {
		return p, fmt.Errorf("columns part_…: %w", err)
	}
	if len(id) != len(p.Line) || number == 0 || number > count {
		return p, fmt.Errorf("columns part_…: part %d of %d of line %q", number, count, line)
	}
	p.Number, p.Count = uint32(number), uint32(count)
	copy(p.Line[:], id)
	return p, nil
}

// line puts the line together and notes which attributes are its own.
func (r *rowReader) line(micros int64) ([]byte, error) {
	verbatim, kept := r.has("line_bytes")
	if r.old {
		line, there := r.has("line")
		if !kept && !there {
			return nil, errors.New("it has no line")
		}
		if kept {
			line = verbatim
		}
		return line, nil
	}
	cells := columns.Cells{Time: micros, Column: r.has, Attribute: func(name string) ([]byte, bool) {
		v, there := r.attributes[name]
		r.used[name] = r.used[name] || there
		return v, there
	}}
	cells.Shape = r.cell("shape")
	line, err := cells.Line()
	if kept {
		return verbatim, nil // the cells are only what could be told of it
	}
	return line, err
}

// origin is who wrote the line; rows of one container share it.
func (r *rowReader) origin() *schema.Origin {
	r.name = r.name[:0]
	for _, column := range []string{"service", "container_id", "container_name", "source", "host", "tag"} {
		r.name = append(append(r.name, r.cell(column)...), 0)
	}
	labels := make([]schema.Label, 0, 8)
	for name, value := range r.attributes {
		if label, is := r.label(name); is {
			labels = append(labels, schema.Label{Name: label, Value: string(value)})
		}
	}
	labels = uniqueLabels(labels)
	for _, l := range labels {
		r.name = append(append(append(append(r.name, l.Name...), 0), l.Value...), 0)
	}
	if o := r.origins[string(r.name)]; o != nil {
		return o
	}
	if len(r.origins) == maxOriginsKnown {
		clear(r.origins)
	}
	o := &schema.Origin{
		Service: string(r.cell("service")), ContainerID: string(r.cell("container_id")), ContainerName: string(r.cell("container_name")),
		Source: string(r.cell("source")), Host: string(r.cell("host")), Tag: string(r.cell("tag")), Labels: labels,
	}
	r.origins[string(r.name)] = o
	return o
}

// label tells a label among the attributes. Where the line has an attribute of its
// name it was written with tildes.
func (r *rowReader) label(attribute string) (string, bool) {
	if r.old {
		return attribute, true
	}
	if r.used[attribute] {
		return "", false
	}
	name, is := strings.CutPrefix(attribute, "label.")
	for is && strings.HasSuffix(name, "~") && r.used["label."+name[:len(name)-1]] {
		name = name[:len(name)-1]
	}
	return name, is
}

// RangesFolder is where manifests lie below the lake's prefix.
const RangesFolder = rangesFolder

// ManifestOf is the key of the manifest of the range that has written an object, in
// the lake under prefix (empty, or with a slash at its end). It is false of an object
// that no range has written.
func ManifestOf(prefix, key string) (string, bool) {
	text, first, generation, ok := parseName(path.Base(key), ".parquet")
	shard, dashed := strings.CutSuffix(text, "-")
	if !ok || !dashed || shard == "" {
		return "", false
	}
	// Kinesis' names of shards are path segments as they are.
	r := stream.Range{Shard: stream.ShardID(shard), First: first, Generation: generation}
	return (&layoutPlan{prefix: prefix}).manifestKey(r), true
}

// MaxManifest is the longest text that ReadNames is made for.
const MaxManifest = maxManifest

// Named is what a manifest says of an object.
type Named struct {
	Bytes  int64
	SHA256 string // in hex; empty: not known
}

// ReadNames reads from a manifest's text the objects of its range, by their keys.
func ReadNames(text []byte) (map[string]Named, error) {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.Format < 1 || m.Format > formatVersion {
		return nil, fmt.Errorf("read manifest: it has format %d, this build reads up to %d: use a newer one", m.Format, formatVersion)
	}
	objects := make(map[string]Named, len(m.Objects))
	for _, o := range m.Objects {
		objects[o.Key] = Named{o.Bytes, o.SHA256}
	}
	return objects, nil
}
