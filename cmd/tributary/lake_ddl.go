package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/ddl"
	"tributary/sinks/lake"
)

func newLakeDDL() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ddl",
		Short: "Print the tables that an engine needs to read the lake",
		Long: "Print the tables that an engine needs to read the lake: statements for Athena, Spark, Trino and DuckDB;\n" +
			"for Glue a list of what \"aws glue create-table --cli-input-json\" takes. Nothing is connected to.",
	}
	var d ddl.Lake
	engine := cmd.Flags().String("engine", "", strings.Join(ddl.Engines(), ", "))
	cmd.Flags().StringVar(&d.Database, "database", "", "database (schema) of tables and views")
	cmd.Flags().StringVar(&d.Prefix, "table-prefix", "", "what the names of tables and views begin with")
	cmd.Flags().StringVar(&d.Location, "location", "", "where the lake lies in the engine's words, such as s3a://bucket/prefix or data/s3/tributary/lake (default s3://<bucket>/<prefix>)")
	cmd.Flags().StringVar(&d.Since, "since", "2026-01-01", "first day that engines which compute partitions look at")
	cmd.Flags().StringSliceVar(&d.Services, "services", nil, "all services, if the template names {service}; else queries have to name one")
	f := addFlags(cmd, map[string][2]string{"bucket": {"lake.bucket", "S3 bucket of the lake"}})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		defaults := app.Defaults()
		if d.Location != "" {
			defaults.Lake.Bucket = "elsewhere" // none is needed
		}
		s, err := f.load(defaults)
		if err != nil {
			return err
		}
		if err := s.CheckStored(); err != nil {
			return err
		}
		d.Location = cmp.Or(d.Location, strings.TrimSuffix("s3://"+s.Lake.Bucket+"/"+s.Lake.Prefix, "/"))
		d.Template, d.Tables = s.Lake.Layout(), lake.Tables(s.Lake.Columns)
		text, err := ddl.Write(*engine, d)
		if err != nil {
			return app.Faultf("%w", err)
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}
