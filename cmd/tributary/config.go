package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/config"
)

func newConfigCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and print what is in force, secrets masked",
	}
	command := cmd.Flags().String("for", "forward", "the command to check for: forward, lake, realtime, treasuredata or local")
	f := addFlags(cmd, map[string][2]string{"bucket": {"lake.bucket", "S3 bucket of the lake"}})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		checks := map[string]func(*app.Settings) error{
			"forward": (*app.Settings).CheckForward, "lake": (*app.Settings).CheckLake, "realtime": (*app.Settings).CheckRealtime, "treasuredata": (*app.Settings).CheckTreasureData, "local": (*app.Settings).CheckLocal,
		}
		check, ok := checks[*command]
		if !ok {
			return app.Faultf("--for is %q, want forward, lake, realtime, treasuredata or local", *command)
		}
		defaults := app.Defaults()
		if *command == "local" {
			defaults = app.LocalDefaults()
		}
		s, err := f.load(defaults)
		if err != nil {
			return err
		}
		if err := check(s); err != nil {
			return err
		}
		text, err := config.Print(s)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}
