package lake

import (
	"tributary/schema"
	"tributary/schema/columns"
)

// Type is what a column holds.
type Type uint8

// The types, as Parquet and most engines know them.
const (
	Timestamp Type = iota // microseconds, UTC
	Text
	Integer // 32 bits
	BigInt  // 64 bits
	Double
	Boolean
	Binary
	Map // of text to text
)

// Column describes a column to whoever makes tables for an engine.
type Column struct {
	Name     string
	Type     Type
	Required bool
	Comment  string
	// Attribute is the attribute that a promoted column was before it was promoted;
	// older objects still have it there.
	Attribute string
}

// Table is what the objects of one kind hold, in their order.
type Table struct {
	Kind    schema.Kind
	Columns []Column
}

// Tables describes the objects that a lake with this mapping writes.
func Tables(m columns.Mapping) []Table {
	var out []Table
	for _, k := range []schema.Kind{schema.KindApp, schema.KindAudit, schema.KindRaw} {
		t := Table{Kind: k}
		for _, c := range tableOf(k, m.Promote) {
			t.Columns = append(t.Columns, c.Column)
		}
		out = append(out, t)
	}
	return out
}

// column is a Column and how it is written.
type column struct {
	Column
	encoding string // of its values, as the Parquet library names it
	unbound  bool   // no smallest and largest value: they are long, or every page has about the same
	bloom    bool
	put      func(e *encoder, leaf int, c *cells)
}

// tableOf lists the columns of a kind's objects. Dictionaries serve columns of few
// values. Columns of random text are PLAIN, because zstd at its fastest finds nothing
// in them once lengths and bytes are apart. The map comes last: what reads single
// columns never passes it.
func tableOf(k schema.Kind, promote []string) []column {
	table := []column{
		required("time", Timestamp, "delta", "the line's own time, or Docker's", putTime),
		required("ingest_time", Timestamp, "delta", "when the stream received the line", putIngestTime),
		required("service", Text, "dict", "", putService),
	}
	for c := range columns.ID(columns.TextColumns) {
		if c == columns.RequestBody {
			table = append(table, numbers(k)...)
		}
		if c.Of(k) {
			table = append(table, textColumn(c, k))
		}
	}
	table = append(table, originColumns()...)
	table = append(table, placeColumns()...)
	table = append(table,
		optional("line_bytes", Binary, "plain", "the line itself, where the other columns cannot tell it: bytes that are not UTF-8", putLineBytes).unbounded(),
	)
	if k != schema.KindRaw {
		table = append(table, optional("shape", Text, "dict", "the line with its values taken out; null: the message is the line", putShape).unbounded())
		for i, path := range promote {
			c := optional(columns.PromotedName(path), Text, "dict", "promoted from "+path, putPromoted(i))
			c.Attribute = path
			table = append(table, c)
		}
	}
	return append(table,
		mapColumn("attributes", "everything else of the line, nested names with dots between; Docker's labels under label.…", putAttributes))
}

// oldTable lists the columns of format 1, which had the line in one piece, alike for
// all kinds. Pending ranges of that format are still written so.
func oldTable() []column {
	origin := originColumns()
	return concat(
		[]column{
			required("time", Timestamp, "delta", "", putTime),
			required("ingest_time", Timestamp, "delta", "", putIngestTime),
			required("service", Text, "dict", "", putService),
			textColumn(columns.Level, schema.KindApp),
			origin[0], origin[1], origin[2], origin[4], origin[3],
		},
		placeColumns(),
		[]column{
			optional("line", Text, "plain", "", putLine).unbounded(),
			optional("line_bytes", Binary, "plain", "", putLineBytes).unbounded(),
			mapColumn("attributes", "", putLabels),
		})
}

// numbers come between the texts of an audit line that are short and those that may
// be long.
func numbers(k schema.Kind) []column {
	if k != schema.KindAudit {
		return nil
	}
	return []column{
		optional("status", Integer, "dict", "HTTP status", putStatus),
		optional("duration_ms", Double, "dict", "", putDuration),
	}
}

func textColumn(c columns.ID, k schema.Kind) column {
	comments := [columns.TextColumns]string{
		columns.Level: "upper case", columns.Message: "of a line that is no JSON object, the line",
	}
	col := optional(c.String(), Text, "dict", comments[c], putText(c))
	switch c {
	case columns.TraceID:
		// A request writes some app lines and one audit line.
		if col.bloom = true; k == schema.KindAudit {
			col.encoding = "plain"
		}
	case columns.SpanID, columns.RequestID:
		col.encoding, col.unbound = "plain", true
	case columns.Message, columns.StackTrace, columns.RequestBody, columns.ResponseBody:
		col.encoding, col.unbound = "plain", true
	case columns.Level:
	default:
		col.unbound = true
	}
	return col
}

func originColumns() []column {
	list := []string{"container_id", "container_name", "source", "host", "tag"}
	comments := []string{"", "", "stdout or stderr", "the instance", "of the log driver"}
	out := make([]column, len(list))
	for i, name := range list {
		out[i] = optional(name, Text, "dict", comments[i], putOrigin(i)).unbounded()
	}
	return out
}

// placeColumns say what is missing of a line, and where it stood in the stream.
func placeColumns() []column {
	return []column{
		required("incomplete", Boolean, "", "pieces of the line are missing", putIncomplete),
		optional("part_line", Text, "plain", "shared by the parts of a line too long for a record", putPartLine).unbounded(),
		optional("part_number", BigInt, "", "from 1", putPartNumber),
		optional("part_count", BigInt, "", "", putPartCount),
		required("shard", Text, "dict", "", putShard).unbounded(),
		required("sequence", Text, "dict", "of the record; with shard and index the row's identity", putSequence),
		required("index", BigInt, "delta", "place in the record", putIndex),
	}
}

type putter = func(e *encoder, leaf int, c *cells)

func required(name string, t Type, encoding, comment string, put putter) column {
	return column{Column: Column{Name: name, Type: t, Required: true, Comment: comment}, encoding: encoding, put: put}
}

func optional(name string, t Type, encoding, comment string, put putter) column {
	return column{Column: Column{Name: name, Type: t, Comment: comment}, encoding: encoding, put: put}
}

func mapColumn(name, comment string, put putter) column {
	return column{Column: Column{Name: name, Type: Map, Required: true, Comment: comment}, put: put}
}

func (c column) unbounded() column {
	c.unbound = true
	return c
}

func concat(parts ...[]column) (all []column) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
