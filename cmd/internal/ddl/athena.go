package ddl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tributary/sinks/lake"
)

// hiveTypes are those of Athena, Glue and Spark.
var hiveTypes = map[lake.Type]string{
	lake.Timestamp: "timestamp", lake.Text: "string", lake.Integer: "int", lake.BigInt: "bigint",
	lake.Double: "double", lake.Boolean: "boolean", lake.Binary: "binary", lake.Map: "map<string,string>",
}

const injectedNote = `-- Every query has to say which service it asks ("service = 'order'"), because the path begins
-- with it and Athena cannot know the names; --services a,b,c tells them and lifts that.
`

func writeAthena(s *script, tables []table) error {
	s.f("-- Athena. Run one statement at a time. To change a table, drop it first: its files stay.\n")
	if s.injects(tables) {
		s.f(injectedNote)
	}
	for i := range tables {
		t := &tables[i]
		s.f("\nCREATE EXTERNAL TABLE IF NOT EXISTS %s (\n", s.name(backQuoted, t.files))
		for i, c := range t.data {
			s.f("  %s %s%s%s\n", backQuoted(c.Name), hiveTypes[c.Type], remark(c.Comment, hive), comma(i, len(t.data)))
		}
		s.f(")\n")
		if len(t.columns) > 0 {
			s.f("PARTITIONED BY (\n")
			for i, p := range t.columns {
				s.f("  %s string%s%s\n", backQuoted(p.name), remark(p.comment, hive), comma(i, len(t.columns)))
			}
			s.f(")\n")
		}
		s.f("STORED AS PARQUET\nLOCATION %s\nTBLPROPERTIES (\n", hive(s.root(t)))
		properties := s.properties(t)
		for i, p := range properties {
			s.f("  %s = %s%s\n", hive(p[0]), hive(p[1]), comma(i, len(properties)))
		}
		s.f(");\n")
		s.view("CREATE OR REPLACE VIEW", t, doubleQuoted, func(column, attribute string) string {
			return fmt.Sprintf("coalesce(%s, element_at(attributes, %s))", column, sql(attribute))
		})
	}
	return nil
}

// view writes a view over a table of files.
func (s *script) view(create string, t *table, quote func(string) string, of func(column, attribute string) string) {
	s.f("\n%s %s AS\nSELECT %s\nFROM %s;\n", create, s.name(quote, t.view), wrapped(t.viewColumns(quote, of)), s.name(quote, t.files))
}

// root is the folder that a table's files are below.
func (s *script) root(t *table) string {
	return strings.TrimRight(s.Location+"/"+t.layout.root(), "/") + "/"
}

// injects reports whether queries have to name a service.
func (s *script) injects(tables []table) bool {
	for _, t := range tables {
		for _, p := range t.columns {
			if p.injected() && len(s.Services) == 0 {
				return true
			}
		}
	}
	return false
}

// properties are a table's in Glue: its partitions are computed, so that no
// crawler is needed.
func (s *script) properties(t *table) [][2]string {
	out := [][2]string{{"classification", "parquet"}}
	if len(t.columns) == 0 {
		return out
	}
	out = append(out, [2]string{"projection.enabled", "true"})
	for _, p := range t.columns {
		add := func(key, value string) { out = append(out, [2]string{"projection." + p.name + "." + key, value}) }
		switch {
		case p.isDay():
			low, high := s.days(p)
			add("type", "date")
			add("format", p.format)
			add("range", low+","+high)
			add("interval", "1")
			add("interval.unit", "DAYS")
		case p.digits > 0:
			add("type", "integer")
			add("range", fmt.Sprintf("%d,%d", p.low, p.high))
			add("digits", strconv.Itoa(p.digits))
		case len(s.Services) > 0:
			add("type", "enum")
			add("values", strings.Join(s.Services, ","))
		default:
			add("type", "injected")
		}
	}
	return append(out, [2]string{"storage.location.template", s.projected(t)})
}

// days is the span of days that a query may look at. Events may be some minutes
// ahead of the clock, and so be in tomorrow's folder.
func (s *script) days(p partition) (low, high string) {
	year, rest, _ := strings.Cut(s.Since, "-")
	month, day, _ := strings.Cut(rest, "-")
	return strings.NewReplacer("yyyy", year, "MM", month, "dd", day).Replace(p.format), "NOW+1DAYS"
}

func (s *script) projected(t *table) string {
	return s.Location + "/" + t.path(asIs, func(p partition) string { return "${" + p.name + "}" }) + "/"
}

// glueInput and the rest are what "aws glue create-table --cli-input-json" takes.
type glueInput struct {
	DatabaseName string
	TableInput   glueTable
}

type glueColumn struct {
	Name    string
	Type    string
	Comment string `json:",omitempty"`
}

type glueTable struct {
	Name              string
	Description       string
	TableType         string
	Parameters        map[string]string
	PartitionKeys     []glueColumn `json:",omitempty"`
	StorageDescriptor glueStorage
}

type glueStorage struct {
	Columns      []glueColumn
	Location     string
	InputFormat  string
	OutputFormat string
	SerdeInfo    glueSerde
}

type glueSerde struct {
	SerializationLibrary string
	Parameters           map[string]string
}

// writeGlue writes the tables alone: Glue keeps views in Athena's own encoding.
func writeGlue(s *script, tables []table) error {
	var out []glueInput
	for i := range tables {
		t := &tables[i]
		g := glueTable{
			Name: t.files, Description: "lines of kind " + t.Kind.String() + ", written by tributary",
			TableType: "EXTERNAL_TABLE", Parameters: map[string]string{"EXTERNAL": "TRUE"},
			StorageDescriptor: glueStorage{
				Location:     s.root(t),
				InputFormat:  "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
				OutputFormat: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
				SerdeInfo: glueSerde{
					SerializationLibrary: "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
					Parameters:           map[string]string{"serialization.format": "1"},
				},
			},
		}
		for _, p := range s.properties(t) {
			g.Parameters[p[0]] = p[1]
		}
		for _, c := range t.data {
			g.StorageDescriptor.Columns = append(g.StorageDescriptor.Columns, glueColumn{c.Name, hiveTypes[c.Type], c.Comment})
		}
		for _, p := range t.columns {
			g.PartitionKeys = append(g.PartitionKeys, glueColumn{p.name, "string", p.comment})
		}
		out = append(out, glueInput{cmp.Or(s.Database, "default"), g})
	}
	enc := json.NewEncoder(s)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write tables: %w", err)
	}
	return nil
}

// comma is one unless the ith of n is the last.
func comma(i, n int) string {
	if i+1 < n {
		return ","
	}
	return ""
}
