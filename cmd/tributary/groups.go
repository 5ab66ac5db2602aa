package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tributary/cmd/internal/app"
	"tributary/consumers"
)

func newGroups() *cobra.Command {
	cmd := &cobra.Command{Use: "groups", Short: "Look at consumer groups, reset and delete them", RunE: needsSubcommand}
	cmd.AddCommand(newGroupsList(), newGroupsDescribe(), newGroupsReset(), newGroupsDelete())
	return cmd
}

// groupsCommand is what list, describe and reset share.
type groupsCommand struct {
	*flags
	json *bool
}

// newGroupsCommand gives cmd the common flags; named tells whether it takes the
// name of a group.
func newGroupsCommand(cmd *cobra.Command, named bool) groupsCommand {
	c := groupsCommand{flags: addFlags(cmd, nil), json: cmd.Flags().Bool("json", false, "print JSON")}
	if named {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return app.Faultf("%s takes the name of one group (tributary groups list shows them)", cmd.CommandPath())
			}
			return nil
		}
	}
	return c
}

// open loads the configuration and makes the clients.
func (c groupsCommand) open(ctx context.Context) (*consumers.Admin, *app.Settings, error) {
	s, err := c.load(app.Defaults())
	if err != nil {
		return nil, nil, err
	}
	if err := s.CheckGroups(); err != nil {
		return nil, nil, err
	}
	log, err := app.NewLogger(s.Log, os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
	if err != nil {
		return nil, nil, err
	}
	admin, err := app.NewGroups(ctx, s, log)
	return admin, s, err
}

func newGroupsList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the consumer groups of the account and region"}
	c := newGroupsCommand(cmd, false)
	foreign := cmd.Flags().Bool("foreign", false, "also lease tables of vmware-go-kcl-v2 (one call per table of the account)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		admin, _, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		lines, err := admin.List(cmd.Context(), *foreign)
		if err != nil {
			return app.RefusedGroup(err)
		}
		if *c.json {
			return printJSON(cmd.OutOrStdout(), map[string]any{"groups": lines})
		}
		return printGroups(cmd.OutOrStdout(), lines)
	}
	return cmd
}

func newGroupsDescribe() *cobra.Command {
	cmd := &cobra.Command{Use: "describe GROUP", Short: "Show each shard of a group: state, owner, lag, checkpoint, what is pending"}
	c := newGroupsCommand(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		admin, s, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		view, err := admin.Describe(cmd.Context(), s.LeaseTable(args[0]))
		if err != nil {
			return app.RefusedGroup(err)
		}
		if *c.json {
			return printJSON(cmd.OutOrStdout(), view)
		}
		return printGroup(cmd.OutOrStdout(), view)
	}
	return cmd
}

func printJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}
