package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/replay"
)

const replayGroupLong = `Deliver the events of some time again, into another target: of the lake into another
prefix, of treasuredata into another table (or database.table), of realtime into
another log group. GROUP is one of these words, or a group's name.

Times are those of arrival in the stream, which rows of the lake have as ingest_time;
--from belongs to the stretch, --to does not. What the stream does not hold any more
comes from the lake; the plan says which part. An event that was sent twice comes
once, and what was addressed to GROUP alone comes too.

What is there stays as it is: GROUP's positions and what it wrote are not touched. A
replay reads with a group of its own, GROUP-replay-…, whose tables go when all is
delivered. Whatever ends it before, the same command goes on, with the times written
out; several processes may run it at once. A second run of a finished replay delivers
nothing.

Rows of the lake's part are of shards lake-…, and of lines that were JSON an equal one
comes, not always with the same spelling.

It ends with 0 when all is delivered, with 1 when it was interrupted or something
failed, with 2 when somebody has to change something.`

// replayCommand is one run of "replay".
type replayCommand struct {
	*flags
	from, to, into     string
	dryRun, yes, force bool
	json               bool
}

func newReplay() *cobra.Command {
	cmd := &cobra.Command{Use: "replay GROUP --from TIME --to TIME --into TARGET", Short: "Deliver the events of some time again, into another target", Long: replayGroupLong,
		Example: `  tributary replay treasuredata --from 2026-11-22T10:00:00Z --to 2026-11-22T12:00:00Z --into repaired.{service}_{kind} --dry-run
  tributary replay lake --from 2026-11-20 --to 2026-11-21 --into lake-november`}
	r := &replayCommand{flags: addFlags(cmd, map[string][2]string{"bucket": {"lake.bucket", "S3 bucket of the lake"}})}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return app.Faultf("%s takes one group: lake, realtime or treasuredata", cmd.CommandPath())
		}
		return nil
	}
	cmd.ValidArgs = []string{"lake", "realtime", "treasuredata"}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return cmd.ValidArgs, cobra.ShellCompDirectiveNoFileComp
	}
	f := cmd.Flags()
	f.StringVar(&r.from, "from", "", "what arrived in the stream then or later: "+sinceHelp)
	f.StringVar(&r.to, "to", "", "and before: "+sinceHelp)
	f.StringVar(&r.into, "into", "", "the target: a prefix, a table or a log group, by {service} and {kind}")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, change nothing")
	f.BoolVar(&r.force, "force", false, "though rows will be twice in the target, or the lake lacks some")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&r.json, "json", false, "print the plan as JSON")
	if err := cmd.RegisterFlagCompletionFunc("to", cobra.NoFileCompletions); err != nil { // it is a time here
		panic(err) // registered twice
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return app.RefusedReplay(r.run(cmd, args[0])) }
	return cmd
}

