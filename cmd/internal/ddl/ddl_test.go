package ddl_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/cmd/internal/ddl"
	"tributary/schema"
	"tributary/schema/columns"
	"tributary/sinks/lake"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	hourly = "kind={kind}/dt={date}/hour={hour}"
	shops  = "applications/{service}/{kind}/{year}/{month}/{day}/{hour}"
)

func tables(promote ...string) []lake.Table {
	m := columns.DefaultMapping()
	m.Promote = promote
	return lake.Tables(m)
}

func defaults(template string) ddl.Lake {
	return ddl.Lake{Location: "s3://logs/lake", Template: template, Tables: tables(), Since: "2026-01-01"}
}

func write(t *testing.T, engine string, l ddl.Lake) string {
	t.Helper()
	text, err := ddl.Write(engine, l)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDefinitionsAreAsTheGoldenFilesSay(t *testing.T) {
	promoted := defaults(hourly)
	promoted.Tables, promoted.Prefix, promoted.Database = tables("tenant", "mdc.Order-Id"), "shop_", "logs"
	known := defaults(shops)
	known.Services = []string{"order", "cart"}
	for name, l := range map[string]ddl.Lake{"hourly": defaults(hourly), "promoted": promoted, "shops": known} {
		for _, engine := range ddl.Engines() {
			path := filepath.Join("testdata", name+"."+engine)
			got := write(t, engine, l)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s changed; got\n%s", path, got)
			}
		}
	}
}

// types are Athena's, written down apart from the generator's table.
var types = map[lake.Type]string{
	lake.Timestamp: "timestamp", lake.Text: "string", lake.Integer: "int", lake.BigInt: "bigint", lake.Double: "double",
	lake.Boolean: "boolean", lake.Binary: "binary", lake.Map: "map<string,string>",
}

var (
	createTable = regexp.MustCompile("(?s)CREATE EXTERNAL TABLE IF NOT EXISTS `(\\w+)` \\(\n(.*?)\n\\)\n(?:PARTITIONED BY \\(\n(.*?)\n\\)\n)?STORED AS PARQUET\nLOCATION '(.*?)'\nTBLPROPERTIES \\(\n(.*?)\n\\);")
	columnLine  = regexp.MustCompile("^  `(\\w+)` ([a-z<>,]+)(?: COMMENT '(.*)')?$")
	property    = regexp.MustCompile(`^  '([^']+)' = '([^']*)'$`)
)

// athena is a table as a reader of the statement understands it.
type athena struct {
	columns    [][2]string // name and type
	partitions [][2]string
	location   string
	properties map[string]string
}

func readAthena(t *testing.T, text string) map[string]athena {
	t.Helper()
	out := map[string]athena{}
	for _, m := range createTable.FindAllStringSubmatch(text, -1) {
		a := athena{location: m[4], properties: map[string]string{}}
		read := func(block string, with func([]string), line *regexp.Regexp) {
			for l := range strings.SplitSeq(block, ",\n") {
				f := line.FindStringSubmatch(l)
				if f == nil {
					t.Fatalf("%s: %q is not understood", m[1], l)
				}
				with(f)
			}
		}
		read(m[2], func(f []string) { a.columns = append(a.columns, [2]string{f[1], f[2]}) }, columnLine)
		if m[3] != "" {
			read(m[3], func(f []string) { a.partitions = append(a.partitions, [2]string{f[1], f[2]}) }, columnLine)
		}
		read(m[5], func(f []string) { a.properties[f[1]] = f[2] }, property)
		out[m[1]] = a
	}
	return out
}

func TestAthenaHasEachColumnOnceWithItsTypeAndPartitionsApart(t *testing.T) {
	for _, template := range []string{hourly, shops, "{kind}/service={service}/{date}", "{kind}", "logs/{kind}/year={year}/m={month}/{day}-{hour}"} {
		l := defaults(template)
		l.Tables = tables("tenant")
		got := readAthena(t, write(t, "athena", l))
		if len(got) != 3 {
			t.Fatalf("%s: %d tables, want one a kind", template, len(got))
		}
		for _, want := range l.Tables {
			a := got[want.Kind.String()+"_files"]
			var columns [][2]string
			for _, c := range want.Columns {
				if c.Name != "service" || !strings.Contains(template, "{service}") {
					columns = append(columns, [2]string{c.Name, types[c.Type]})
				}
			}
			if !slices.Equal(a.columns, columns) {
				t.Errorf("%s: columns %v\nwant %v", template, a.columns, columns)
			}
			for _, p := range a.partitions {
				if slices.ContainsFunc(a.columns, func(c [2]string) bool { return c[0] == p[0] }) || p[1] != "string" {
					t.Errorf("%s: partition %v beside columns %v", template, p, a.columns)
				}
				if a.properties["projection."+p[0]+".type"] == "" || !strings.Contains(a.properties["storage.location.template"], "${"+p[0]+"}") {
					t.Errorf("%s: partition %s has no projection in %v", template, p[0], a.properties)
				}
			}
			if n := strings.Count(a.properties["storage.location.template"], "${"); n != len(a.partitions) {
				t.Errorf("%s: %d values in %q", template, n, a.properties["storage.location.template"])
			}
			if !strings.HasPrefix(a.properties["storage.location.template"]+"/", strings.TrimSuffix(a.location, "/")) && len(a.partitions) > 0 {
				t.Errorf("%s: %q is not in %q", template, a.properties["storage.location.template"], a.location)
			}
		}
	}
}

