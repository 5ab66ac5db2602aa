package ddl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tributary/schema"
)

// A partition is a column whose value stands in the path.
type partition struct {
	name    string
	comment string
	format  string // Java's pattern of the time in it, or empty
	digits  int    // of a number, or 0: then it is a whole day, or no time
	low     int    // of a number
	high    int
	pattern string // what values look like, as a regular expression
}

// isDay reports whether the values are whole days.
func (p partition) isDay() bool { return p.format != "" && p.digits == 0 }

// injected reports whether nobody can tell the column's values but a query.
func (p partition) injected() bool { return p.format == "" }

// variables are those of a template, except {kind}.
var variables = map[string]partition{
	"date":    {name: "dt", comment: "day of the event in UTC, as 2026-11-22", format: "yyyy-MM-dd", pattern: `\d{4}-\d\d-\d\d`},
	"year":    {name: "year", comment: "year of the event in UTC", format: "yyyy", digits: 4, low: 2000, high: 2099, pattern: `\d{4}`},
	"month":   {name: "month", comment: "month of the event in UTC, two digits", format: "MM", digits: 2, low: 1, high: 12, pattern: `\d\d`},
	"day":     {name: "day", comment: "day of the month of the event in UTC, two digits", format: "dd", digits: 2, low: 1, high: 31, pattern: `\d\d`},
	"hour":    {name: "hour", comment: "hour of the event in UTC, two digits", format: "HH", digits: 2, low: 0, high: 23, pattern: `\d\d`},
	"service": {name: "service", comment: "who wrote the line, with %XX for what is no letter, digit, dot, minus or underscore", pattern: `[^/]*`},
}

// A piece of a path is a literal, or the value of a partition.
type piece struct {
	literal string
	column  *partition
}

// A layout is where the objects of one kind lie, below the lake's location.
type layout struct {
	pieces  []piece
	columns []partition
	// hive: each folder that has a column is key=value, and none without follows.
	hive bool
}

var (
	variable   = regexp.MustCompile(`\{(\w+)\}`)
	hiveFolder = regexp.MustCompile(`^([^={}]+)=\{(\w+)\}$`)
	// What Java's patterns of dates take as it stands.
	punctuation = regexp.MustCompile(`^[-_./]*$`)
)

// newLayout reads a template that the lake has accepted.
func newLayout(template string, kind schema.Kind) (layout, error) {
	l := layout{hive: true}
	for i, folder := range strings.Split(strings.ReplaceAll(template, "{kind}", kind.String()), "/") {
		if i > 0 {
			l.literal("/")
		}
		if m := hiveFolder.FindStringSubmatch(folder); m != nil {
			l.literal(m[1] + "=")
			l.value(m[2], m[1])
			continue
		}
		if variable.MatchString(folder) || len(l.columns) > 0 {
			l.hive = false
		}
		rest := 0
		for _, at := range variable.FindAllStringSubmatchIndex(folder, -1) {
			l.literal(folder[rest:at[0]])
			l.value(folder[at[2]:at[3]], "")
			rest = at[1]
		}
		l.literal(folder[rest:])
	}
	l.joinDates()
	return l, l.number(template)
}

func (l *layout) literal(s string) {
	if s == "" {
		return
	}
	if n := len(l.pieces); n > 0 && l.pieces[n-1].column == nil {
		l.pieces[n-1].literal += s
		return
	}
	l.pieces = append(l.pieces, piece{literal: s})
}

// value adds a variable, whose column has a name of its own when key is empty.
func (l *layout) value(name, key string) {
	p := variables[name]
	if key != "" {
		p.name = key
	}
	l.columns = append(l.columns, p)
	l.pieces = append(l.pieces, piece{column: &p})
}

// joinDates makes one column of {year}, {month} and {day} when only punctuation
// stands between them: a span of days is then one comparison.
func (l *layout) joinDates() {
	for i := range l.pieces {
		var between []string
		end := i
		for _, want := range []string{"year", "month", "day"} {
			if want != "year" {
				literal := ""
				if end < len(l.pieces) && l.pieces[end].column == nil {
					literal = l.pieces[end].literal
					end++
				}
				between = append(between, literal)
			}
			if end == len(l.pieces) || l.pieces[end].column == nil || l.pieces[end].column.name != want {
				end = -1
				break
			}
			end++
		}
		if end < 0 || !punctuation.MatchString(between[0]+between[1]) {
			continue
		}
		p := variables["date"]
		p.format = "yyyy" + between[0] + "MM" + between[1] + "dd"
		p.comment = "day of the event in UTC, as " + strings.NewReplacer("yyyy", "2026", "MM", "11", "dd", "22").Replace(p.format)
		p.pattern = `\d{4}` + regexp.QuoteMeta(between[0]) + `\d\d` + regexp.QuoteMeta(between[1]) + `\d\d`
		l.pieces = slices.Replace(l.pieces, i, end, piece{column: &p})
		return
	}
}

// number fills in the columns, each once, in the order of the path.
func (l *layout) number(template string) error {
	l.columns = nil
	for _, p := range l.pieces {
		if p.column == nil {
			continue
		}
		same := func(q partition) bool { return strings.EqualFold(q.name, p.column.name) }
		switch i := slices.IndexFunc(l.columns, same); {
		case i < 0:
			l.columns = append(l.columns, *p.column)
		case l.columns[i] != *p.column:
			return fmt.Errorf("template %q gives two meanings to the partition %q", template, p.column.name)
		}
	}
	return nil
}

// objects is a pattern of the objects' paths.
func (l *layout) objects(location string) string {
	return globbed(location) + "/" + l.path(globbed, func(p partition) string {
		return strings.Repeat("*/", strings.Count(p.format, "/")) + "*"
	}) + "/*.parquet"
}

// globbed makes of what patterns take for one of theirs a literal.
func globbed(s string) string { return special.ReplaceAllString(s, "[$0]") }

var special = regexp.MustCompile(`[*?\[]`)

// path renders the layout: column makes the text that stands for a partition.
func (l *layout) path(literal func(string) string, column func(partition) string) string {
	var b strings.Builder
	for _, p := range l.pieces {
		if p.column != nil {
			b.WriteString(column(*p.column))
		} else {
			b.WriteString(literal(p.literal))
		}
	}
	return b.String()
}

// root is the folders before the first partition, without a slash at the end.
func (l *layout) root() string {
	first := ""
	if len(l.pieces) > 0 {
		first = l.pieces[0].literal
	}
	if len(l.columns) == 0 {
		return first
	}
	return first[:max(0, strings.LastIndexByte(first, '/'))]
}

func asIs(s string) string { return s }
