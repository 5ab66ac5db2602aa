package duckdb_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tributary/schema"
	"tributary/schema/columns"
	"tributary/sinks/lake"
)

// expected is what the row of an event must hold, by column: nil, string, []byte,
// int64, float64, bool, time.Time or map[string]string. It is told from the line by
// encoding/json and from what the documentation of package columns promises, with
// nothing of the code that wrote the row. The shape is not in it: it is judged by
// what it is for, see rebuild.
func expected(r record, e schema.Event, m columns.Mapping) map[string]any {
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	row := map[string]any{
		"time": time.UnixMicro(floor(e.Time, 1000)).UTC(), "ingest_time": r.arrival, "service": e.Origin.Service,
		"container_id": text(e.Origin.ContainerID), "container_name": text(e.Origin.ContainerName), "source": text(e.Origin.Source),
		"host": text(e.Origin.Host), "tag": text(e.Origin.Tag), "incomplete": e.Flags == schema.FlagIncomplete,
		"shard": string(r.shard), "sequence": string(r.sequence), "index": int64(e.Index),
	}
	if e.Part.Number > 0 {
		row["part_line"], row["part_number"], row["part_count"] = fmt.Sprintf("%x", e.Part.Line), int64(e.Part.Number), int64(e.Part.Count)
	}
	attributes := map[string]string{}
	row["attributes"] = attributes
	line := bytes.ToValidUTF8(e.Line, []byte("\uFFFD"))
	tellable := utf8.Valid(e.Line)
	if e.Kind == schema.KindRaw || e.Part.Number > 0 || !isObject(line) {
		row["message"] = string(line)
	} else {
		all := leaves("", line, 0)
		lineCells(row, all, e.Kind, m)
		tellable = tellable && !slices.ContainsFunc(all, func(l leaf) bool { return l.halved })
	}
	if !tellable {
		row["line_bytes"] = e.Line
	}
	for _, l := range e.Origin.Labels { // the line's own names come first
		name := "label." + l.Name
		for _, taken := attributes[name]; taken; _, taken = attributes[name] {
			name += "~"
		}
		attributes[name] = l.Value
	}
	return row
}

// isObject reports whether a line is a JSON object and nothing else.
func isObject(line []byte) bool {
	return json.Valid(line) && bytes.HasPrefix(bytes.TrimLeft(line, " \t\r\n"), []byte("{"))
}

// leaf is a member of a line that is no object, with the names that lead to it.
type leaf struct {
	path   string
	raw    json.RawMessage
	text   string // of a string, or raw
	isText bool
	halved bool // half a surrogate pair is in the text
}

// nesting is how deep objects are taken apart.
const nesting = 8

// leaves are those of an object in their order, nulls too; of members with one name
// the last counts, in its place.
func leaves(prefix string, object []byte, depth int) (out []leaf) {
	var members []leaf
	dec := json.NewDecoder(bytes.NewReader(object))
	next := func() json.Token {
		tok, err := dec.Token()
		if err != nil {
			panic(fmt.Sprintf("%q: %v", object, err)) // it was valid before
		}
		return tok
	}
	next() // the brace
	for dec.More() {
		l := leaf{path: prefix + next().(string)}
		if err := dec.Decode(&l.raw); err != nil {
			panic(fmt.Sprintf("%q: %v", object, err))
		}
		members = slices.DeleteFunc(members, func(o leaf) bool { return o.path == l.path })
		members = append(members, l)
	}
	for _, l := range members {
		if l.raw[0] == '{' && depth < nesting {
			out = append(out, leaves(l.path+".", l.raw, depth+1)...)
			continue
		}
		l.text, l.isText = string(l.raw), l.raw[0] == '"'
		if l.isText {
			if err := json.Unmarshal(l.raw, &l.text); err != nil {
				panic(fmt.Sprintf("%q: %v", l.raw, err))
			}
			// It decodes to more replacement characters than stand in it.
			if n := strings.Count(l.text, "\uFFFD"); n > 0 {
				l.halved = n > strings.Count(strings.ToLower(string(l.raw)), `\ufffd`)+bytes.Count(l.raw, []byte("\uFFFD"))
			}
		}
		out = append(out, l)
	}
	return out
}

// lineCells fills in what the members of a line become.
func lineCells(row map[string]any, all []leaf, kind schema.Kind, m columns.Mapping) {
	attributes := row["attributes"].(map[string]string)
	names, used := make([]string, len(all)), map[string]bool{}
	for i, l := range all { // of two members with one path the later gets a tilde
		for names[i] = l.path; used[names[i]]; names[i] += "~" {
		}
		used[names[i]] = true
	}
	taken := map[int]string{}
	choose := func(column string, paths []string, lists bool) {
		best, rank := -1, len(paths)
		for i, l := range all {
			n := slices.Index(paths, l.path)
			if n < 0 || n >= rank || l.text == "null" && !l.isText || !lists && (l.raw[0] == '[' || l.raw[0] == '{') {
				continue
			}
			best, rank = i, n
		}
		if best >= 0 && taken[best] == "" {
			taken[best] = column
		}
	}
	for name, paths := range columnPaths(kind, m) {
		choose(name, paths, false)
	}
	for _, p := range m.Promote {
		choose(columns.PromotedName(p), []string{p}, true)
	}
	choose("time", schema.DefaultRules().TimeFields, false)
	choose("service", []string{"service"}, false)
	for i, l := range all {
		if l.text == "null" && !l.isText {
			continue
		}
		value, told := cell(taken[i], l, row)
		if value != nil {
			row[taken[i]] = value
		}
		if !told {
			attributes[names[i]] = l.text
		}
	}
}

