package main

import (
	"strings"
	"testing"

	"tributary/cmd/internal/app"
)

func TestTheLakesTablesComeFromTheConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"bucket and prefix": {[]string{"--engine", "athena", "--bucket", "logs", "--set", "lake.prefix=a/b"}, "LOCATION 's3://logs/a/b/kind=app/'"},
		"no prefix":         {[]string{"--engine", "spark", "--bucket", "logs", "--set", "lake.prefix="}, "LOCATION 's3://logs/kind=audit/'"},
		"a named template":  {[]string{"--engine", "athena", "--bucket", "logs", "--set", "lake.template=applications"}, "/applications/${service}/audit/${dt}/${hour}/'"},
		"a template":        {[]string{"--engine", "trino", "--bucket", "logs", "--set", "lake.template=x/{kind}/day={date}"}, "partitioned_by = ARRAY['day']"},
		"elsewhere":         {[]string{"--engine", "duckdb", "--location", "data/s3/tributary/lake"}, "read_parquet('data/s3/tributary/lake/kind=raw/dt=*/hour=*/*.parquet'"},
		"names":             {[]string{"--engine", "glue", "--bucket", "logs", "--database", "shop", "--table-prefix", "x_"}, `"DatabaseName": "shop"`},
		"a first day":       {[]string{"--engine", "athena", "--bucket", "logs", "--since", "2026-05-06"}, "'2026-05-06,NOW+1DAYS'"},
		"services": {[]string{"--engine", "athena", "--bucket", "logs", "--set", "lake.template={service}/{kind}/{date}", "--services", "a,b"},
			"'projection.service.values' = 'a,b'"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := execute(t, append([]string{"lake", "ddl"}, c.args...)...)
			if err != nil || !strings.Contains(out, c.want) {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no engine":                   {[]string{"--bucket", "logs"}, `engine is "", want athena, duckdb, glue, spark, trino`},
		"no bucket":                   {[]string{"--engine", "athena"}, "lake.bucket is not set"},
		"a template that cannot be":   {[]string{"--engine", "athena", "--bucket", "logs", "--set", "lake.template=x"}, "lacks {kind}"},
		"a template with other names": {[]string{"--engine", "athena", "--bucket", "logs", "--set", "lake.template={kind}/index={date}"}, `partition "index"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := execute(t, append([]string{"lake", "ddl"}, c.args...)...)
			if err == nil || app.Code(err) != 2 || !strings.Contains(app.OneLine(err), c.want) {
				t.Fatalf("%v", err)
			}
		})
	}
}
