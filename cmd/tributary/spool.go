package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tributary/cmd/internal/app"
	"tributary/stream/forwarder"
	"tributary/stream/refused"
	"tributary/stream/spool"
)

const inspectLong = `Show what a spool holds: segments, lives and lanes, entries and their bytes, the
cursor, what lies behind it and is not known to be in the stream, what was put into
quarantine, and the events that the stream refuses. It changes nothing and asks for no account, so it also works on a
copy, on a read-only volume, and, with a warning, beside a running forwarder.`

const drainLong = `Publish what a dead instance left in its spool, as its forwarder would have done
after a restart: under the same partition keys and offsets, so that consumers drop
what had been published before. What the stream has is removed from the spool. Lines
without their end are delivered marked incomplete.

Use the configuration of the dead instance's forwarder, rules included, and name that
instance with --host. It ends with 0 when nothing is left; cut off, the same command
goes on.`

func newSpool() *cobra.Command {
	cmd := &cobra.Command{Use: "spool", Short: "Look at a forwarder's spool and empty that of a dead instance", RunE: needsSubcommand}
	cmd.AddCommand(newSpoolInspect(), newSpoolDrain(), newSpoolRejects())
	return cmd
}

func oneDir(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return app.Faultf("%s takes the directory of one spool", cmd.CommandPath())
	}
	return nil
}

func completeDir(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func newSpoolInspect() *cobra.Command {
	cmd := &cobra.Command{Use: "inspect DIR", Short: "Show what a spool holds, and change nothing", Long: inspectLong, Args: oneDir, ValidArgsFunction: completeDir}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := spool.Inspect(args[0])
		if err != nil {
			return err
		}
		if r.Locked {
			fmt.Fprintln(cmd.ErrOrStderr(), "A process works on this spool: the figures are of several moments.")
		}
		kept, err := refused.Inspect(args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), struct {
				*spool.Report
				Rejects *refused.Report `json:"rejects"`
			}{r, kept})
		}
		return printSpool(cmd.OutOrStdout(), r, kept)
	}
	return cmd
}

func newSpoolDrain() *cobra.Command {
	cmd := &cobra.Command{Use: "drain DIR", Short: "Publish what a dead instance left in its spool", Long: drainLong, ValidArgsFunction: completeDir}
	f := addFlags(cmd, map[string][2]string{"host": {"forward.host", "name of the dead instance"}})
	cmd.Args = oneDir
	dry := cmd.Flags().Bool("dry-run", false, "say what would be published, change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := drainSpool(cmd, f, args[0], *dry)
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("the same command goes on: %w", err)
		}
		return err
	}
	return cmd
}

func drainSpool(cmd *cobra.Command, f *flags, dir string, dry bool) error {
	s, before, err := deadSpool(f, dir)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	left := fmt.Sprintf("%s (%s)", countedEntries(before.Left.Entries), binary(before.Left.Bytes))
	if dry {
		_, err := fmt.Fprintf(out, "%s would be published to stream %s.\n", left, s.Stream.Ref)
		return err
	}
	if err := withDeadSpool(cmd.Context(), s, (*forwarder.Forwarder).Drain); err != nil {
		return err
	}
	kept, err := refused.Inspect(dir)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s published to stream %s, nothing is left.", left, s.Stream.Ref)
	if kept.Rejects > 0 {
		text += fmt.Sprintf(" The stream refuses %s, which are kept: tributary spool rejects %s", counted(int64(kept.Rejects), "event"), dir)
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// deadSpool loads the configuration and looks at the spool in dir, which must be one
// that nobody works on.
func deadSpool(f *flags, dir string) (*app.Settings, *spool.Report, error) {
	s, err := f.load(app.Defaults())
	if err != nil {
		return nil, nil, err
	}
	s.Forward.Spool.Dir = dir
	if err := s.CheckForward(); err != nil {
		return nil, nil, err
	}
	// A directory without a spool must not become one.
	before, err := spool.Inspect(dir)
	if err == nil && before.Locked {
		err = inUse(dir)
	}
	return s, before, err
}

func inUse(dir string) error {
	return app.Faultf("spool directory %s is in use by a forwarder, which empties it itself: stop that first", dir)
}

// withDeadSpool has a forwarder that listens to nobody do work.
func withDeadSpool(ctx context.Context, s *app.Settings, work func(*forwarder.Forwarder, context.Context) error) error {
	log, err := app.NewLogger(s.Log, os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
	if err != nil {
		return err
	}
	f, err := app.NewDrain(ctx, s, log)
	if err != nil {
		return err
	}
	err = work(f, ctx)
	if errors.Is(err, spool.ErrLocked) {
		return inUse(s.Forward.Spool.Dir)
	}
	return err
}

func countedEntries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return grouped(n) + " entries"
}

// maxLaneRows bounds the lanes shown of each epoch; --json has them all.
const maxLaneRows = 20

func printSpool(w io.Writer, r *spool.Report, kept *refused.Report) error {
	fmt.Fprintf(w, "Spool      %s\n", r.Dir)
	cursor := strconv.FormatUint(r.Cursor, 10)
	if !r.CursorKnown {
		cursor = "missing or damaged: everything counts as left"
	}
	fmt.Fprintf(w, "Cursor     %s\nEntries    %s, %s\nLeft       %s, %s", cursor, grouped(r.Entries), binary(r.Bytes), grouped(r.Left.Entries), binary(r.Left.Bytes))
	if r.Oldest != nil {
		fmt.Fprintf(w, ", the oldest of %s", moment(*r.Oldest))
	}
	fmt.Fprintf(w, "\nQuarantine %s, %s\n", counted(int64(r.Quarantined.Files), "file"), binary(r.Quarantined.Bytes))
	printKept(w, kept)

	g := &grid{}
	g.add("SEGMENT", "STARTED", "SIZE", "ENTRIES", "LEFT", "DAMAGED", "EPOCH")
	problems := ""
	for _, s := range r.Segments {
		g.add(s.Name, moment(s.Created), binary(s.FileBytes), grouped(s.Entries), grouped(s.Left.Entries), binary(s.DamagedBytes), short(s.Epoch, 8))
		if s.Fault != "" {
			problems += wrap(s.Name + ": " + s.Fault)
		}
	}
	fmt.Fprintln(w, g.String())
	g = &grid{}
	g.add("EPOCH", "LANE", "KEY", "ENTRIES", "LEFT", "OFFSETS")
	for _, e := range r.Epochs {
		for i, l := range e.Lanes {
			if i == maxLaneRows {
				g.add(short(e.Epoch, 8), "…", fmt.Sprintf("%d more", len(e.Lanes)-i), "", "", "")
				break
			}
			offsets := "-"
			if l.Entries > 0 {
				offsets = fmt.Sprintf("%d–%d", l.First, l.Last)
			}
			g.add(short(e.Epoch, 8), strconv.FormatUint(uint64(l.Lane), 10), short(l.Key, 32), grouped(l.Entries), grouped(l.Left.Entries), offsets)
		}
	}
	text := g.String()
	if problems != "" {
		text += problemsHead + problems
	}
	_, err := fmt.Fprint(w, text)
	return err
}
