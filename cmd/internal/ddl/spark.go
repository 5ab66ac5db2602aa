package ddl

import (
	"fmt"
	"strings"
)

// writeSpark writes tables of the session's catalog. Where folders are not
// key=value Spark finds no partitions; then there are temporary views over a pattern.
func writeSpark(s *script, tables []table) error {
	s.f("-- Spark SQL. Outside EMR give --location s3a://...\n")
	for i := range tables {
		t := &tables[i]
		of := func(column, attribute string) string {
			return fmt.Sprintf("coalesce(%s, element_at(attributes, %s))", column, hive(attribute))
		}
		if !t.hive {
			s.sparkPattern(t, of)
			continue
		}
		s.f("\nCREATE TABLE IF NOT EXISTS %s (\n", s.name(backQuoted, t.files))
		s.sparkColumns(t)
		for i, p := range t.columns {
			s.f("  %s string%s%s\n", backQuoted(p.name), remark(p.comment, hive), comma(i, len(t.columns)))
		}
		s.f(")\nUSING PARQUET\n")
		if len(t.columns) > 0 {
			s.f("PARTITIONED BY (%s)\n", strings.Join(names(t.columns, backQuoted), ", "))
		}
		s.f("LOCATION %s;\n", hive(s.root(t)))
		if len(t.columns) > 0 {
			s.f("\n-- Again whenever new folders are to be seen, hourly for example.\nMSCK REPAIR TABLE %s;\n", s.name(backQuoted, t.files))
		}
		s.view("CREATE OR REPLACE VIEW", t, backQuoted, of)
	}
	return nil
}

func (s *script) sparkColumns(t *table) {
	for i, c := range t.data {
		s.f("  %s %s%s%s\n", backQuoted(c.Name), hiveTypes[c.Type], remark(c.Comment, hive), comma(i, len(t.data)+len(t.columns)))
	}
}

// sparkPattern makes a view over all files of a kind. Days and hours are told from the
// rows: what tells a file's path would keep Spark from pushing any filter down.
func (s *script) sparkPattern(t *table, of func(column, attribute string) string) {
	s.f("\n-- The folders are not key=value: every query lists them all.\nCREATE OR REPLACE TEMPORARY VIEW %s (\n", backQuoted(t.files))
	for i, c := range t.Columns {
		s.f("  %s %s%s%s\n", backQuoted(c.Name), hiveTypes[c.Type], remark(c.Comment, hive), comma(i, len(t.Columns)))
	}
	s.f(")\nUSING PARQUET\nOPTIONS (path %s);\n", hive(t.objects(s.Location)))
	columns := t.viewColumns(backQuoted, of)[:len(t.Columns)]
	for _, p := range t.columns {
		if !t.holds(p.name) {
			columns = append(columns, fmt.Sprintf("date_format(to_utc_timestamp(`time`, current_timezone()), %s) AS %s", hive(p.format), backQuoted(p.name)))
		}
	}
	s.f("\nCREATE OR REPLACE TEMPORARY VIEW %s AS\nSELECT %s\nFROM %s;\n", backQuoted(t.view), wrapped(columns), backQuoted(t.files))
}

func names(columns []partition, quote func(string) string) (out []string) {
	for _, p := range columns {
		out = append(out, quote(p.name))
	}
	return out
}