func (r *replayCommand) run(cmd *cobra.Command, group string) error {
	s, j, err := r.job(group)
	if err != nil {
		return err
	}
	log, err := app.NewLogger(s.Log, os.Stderr, isTerminal(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	run, release, err := app.NewReplay(cmd.Context(), s, j, log)
	if err != nil {
		return err
	}
	defer release()
	o, err := run.Look(cmd.Context())
	if err != nil {
		return err
	}
	if err := r.tell(cmd.OutOrStdout(), s, o); err != nil {
		return err
	}
	if len(o.Gaps) > 0 && !r.force && !r.dryRun {
		return app.Faultf("the lake lacks records of that time, see above (tributary lake verify tells more): --force delivers what there is")
	}
	if r.dryRun {
		return r.say(cmd.OutOrStdout(), "Dry run: nothing was changed.")
	}
	if !r.yes && !o.Done {
		if err := ask(cmd, fmt.Sprintf("Replay %s into %s?", j.Group, j.Into), "replay"); err != nil {
			return err
		}
	}
	stop := watch(cmd.ErrOrStderr(), func() string { return progressOf(run.Progress()) })
	err = run.Run(cmd.Context(), o)
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("the same command goes on: %s: %w", j.Command(), err)
	case err != nil:
		return fmt.Errorf("%w (the same command goes on: %s)", err, j.Command())
	case o.Done:
		return nil
	}
	return r.say(cmd.OutOrStdout(), "All is delivered.")
}

// job reads the flags.
func (r *replayCommand) job(group string) (*app.Settings, replay.Job, error) {
	var none replay.Job
	s, err := r.load(app.Defaults())
	if err != nil {
		return nil, none, err
	}
	now := time.Now()
	from, fromErr := parsePast("--from", r.from, now)
	to, toErr := parsePast("--to", r.to, now)
	if err := errors.Join(fromErr, toErr); err != nil {
		return nil, none, err
	}
	if from.IsZero() || to.IsZero() {
		return nil, none, app.Faultf("--from and --to say which time is meant: %s", sinceHelp)
	}
	j, err := s.ReplayOf(group, r.into, from, to)
	if err != nil {
		return nil, none, err
	}
	if s.SameTarget(j) && !r.force {
		return nil, none, app.Faultf("--into %s is where group %s writes (%s): every row of that time would be there twice; name another, or add --force", j.Into, j.Group, s.Target(j.Kind))
	}
	return s, j, s.CheckReplayOf(j)
}

func (r *replayCommand) say(w io.Writer, text string) error {
	if r.json {
		return nil
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// tell prints the plan.
func (r *replayCommand) tell(w io.Writer, s *app.Settings, o *replay.Outlook) error {
	if r.json {
		return printJSON(w, o)
	}
	var b strings.Builder
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	fmt.Fprintf(&b, "Replay %s\n  of      group %s, what arrived from %s to %s\n  into    %s\n", o.Name, o.Group, stamp(o.From), stamp(o.To), target(s, o.Job))
	if o.Done {
		b.WriteString("All of it was delivered before: nothing to do.\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	if o.Lake != nil {
		fmt.Fprintf(&b, "  lake    what arrived before %s: %s with %s, %s, some of them of other times\n", stamp(o.Seam),
			counted(int64(o.Lake.Ranges), "range"), counted(o.Lake.Rows, "row"), size(float64(o.Lake.Bytes))+" in "+counted(int64(o.Lake.Objects), "object"))
		if !o.LakeBegins.IsZero() {
			fmt.Fprintf(&b, "          the lake begins at %s\n", stamp(o.LakeBegins))
		}
	}
	if o.Shards > 0 {
		fmt.Fprintf(&b, "  stream  what arrived at %s or later: %s\n", stamp(o.Seam), counted(int64(o.Shards), "shard"))
	}
	if o.Resumed {
		fmt.Fprintf(&b, "It was begun at %s and goes on.\n", stamp(o.Begun))
	}
	for i, gap := range o.Gaps {
		if i == maxGaps {
			fmt.Fprintf(&b, "MISSING and %d more\n", len(o.Gaps)-i)
			break
		}
		fmt.Fprintf(&b, "MISSING %s\n", gap)
	}
	if s.SameTarget(o.Job) {
		fmt.Fprintf(&b, "DOUBLES every row of that time: group %s has written it there already.\n", o.Group)
	}
	for _, p := range o.Shared {
		fmt.Fprintf(&b, "DOUBLES what arrived from %s to %s, which replay %s delivers into it too.\n", stamp(later(p.From, o.From)), stamp(earlier(p.To, o.To)), p.Name())
	}
	if o.Kind == "realtime" {
		b.WriteString("CloudWatch Logs may get an event twice, and takes none that is older than 14 days: such go to the rejects.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const maxGaps = 10

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func target(s *app.Settings, j replay.Job) string {
	switch j.Kind {
	case "lake":
		return fmt.Sprintf("s3://%s/%s", s.Lake.Bucket, j.Into)
	case "realtime":
		return "log group " + j.Into
	}
	return "table " + j.Into
}

func progressOf(p replay.Progress) string {
	var parts []string
	if p.Shards > 0 {
		parts = append(parts, fmt.Sprintf("stream: %d of %d shards, %s events", p.Finished, p.Shards, app.Group(float64(p.Events))))
	}
	if p.Ranges > 0 {
		parts = append(parts, fmt.Sprintf("lake: %d of %d ranges, %s rows", p.Done, p.Ranges, app.Group(float64(p.Rows))))
	}
	return strings.Join(parts, " · ")
}
