package main

import (
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
)

// flags are what every command takes. A named flag is a short way to write one
// key; --set reaches all of them.
type flags struct {
	file string
	sets []string
	keys map[string]*string // configuration key → value of its own flag
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "tributary",
		Short:         "Container logs from Amazon ECS through Kinesis into a Parquet lake, CloudWatch Logs and Treasure Data",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          needsSubcommand,
	}
	consume := &cobra.Command{Use: "consume", Short: "Read the stream into a destination", RunE: needsSubcommand}
	consume.AddCommand(newConsumeLake(), newConsumeRealtime(), newConsumeTreasureData())
	conf := &cobra.Command{Use: "config", Short: "Look at the configuration", RunE: needsSubcommand}
	conf.AddCommand(newConfigCheck(), newConfigTest())
	root.AddCommand(newLocal(), newForward(), consume, newBackfill(), newReplay(), newPipe(), newGroups(), newLake(), newRejects(), newSpool(), newLogs(), newCost(), conf, newCompletion(), newVersion())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return app.Faultf("%w (see --help)", err) })
	complete(root)
	return root
}

// needsSubcommand shows the help of a command that does nothing by itself, and
// refuses words it does not know.
func needsSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return app.Faultf("%s knows no command %q, only %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return app.Faultf("%s takes no argument %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// addFlags gives cmd the common flags and one flag for each of named: flag name →
// key and help. Without a key it takes a common flag away.
func addFlags(cmd *cobra.Command, named map[string][2]string) *flags {
	f := &flags{keys: make(map[string]*string)}
	cmd.Args = noArgs
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration file, YAML (default $TRIBUTARY_CONFIG)")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "set one key, such as lake.group.policy.max_age=1m; may be repeated")
	all := map[string][2]string{
		"log-level":  {"log.level", "debug, info, warn or error"},
		"log-format": {"log.format", "auto, text or json"},
		"region":     {"aws.region", "AWS region"},
		"profile":    {"aws.profile", "AWS profile"},
		"stream":     {"stream.name", "Kinesis stream"},
	}
	maps.Copy(all, named)
	maps.DeleteFunc(all, func(_ string, to [2]string) bool { return to[0] == "" })
	for name, to := range all {
		f.keys[to[0]] = cmd.Flags().String(name, "", to[1]+" (key "+to[0]+")")
	}
	return f
}

// load reads the configuration over defaults.
func (f *flags) load(defaults *app.Settings) (*app.Settings, error) {
	set := make(map[string]string)
	for key, value := range f.keys {
		if *value != "" {
			set[key] = *value
		}
	}
	for _, pair := range f.sets {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, app.Faultf("--set %q is not key=value", pair)
		}
		set[key] = value
	}
	return app.Load(defaults, f.file, set)
}

// again loads over defaults and checks, now and when it is called again.
func (f *flags) again(defaults func() *app.Settings, check func(*app.Settings) error) app.Again {
	return func() (*app.Settings, error) {
		s, err := f.load(defaults())
		if err != nil {
			return nil, err
		}
		return s, check(s)
	}
}
