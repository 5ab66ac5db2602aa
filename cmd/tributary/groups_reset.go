package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tributary/cmd/internal/app"
	"tributary/consumers"
	"tributary/stream"
)

// resetting is one run of "groups reset".
type resetting struct {
	groupsCommand
	to                 string
	shards             []string
	dryRun, force, yes bool
}

const resetLong = `Set where a group reads on: trim-horizon (the oldest records there are), latest,
a time (2026-11-22T15:04:05Z, or -2h), or the sequence number of the record to be
delivered first. Shards that are reset get a new generation, which is part of the
names of what is delivered: what comes again stands beside what was there.`

func newGroupsReset() *cobra.Command {
	cmd := &cobra.Command{Use: "reset GROUP --to POSITION", Short: "Set where a group reads on", Long: resetLong}
	r := resetting{groupsCommand: newGroupsCommand(cmd, true)}
	f := cmd.Flags()
	f.StringVar(&r.to, "to", "", "trim-horizon, latest, a time, how long ago such as -2h, or a sequence number")
	f.StringArrayVar(&r.shards, "shard", nil, "only this shard, such as shardId-000000000003 or 3; may be repeated")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, change nothing")
	f.BoolVar(&r.force, "force", false, "take the shards from workers that live")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return app.RefusedGroup(r.run(cmd, args[0])) }
	return cmd
}

// outcome is what --json prints.
type outcome struct {
	*consumers.ResetPlan
	Living []string `json:"living"` // workers seen writing; not looked for with force
	Done   bool     `json:"done"`
}

func (r *resetting) run(cmd *cobra.Command, group string) error {
	if r.to == "" {
		return app.Faultf("--to is not set: trim-horizon, latest, a time or a sequence number")
	}
	target, err := consumers.ParseTarget(r.to, time.Now())
	if err != nil {
		return err
	}
	admin, s, err := r.open(cmd.Context())
	if err != nil {
		return err
	}
	o := outcome{Living: []string{}}
	table := s.LeaseTable(group)
	if !r.force {
		living, err := r.look(cmd, admin, table)
		if err != nil {
			return err
		}
		o.Living = append(o.Living, living...)
	}
	if o.ResetPlan, err = admin.PlanReset(cmd.Context(), table, target, shardIDs(r.shards)); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !*r.json {
		if err := printPlan(out, o); err != nil {
			return err
		}
	}
	if err := r.confirm(cmd, o); err != nil {
		return err
	}
	if !r.dryRun {
		if err := admin.Reset(cmd.Context(), o.ResetPlan, r.force); err != nil {
			return fmt.Errorf("%w (some shards may be reset: the same command goes on with the rest)", err)
		}
		o.Done = true
	}
	if *r.json {
		return printJSON(out, o)
	}
	said := fmt.Sprintf("%s reset, generation %d.", plural(o.Steps(), "shard"), o.Generation)
	switch {
	case r.dryRun:
		said = "Dry run: nothing was changed."
	case o.Steps() == 0:
		said = "Nothing to reset."
	}
	_, err = fmt.Fprintln(out, said)
	return err
}

// look finds out whether workers live. A dry run goes on when they do.
func (r *resetting) look(cmd *cobra.Command, admin *consumers.Admin, table string) ([]string, error) {
	fmt.Fprintln(cmd.ErrOrStderr(), "Looking whether workers of the group live: up to a lease's duration …")
	living, err := admin.Living(cmd.Context(), table)
	if err == nil && len(living) > 0 && !r.dryRun {
		err = app.Faultf("workers of the group live (%s): stop them, or use --force", strings.Join(living, ", "))
	}
	return living, err
}

// confirm asks on a terminal. Elsewhere nobody could answer: --yes is wanted.
func (r *resetting) confirm(cmd *cobra.Command, o outcome) error {
	if r.dryRun || r.yes || o.Steps() == 0 {
		return nil
	}
	return ask(cmd, fmt.Sprintf("Reset %s of group %s?", plural(o.Steps(), "shard"), o.Group), "reset")
}

// ask wants a yes from a person; whoever is none is told how to do without.
func ask(cmd *cobra.Command, question, to string) error {
	in := cmd.InOrStdin()
	if file, ok := in.(*os.File); ok && !term.IsTerminal(int(file.Fd())) {
		return app.Faultf("not on a terminal: add --yes to %s, or --dry-run to look", to)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := readLine(cmd.Context(), in)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return app.Faultf("not confirmed, nothing was changed")
	}
	return nil
}

// readLine gives up when ctx ends. What reads from a terminal cannot be told to stop,
// so it is left behind: the process is about to end.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	var line string
	var err error
	read := make(chan struct{})
	go func() {
		defer close(read)
		line, err = bufio.NewReader(in).ReadString('\n')
	}()
	select {
	case <-read:
		return line, err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// shardIDs completes numbers to names.
func shardIDs(names []string) (ids []stream.ShardID) {
	for _, n := range names {
		if strings.Trim(n, "0123456789") == "" && len(n) <= 12 {
			n = fmt.Sprintf("shardId-%012s", n)
		}
		ids = append(ids, stream.ShardID(n))
	}
	return ids
}
