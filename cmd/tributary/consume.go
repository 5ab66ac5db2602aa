package main

import (
	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"tributary/cmd/internal/app"
)

func newConsumeLake() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lake",
		Short: "Write the stream into S3 as Parquet, each event once",
	}
	f := addFlags(cmd, map[string][2]string{
		"bucket": {"lake.bucket", "S3 bucket of the lake"},
		"group":  {"lake.group.name", "consumer group"},
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.load(app.Defaults())
		if err != nil {
			return err
		}
		if err := s.CheckLake(); err != nil {
			return err
		}
		return app.Execute(cmd.Context(), s, lakeOptions())
	}
	return cmd
}

func newConsumeRealtime() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "realtime",
		Short: "Write the stream into CloudWatch Logs within seconds",
	}
	f := addFlags(cmd, map[string][2]string{
		"log-group": {"realtime.log_group", "log group of a line, by {service} and {kind}"},
		"bucket":    {"realtime.rejects.bucket", "S3 bucket for what CloudWatch Logs refuses, that of the lake's rejects if not set"},
		"group":     {"realtime.group.name", "consumer group"},
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.load(app.Defaults())
		if err != nil {
			return err
		}
		if err := s.CheckRealtime(); err != nil {
			return err
		}
		return app.Execute(cmd.Context(), s, realtimeOptions())
	}
	return cmd
}

func realtimeOptions() fx.Option {
	return fx.Options(app.AWS, app.LimitMemory(app.RealtimeMemory), fx.Provide(app.NewRealtimeGroup), fx.Invoke(app.CheckStream, app.CheckRealtimeRejects, app.RunAdmin, app.RunRealtime))
}

func newConsumeTreasureData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "treasuredata",
		Short: "Import the stream into Treasure Data, each event once as far as it remembers ids",
	}
	f := addFlags(cmd, map[string][2]string{
		"database": {"treasuredata.database", "database of a row, by {service} and {kind}"},
		"table":    {"treasuredata.table", "table of a row, by {service} and {kind}"},
		"bucket":   {"treasuredata.rejects.bucket", "S3 bucket for what Treasure Data refuses, that of the lake's rejects if not set"},
		"group":    {"treasuredata.group.name", "consumer group"},
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.load(app.Defaults())
		if err != nil {
			return err
		}
		if err := s.CheckTreasureData(); err != nil {
			return err
		}
		return app.Execute(cmd.Context(), s, treasureDataOptions())
	}
	return cmd
}

func treasureDataOptions() fx.Option {
	return fx.Options(app.AWS, app.LimitMemory(app.TreasureDataMemory), fx.Provide(app.NewTreasureDataGroup), fx.Invoke(app.CheckStream, app.CheckTreasureDataRejects, app.RunAdmin, app.RunTreasureData))
}

func lakeOptions() fx.Option {
	return fx.Options(app.AWS, app.LimitMemory(app.LakeMemory), fx.Provide(app.NewLakeGroup), fx.Invoke(app.CheckStream, app.CheckBucket, app.RunAdmin, app.RunLake))
}
