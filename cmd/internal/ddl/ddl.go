package ddl

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"tributary/sinks/lake"
)

// Lake says what lies where.
type Lake struct {
	Location string       // what comes before the template, as the engine names it: s3://bucket/prefix
	Template string       // lake.Config.Layout
	Tables   []lake.Table // what objects hold, by kind
	Database string       // of the tables and views; empty: what the engine's session is in
	Prefix   string       // of the names of tables and views
	Since    string       // the first day that engines which compute partitions look at, as 2026-01-01
	Services []string     // all there are, or none to have queries name theirs; matters where the template names {service}
}

// Engines are the names that Write knows.
func Engines() []string { return slices.Sorted(maps.Keys(writers)) }

var writers = map[string]func(*script, []table) error{
	"athena": writeAthena, "duckdb": writeDuckDB, "glue": writeGlue, "spark": writeSpark, "trino": writeTrino,
}

// table is one kind's, with its layout.
type table struct {
	lake.Table
	layout
	view, files string // names
	data        []lake.Column
}

// script is what Write makes.
type script struct {
	Lake
	strings.Builder
}

func (s *script) f(format string, args ...any) { fmt.Fprintf(s, format, args...) }

var identifier = regexp.MustCompile(`^[a-zA-Z0-9_]*$`)

// Write returns the definitions for an engine. The same lake gives the same text.
func Write(engine string, l Lake) (string, error) {
	write, ok := writers[engine]
	if !ok {
		return "", fmt.Errorf("engine is %q, want %s", engine, strings.Join(Engines(), ", "))
	}
	for what, name := range map[string]string{"database": l.Database, "table prefix": l.Prefix} {
		if !identifier.MatchString(name) {
			return "", fmt.Errorf("%s %q has other characters than letters, digits and underscores", what, name)
		}
	}
	if _, err := time.Parse(time.DateOnly, l.Since); err != nil {
		return "", fmt.Errorf("first day %q is no date such as 2026-01-01", l.Since)
	}
	l.Location = strings.TrimRight(l.Location, "/")
	if l.Location == "" {
		return "", errors.New("location is missing: name what comes before the template")
	}
	for _, s := range l.Services {
		if s == "" || strings.ContainsAny(s, ",'\\/ ") {
			return "", fmt.Errorf("service %q is not as a path has it", s)
		}
	}
	var tables []table
	for _, t := range l.Tables {
		made, err := l.table(t)
		if err != nil {
			return "", err
		}
		tables = append(tables, made)
	}
	s := &script{Lake: l}
	if err := write(s, tables); err != nil {
		return "", err
	}
	return s.String(), nil
}

// table finds which columns are read from files: an engine takes a service that
// stands in the path from there.
func (l Lake) table(t lake.Table) (table, error) {
	path, err := newLayout(l.Template, t.Kind)
	if err != nil {
		return table{}, err
	}
	out := table{Table: t, layout: path, view: l.Prefix + t.Kind.String(), files: l.Prefix + t.Kind.String() + "_files"}
	for _, c := range t.Columns {
		taken := slices.ContainsFunc(path.columns, func(p partition) bool { return strings.EqualFold(p.name, c.Name) })
		if !taken {
			out.data = append(out.data, c)
		} else if c.Name != "service" {
			return table{}, fmt.Errorf("template %q has a partition %q, which is the name of a column: give that folder another name", l.Template, c.Name)
		}
	}
	return out, nil
}

// name is that of a table or view with its database.
func (s *script) name(quote func(string) string, name string) string {
	if s.Database != "" {
		return quote(s.Database) + "." + quote(name)
	}
	return quote(name)
}

// viewColumns are those of a view in the order of the schema, partitions at the
// end. of makes an expression of a promoted column and its attribute.
func (t *table) viewColumns(quote func(string) string, of func(column, attribute string) string) []string {
	var out []string
	for _, c := range t.Columns {
		if e := quote(c.Name); c.Attribute != "" {
			out = append(out, of(e, c.Attribute)+" AS "+e)
		} else {
			out = append(out, e)
		}
	}
	for _, p := range t.columns {
		if !t.holds(p.name) {
			out = append(out, quote(p.name))
		}
	}
	return out
}

// holds reports whether rows have a column of that name.
func (t *table) holds(name string) bool {
	return slices.ContainsFunc(t.Columns, func(c lake.Column) bool { return strings.EqualFold(c.Name, name) })
}

// wrapped joins words with commas in lines of a width that reads well.
func wrapped(words []string) string {
	var b strings.Builder
	line := 0
	for i, w := range words {
		if i > 0 {
			b.WriteByte(',')
			line++
		}
		if i > 0 && line+len(w) > 100 {
			b.WriteString("\n  ")
			line = 0
		} else if i > 0 {
			b.WriteByte(' ')
			line++
		}
		b.WriteString(w)
		line += len(w)
	}
	return b.String()
}

// remark is a column's COMMENT, if it has any to make. Tools that cut a script at its
// semicolons look for them within quotes too.
func remark(comment string, quote func(string) string) string {
	if comment == "" {
		return ""
	}
	return " COMMENT " + quote(strings.ReplaceAll(comment, ";", ","))
}

// sql quotes a text as the standard does, hive as Hive and Spark do.
func sql(s string) string  { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
func hive(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }

func doubleQuoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func backQuoted(name string) string   { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
