package ddl

import (
	"cmp"
	"fmt"
	"strings"

	"tributary/sinks/lake"
)

var trinoTypes = map[lake.Type]string{
	// Hive's connector takes the precision it is configured to, which is this one
	// unless hive.timestamp-precision says MICROSECONDS.
	lake.Timestamp: "timestamp(3)",
	lake.Text:      "varchar", lake.Integer: "integer", lake.BigInt: "bigint", lake.Double: "double",
	lake.Boolean: "boolean", lake.Binary: "varbinary", lake.Map: "map(varchar, varchar)",
}

// writeTrino writes tables of the Hive connector.
func writeTrino(s *script, tables []table) error {
	s.f("-- Trino, Hive connector; USE a catalog of it first, --database is the schema. For times in microseconds set\n" +
		"-- hive.timestamp-precision = MICROSECONDS there and make timestamp(3) timestamp(6) here.\n")
	for _, t := range tables {
		if !t.hive && s.injects(tables) {
			s.f("-- Every query has to say which service it asks; --services a,b,c lifts that.\n")
			break
		}
	}
	for i := range tables {
		t := &tables[i]
		s.f("\nCREATE TABLE IF NOT EXISTS %s (\n", s.name(doubleQuoted, t.files))
		for i, c := range t.data {
			s.f("  %s %s%s%s\n", doubleQuoted(c.Name), trinoTypes[c.Type], remark(c.Comment, sql), comma(i, len(t.data)+len(t.columns)))
		}
		for i, p := range t.columns {
			projection := ""
			if !t.hive {
				projection = " WITH (" + s.trinoProjection(p) + ")"
			}
			s.f("  %s varchar%s%s%s\n", doubleQuoted(p.name), remark(p.comment, sql), projection, comma(i, len(t.columns)))
		}
		s.f(")\nWITH (\n  format = 'PARQUET',\n  external_location = %s", sql(s.root(t)))
		if len(t.columns) > 0 {
			s.f(",\n  partitioned_by = ARRAY[%s]", strings.Join(names(t.columns, sql), ", "))
		}
		if !t.hive {
			s.f(",\n  partition_projection_enabled = true,\n  partition_projection_location_template = %s", sql(s.projected(t)))
		}
		s.f("\n);\n")
		if t.hive && len(t.columns) > 0 {
			s.f("\n-- Again whenever new folders are to be seen, hourly for example.\n"+
				"CALL system.sync_partition_metadata(%s, %s, 'ADD');\n", sql(cmp.Or(s.Database, "default")), sql(t.files))
		}
		s.view("CREATE OR REPLACE VIEW", t, doubleQuoted, func(column, attribute string) string {
			return fmt.Sprintf("coalesce(%s, element_at(attributes, %s))", column, sql(attribute))
		})
	}
	return nil
}

// trinoProjection says what Athena's properties say, in Trino's words.
func (s *script) trinoProjection(p partition) string {
	const key = "partition_projection_"
	switch {
	case p.isDay():
		low, high := s.days(p)
		return fmt.Sprintf("%[1]stype = 'DATE', %[1]sformat = %[2]s, %[1]srange = ARRAY[%[3]s, %[4]s], %[1]sinterval = 1, %[1]sinterval_unit = 'DAYS'",
			key, sql(p.format), sql(low), sql(high))
	case p.digits > 0:
		return fmt.Sprintf("%[1]stype = 'INTEGER', %[1]srange = ARRAY['%[2]d', '%[3]d'], %[1]sdigits = %[4]d", key, p.low, p.high, p.digits)
	case len(s.Services) > 0:
		return fmt.Sprintf("%[1]stype = 'ENUM', %[1]svalues = ARRAY['%[2]s']", key, strings.Join(s.Services, "', '"))
	}
	return key + "type = 'INJECTED'"
}
