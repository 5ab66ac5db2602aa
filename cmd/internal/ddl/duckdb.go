package ddl

import (
	"fmt"
	"regexp"
	"strings"

	"tributary/sinks/lake"
)

var duckTypes = map[lake.Type]string{
	lake.Timestamp: "TIMESTAMP WITH TIME ZONE", lake.Text: "VARCHAR", lake.Integer: "INTEGER", lake.BigInt: "BIGINT",
	lake.Double: "DOUBLE", lake.Boolean: "BOOLEAN", lake.Binary: "BLOB", lake.Map: "MAP(VARCHAR, VARCHAR)",
}

// writeDuckDB writes one view per kind. Its first SELECT has no row: it gives each
// column order and type, also where no object has it yet.
func writeDuckDB(s *script, tables []table) error {
	s.f("-- DuckDB. A view needs an object to exist: leave out a kind that has none. For s3://\n" +
		"-- INSTALL httpfs; and CREATE SECRET (TYPE s3, PROVIDER credential_chain); first.\n")
	of := func(column, attribute string) string {
		return fmt.Sprintf("coalesce(%s, attributes[%s])", column, sql(attribute))
	}
	for i := range tables {
		t := &tables[i]
		var empty []string
		for _, c := range t.Columns {
			empty = append(empty, fmt.Sprintf("NULL::%s AS %s", duckTypes[c.Type], doubleQuoted(c.Name)))
		}
		columns, options := t.viewColumns(doubleQuoted, of), "hive_partitioning = false"
		if t.hive && len(t.columns) > 0 {
			options = fmt.Sprintf("hive_partitioning = true, hive_types = {%s}", strings.Join(names(t.columns, func(n string) string { return sql(n) + ": VARCHAR" }), ", "))
			for _, p := range t.columns {
				if !t.holds(p.name) {
					empty = append(empty, "NULL::VARCHAR AS "+doubleQuoted(p.name))
				}
			}
		} else {
			empty = append(empty, "NULL::VARCHAR AS filename")
			options += ", filename = true"
			columns = t.fromPath(of)
		}
		s.f("\nCREATE OR REPLACE VIEW %s AS\nSELECT %s\nFROM (\n  SELECT %s\n  WHERE false\n  UNION ALL BY NAME\n  SELECT *\n  FROM read_parquet(%s, union_by_name = true, %s)\n);\n",
			s.name(doubleQuoted, t.view), wrapped(columns), strings.ReplaceAll(wrapped(empty), "\n", "\n  "), sql(t.objects(s.Location)), options)
	}
	return nil
}

// fromPath are the columns of a view whose partitions the path of the file tells;
// DuckDB leaves out files by such expressions too.
func (t *table) fromPath(of func(column, attribute string) string) []string {
	columns := t.viewColumns(doubleQuoted, of)[:len(t.Columns)]
	group, seen := 0, map[string]int{}
	pattern := "/" + t.path(regexp.QuoteMeta, func(p partition) string {
		group++
		if _, ok := seen[p.name]; !ok {
			seen[p.name] = group
		}
		return "(" + p.pattern + ")"
	}) + "/[^/]*$"
	for _, p := range t.columns {
		if !t.holds(p.name) {
			columns = append(columns, fmt.Sprintf("regexp_extract(filename, %s, %d) AS %s", sql(pattern), seen[p.name], doubleQuoted(p.name)))
		}
	}
	return columns
}
