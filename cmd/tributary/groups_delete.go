package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/consumers"
)

const deleteLong = `Delete a group that nobody needs any more: its lease table and its state table, and
with them every position. What it has delivered stays. Whoever starts a group of that
name later starts a new one, at lake.group.start and the like.

A consumer of enhanced fan-out stays registered:
aws kinesis deregister-stream-consumer.`

func newGroupsDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete GROUP", Short: "Delete a group's tables, and with them its positions", Long: deleteLong}
	c := newGroupsCommand(cmd, true)
	force := cmd.Flags().Bool("force", false, "though workers of it live")
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		admin, s, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		table := s.LeaseTable(args[0])
		view, unknown := admin.Describe(cmd.Context(), table)
		if unknown != nil && !errors.Is(unknown, consumers.ErrRefused) {
			return unknown
		}
		if unknown == nil {
			if err := c.agree(cmd, admin, table, view, *force, *yes); err != nil {
				return app.RefusedGroup(err)
			}
		}
		was, err := admin.Delete(cmd.Context(), table) // of what is unknown it may be the other half
		switch {
		case err != nil:
			return fmt.Errorf("%w (the same command goes on)", app.RefusedGroup(err))
		case !was:
			return app.RefusedGroup(unknown)
		}
		if *c.json {
			return printJSON(cmd.OutOrStdout(), map[string]any{"group": args[0], "deleted": true})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "Group %s deleted.\n", args[0])
		return err
	}
	return cmd
}

// agree makes sure that nobody works in the group and that it is meant.
func (c groupsCommand) agree(cmd *cobra.Command, admin *consumers.Admin, table string, view consumers.GroupView, force, yes bool) error {
	if !force {
		fmt.Fprintln(cmd.ErrOrStderr(), "Looking whether workers of the group live: up to a lease's duration …")
		living, err := admin.Living(cmd.Context(), table)
		if err != nil {
			return err
		}
		if len(living) > 0 {
			return app.Faultf("workers of the group live (%s): stop them, or use --force", strings.Join(living, ", "))
		}
	}
	if yes {
		return nil
	}
	question := fmt.Sprintf("Delete group %s, with the positions of %s and %s pending?", view.Group, plural(view.Totals.Shards, "shard"), plural(view.Totals.Pending, "range"))
	return ask(cmd, question, "delete")
}
