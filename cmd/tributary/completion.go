package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/backfill"
	"tributary/cmd/internal/config"
	"tributary/cmd/internal/ddl"
)

// newCompletion stands in for cobra's command of that name, which answers
// "completion tcsh" with help and 0, for the shell to run.
func newCompletion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print what makes a shell complete commands, flags and keys",
		Long: `Print what makes a shell complete commands, flags and keys. For this session:

  source <(tributary completion bash)        zsh the same
  tributary completion fish | source

For all sessions, write it where the shell looks:

  tributary completion bash > /etc/bash_completion.d/tributary
  tributary completion zsh > "${fpath[1]}/_tributary"
  tributary completion fish > ~/.config/fish/completions/tributary.fish`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(cmd.ValidArgs, args[0]) {
				return app.Faultf("%s takes one shell: %s", cmd.CommandPath(), strings.Join(cmd.ValidArgs, ", "))
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return cmd.ValidArgs, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		root, out := cmd.Root(), cmd.OutOrStdout()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(out, true)
		case "zsh":
			return root.GenZshCompletion(out)
		case "fish":
			return root.GenFishCompletion(out, true)
		}
		return root.GenPowerShellCompletionWithDesc(out)
	}
	return cmd
}

// flagValues are the words a flag takes, by its name, whichever command has it.
var flagValues = map[string][]string{
	"demo":       {"true", "false"},
	"engine":     ddl.Engines(),
	"format":     backfill.Formats(),
	"for":        {"forward", "lake", "local"},
	"limits":     {"true", "false"},
	"log-format": {"auto", "text", "json"},
	"log-level":  {"debug", "info", "warn", "error"},
	"to":         {"trim-horizon", "latest"},
	"address":    {"tcp://127.0.0.1:24224", "tls://", "unix:///"},
	"listen":     {"tcp://127.0.0.1:24224", "tls://", "unix:///"},
}

// flagDirs are the flags that name a directory.
var flagDirs = []string{"dir", "location", "spool", "state"}

// complete tells cobra how the flags of cmd and of all commands below it are
// completed. A flag of which nothing is known completes to nothing: file names
// would only mislead.
func complete(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
	if !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	register := func(name string, f cobra.CompletionFunc) {
		if cmd.Flags().Lookup(name) == nil {
			return
		}
		if _, own := cmd.GetFlagCompletionFunc(name); own {
			return
		}
		if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
			panic(err) // registered twice
		}
	}
	register("config", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	})
	register("set", completeKey)
	for name, words := range flagValues {
		register(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	for _, name := range flagDirs {
		register(name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		})
	}
	for _, name := range []string{"rate", "region", "profile", "stream", "bucket", "database", "table", "table-prefix", "services", "group", "shards", "service", "reason", "since", "tag", "timeout", "filter", "until", "limit", "overlap", "shard", "metrics", "over", "sample", "max-bytes", "server-name", "user", "host", "from", "parallel", "memory", "patience", "name", "into"} {
		register(name, cobra.NoFileCompletions)
	}
}

// completeKey completes the key of --set and leaves the cursor behind its "=".
func completeKey(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var found []cobra.Completion
	for _, key := range config.Keys(app.Defaults()) {
		if strings.HasPrefix(key, typed) {
			found = append(found, key+"=")
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