// columnPaths are the paths that fill the columns of a kind; none is in two of them.
func columnPaths(kind schema.Kind, m columns.Mapping) map[string][]string {
	out := map[string][]string{
		"level": m.Level, "logger": m.Logger, "thread": m.Thread, "message": m.Message, "stack_trace": m.StackTrace,
		"trace_id": m.TraceID, "span_id": m.SpanID, "request_id": m.RequestID, "client_ip": m.ClientIP, "user_id": m.UserID,
	}
	if kind == schema.KindAudit {
		out["method"], out["path"], out["status"], out["duration_ms"] = m.Method, m.Path, m.Status, m.Duration
		out["request_body"], out["response_body"] = m.RequestBody, m.ResponseBody
	}
	return out
}

// cell is what a column makes of a leaf, or nil, and whether that and the shape tell
// the leaf, so that no attribute has to.
func cell(column string, l leaf, row map[string]any) (value any, told bool) {
	switch column {
	case "":
		return nil, false
	case "time":
		return nil, writes(row["time"].(time.Time), l.text)
	case "service":
		return nil, l.isText && l.text == row["service"]
	case "level":
		return level(l)
	case "status":
		n, err := strconv.ParseInt(l.text, 10, 32)
		if err != nil || strconv.FormatInt(n, 10) != l.text {
			return nil, false
		}
		return n, true
	case "duration_ms":
		f, err := strconv.ParseFloat(l.text, 64)
		if err != nil || strconv.FormatFloat(f, 'f', -1, 64) != l.text {
			return nil, false
		}
		return f, true
	}
	return l.text, true
}

func level(l leaf) (value any, told bool) {
	if l.text == "" || len(l.text) > 32 {
		return nil, false
	}
	if !l.isText {
		return l.text, true
	}
	upper := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, l.text)
	if upper == l.text {
		return upper, true
	}
	rest := l.text[1:]
	noCapital := !strings.ContainsFunc(rest, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	return upper, noCapital // behind a small letter too: then all are small
}

var dated = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)([Tt ])(\d\d:\d\d:\d\d)(?:([.,])(\d{1,9}))?([Zz]|[+-]\d\d(?::?\d\d)?)$`)

// writes reports whether a text is the time in one of the forms that a shape can
// name.
func writes(at time.Time, text string) bool {
	fraction := fmt.Sprintf("%09d", at.Nanosecond())
	if m := dated.FindStringSubmatch(text); m != nil {
		zone := strings.ReplaceAll(m[6], ":", "")
		if strings.EqualFold(zone, "z") {
			zone = "+0000"
		} else if len(zone) == 3 {
			zone += "00"
		}
		east, err := time.Parse("-0700", zone)
		if err != nil {
			return false
		}
		_, seconds := east.Zone()
		there := at.In(time.FixedZone("", seconds))
		return m[1] == there.Format(time.DateOnly) && m[3] == there.Format(time.TimeOnly) && m[5] == fraction[:len(m[5])]
	}
	whole, point, isFraction := strings.Cut(text, ".")
	if isFraction {
		return len(whole) <= 11 && len(point) > 0 && len(point) <= 9 && whole == fmt.Sprint(at.Unix()) && point == fraction[:len(point)]
	}
	return slices.Contains([]string{fmt.Sprint(at.Unix()), fmt.Sprint(at.UnixMilli()), fmt.Sprint(at.UnixMicro()), fmt.Sprint(at.UnixNano())}, text)
}

func floor(n, by int64) int64 {
	if n < 0 && n%by != 0 {
		return n/by - 1
	}
	return n / by
}

// same compares a row as somebody read it with what was put in. Numbers of all sizes
// are int64, what is null is nil or missing.
func same(t lake.Table, r record, e schema.Event, m columns.Mapping, got map[string]any) error {
	want := expected(r, e, m)
	for _, c := range t.Columns {
		if c.Name == "shape" {
			continue
		}
		if !reflect.DeepEqual(got[c.Name], want[c.Name]) {
			return fmt.Errorf("column %s is %#v\nwant %#v\nof the line %q", c.Name, got[c.Name], want[c.Name], e.Line)
		}
		delete(want, c.Name)
	}
	for name, v := range want {
		if v != nil {
			return fmt.Errorf("there is no column %s, want %#v of the line %q", name, v, e.Line)
		}
	}
	return rebuilds(e, got)
}

// rebuilds asks the cells for the line, and compares what it means.
func rebuilds(e schema.Event, got map[string]any) error {
	if got["line_bytes"] != nil {
		return nil
	}
	cells := columns.Cells{
		Time: got["time"].(time.Time).UnixMicro(),
		Column: func(name string) ([]byte, bool) {
			switch v := got[name].(type) {
			case nil:
				return nil, false
			case float64:
				return strconv.AppendFloat(nil, v, 'f', -1, 64), true
			default:
				return fmt.Append(nil, v), true
			}
		},
		Attribute: func(name string) ([]byte, bool) {
			v, there := got["attributes"].(map[string]string)[name]
			return []byte(v), there
		},
	}
	if s, ok := got["shape"].(string); ok {
		cells.Shape = []byte(s)
	}
	line, err := cells.Line()
	if err != nil {
		return fmt.Errorf("rebuild %q: %w", e.Line, err)
	}
	if bytes.Equal(line, e.Line) || cells.Shape != nil && reflect.DeepEqual(meaning(line), meaning(e.Line)) {
		return nil
	}
	return fmt.Errorf("rebuilt %q\nof      %q", line, e.Line)
}

// meaning is what a line says, numbers as they are written.
func meaning(line []byte) (v any) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	return v
}