func TestPartitionsFollowTheTemplate(t *testing.T) {
	for _, c := range []struct{ name, template, location, paths, projections string }{
		{"as it comes", hourly, "s3://logs/lake/kind=app/", "s3://logs/lake/kind=app/dt=${dt}/hour=${hour}/", "dt=date yyyy-MM-dd 2026-01-01,NOW+1DAYS; hour=integer 0,23 2"},
		{"a date in three folders", shops, "s3://logs/lake/applications/", "s3://logs/lake/applications/${service}/app/${dt}/${hour}/",
			"service=injected; dt=date yyyy/MM/dd 2026/01/01,NOW+1DAYS; hour=integer 0,23 2"},
		{"a date in one folder", "{kind}/{year}{month}{day}", "s3://logs/lake/app/", "s3://logs/lake/app/${dt}/", "dt=date yyyyMMdd 20260101,NOW+1DAYS"},
		{"folders of keys", "{kind}/year={year}/month={month}/day={day}", "s3://logs/lake/app/", "s3://logs/lake/app/year=${year}/month=${month}/day=${day}/",
			"year=integer 2000,2099 4; month=integer 1,12 2; day=integer 1,31 2"},
		{"words between", "{kind}/{year}-m{month}-{day}", "s3://logs/lake/app/", "s3://logs/lake/app/${year}-m${month}-${day}/",
			"year=integer 2000,2099 4; month=integer 1,12 2; day=integer 1,31 2"},
		{"a value twice", "{date}/{kind}/{date}-{hour}", "s3://logs/lake/", "s3://logs/lake/${dt}/app/${dt}-${hour}/", "dt=date yyyy-MM-dd 2026-01-01,NOW+1DAYS; hour=integer 0,23 2"},
		{"a name of one's own", "{kind}/day={date}", "s3://logs/lake/app/", "s3://logs/lake/app/day=${day}/", "day=date yyyy-MM-dd 2026-01-01,NOW+1DAYS"},
		{"no partition", "{kind}", "s3://logs/lake/app/", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := readAthena(t, write(t, "athena", defaults(c.template)))["app_files"]
			var projections []string
			for _, p := range a.partitions {
				var words []string
				for _, key := range []string{"type", "format", "range", "digits", "values"} {
					if v, ok := a.properties["projection."+p[0]+"."+key]; ok {
						words = append(words, v)
					}
				}
				projections = append(projections, p[0]+"="+strings.Join(words, " "))
			}
			if got := strings.Join(projections, "; "); a.location != c.location || a.properties["storage.location.template"] != c.paths || got != c.projections {
				t.Errorf("%s\n%s\n%s", a.location, a.properties["storage.location.template"], got)
			}
			// Glue's input says the same.
			var inputs []struct {
				TableInput struct {
					Name          string
					Parameters    map[string]string
					PartitionKeys []struct{ Name, Type string }
				}
			}
			if err := json.Unmarshal([]byte(write(t, "glue", defaults(c.template))), &inputs); err != nil {
				t.Fatal(err)
			}
			for k, v := range a.properties {
				if inputs[0].TableInput.Parameters[k] != v {
					t.Errorf("glue has %s %q, athena %q", k, inputs[0].TableInput.Parameters[k], v)
				}
			}
			if len(inputs[0].TableInput.PartitionKeys) != len(a.partitions) || inputs[0].TableInput.Name != "app_files" {
				t.Errorf("glue has %+v", inputs[0].TableInput)
			}
		})
	}
}

func TestWhatCannotBeExpressedIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ddl.Lake)
		want   string
	}{
		"a partition with a column's name":   {func(l *ddl.Lake) { l.Template = "{kind}/level={hour}" }, `partition "level"`},
		"a partition with two meanings":      {func(l *ddl.Lake) { l.Template = "{kind}/x={hour}/x={day}" }, `two meanings to the partition "x"`},
		"a prefix that is no identifier":     {func(l *ddl.Lake) { l.Prefix = "a b" }, "table prefix"},
		"a database that is no identifier":   {func(l *ddl.Lake) { l.Database = "a;b" }, "database"},
		"a first day that is none":           {func(l *ddl.Lake) { l.Since = "yesterday" }, "no date"},
		"no location":                        {func(l *ddl.Lake) { l.Location = "/" }, "location"},
		"a service that is two":              {func(l *ddl.Lake) { l.Services = []string{"a,b"} }, "service"},
		"a service that would end its quote": {func(l *ddl.Lake) { l.Services = []string{"a'b"} }, "service"},
	} {
		t.Run(name, func(t *testing.T) {
			l := defaults(hourly)
			c.change(&l)
			for _, engine := range ddl.Engines() {
				if _, err := ddl.Write(engine, l); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", engine, err)
				}
			}
		})
	}
	if _, err := ddl.Write("oracle", defaults(hourly)); err == nil || !strings.Contains(err.Error(), "athena, duckdb, glue, spark, trino") {
		t.Error(err)
	}
}

// Comments and paths have quotes and backslashes that must not end a text.
func TestTextsAreQuotedInEachDialect(t *testing.T) {
	l := ddl.Lake{Location: `s3://logs/it's\here`, Template: "{kind}/{date}", Since: "2026-01-01", Tables: []lake.Table{{
		Kind: schema.KindApp, Columns: []lake.Column{{Name: "time", Type: lake.Timestamp, Comment: `it's; \ "so"`}, {Name: "attributes", Type: lake.Map}},
	}}}
	for engine, want := range map[string]string{
		"athena": `COMMENT 'it\'s, \\ "so"'`, "spark": `COMMENT 'it\'s, \\ "so"'`, "trino": `COMMENT 'it''s, \ "so"'`,
		"duckdb": `read_parquet('s3://logs/it''s\here/app/*/*.parquet'`, "glue": `"Comment": "it's; \\ \"so\""`,
	} {
		if got := write(t, engine, l); !strings.Contains(got, want) {
			t.Errorf("%s lacks %s:\n%s", engine, want, got)
		}
	}
}
