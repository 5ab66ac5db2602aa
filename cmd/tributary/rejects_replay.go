package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tributary/cmd/internal/app"
	"tributary/sinks/rejects"
)

const replayLong = `Deliver rejects again, after the decoder was mended or upgraded: what this build
understands of their bytes is put into the stream as new records. Rejects that it
still does not understand stay as they are, so nothing goes round in circles.

EVERY GROUP of the stream reads the new records, not only the one whose rejects they
are. Groups that rejected the same records get them once, whichever group's rejects
are replayed. A group that had understood them gets them a second time.

A replayed event keeps its time, origin and line, and arrives anew. In the lake it
stands under its own hour if that lies within lake.time_window of now, else under the
hour of the replay.

Each reject is replayed once: a manifest beside the rejects says so before and after.
What was cut off is put again with the same bytes, and a group drops what it has, as
with a forwarder, as long as it remembers the run (dedup_entries). --as-lines also
delivers what is text and nothing else, such as plain lines of another producer, each
as one line.

It ends with 1 when some of the rejects meant were left as they are.`

// replaying is one run of "rejects replay".
type replaying struct {
	rejectsCommand
	all, yes bool
	rejects.ReplayOptions
}

func newRejectsReplay() *cobra.Command {
	cmd := &cobra.Command{Use: "replay ID... | --all", Short: "Put rejects that are understood by now into the stream again", Long: replayLong}
	r := replaying{rejectsCommand: newRejectsCommand(cmd, map[string][2]string{"group": {"lake.group.name", "consumer group whose rejects are meant"}}, true)}
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "all rejects of the group, or those that --since and --reason leave")
	f.BoolVar(&r.DryRun, "dry-run", false, "say what would be done, change nothing")
	f.BoolVar(&r.AsLines, "as-lines", false, "deliver text that is not understood as a line")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 0) != r.all {
			return app.Faultf("%s takes ids of rejects, or --all (tributary rejects list shows them)", cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := r.run(cmd, args)
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("the same command goes on: %w", err)
		}
		return err
	}
	return cmd
}

func (r *replaying) run(cmd *cobra.Command, args []string) error {
	archive, s, err := r.open(cmd.Context(), (*app.Settings).CheckReplay)
	if err != nil {
		return err
	}
	sel, err := r.selection(args)
	if err != nil {
		return err
	}
	log, err := app.NewLogger(s.Log, os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
	if err != nil {
		return err
	}
	replayer, producer, err := app.NewReplayer(cmd.Context(), s, archive, log)
	if err != nil {
		return err
	}
	planned := &replayList{out: io.Discard, found: map[string]bool{}}
	if r.DryRun {
		planned = r.list(cmd.OutOrStdout(), s)
	}
	look := r.ReplayOptions
	look.DryRun = true
	if err := replayer.Run(cmd.Context(), s.Lake.Group.Name, sel, look, planned.add); err != nil {
		return err
	}
	if err := missing(args, planned.found); err != nil {
		return err
	}
	if r.DryRun {
		return planned.end()
	}
	due := planned.count[rejects.Replayed] + planned.count[rejects.Resumed]
	if due > 0 && !r.yes {
		question := fmt.Sprintf("Put %s of group %s (%s) into stream %s, for every group of it?", counted(due, "reject"), s.Lake.Group.Name, counted(planned.events, "event"), s.Stream.Ref)
		if err := ask(cmd, question, "replay"); err != nil {
			return err
		}
	}
	done := r.list(cmd.OutOrStdout(), s)
	if err := r.publish(cmd.Context(), producer.Run, func(ctx context.Context) error {
		return replayer.Run(ctx, s.Lake.Group.Name, sel, r.ReplayOptions, done.add)
	}); err != nil {
		return fmt.Errorf("%w (the same command goes on)", err)
	}
	if err := done.end(); err != nil {
		return err
	}
	if left := done.count[rejects.NotUnderstood] + done.count[rejects.TooLong]; left > 0 {
		return fmt.Errorf("%s left as they are", counted(left, "reject"))
	}
	return nil
}

// publish runs work beside the producer.
func (r *replaying) publish(ctx context.Context, produce, work func(context.Context) error) error {
	producing, stop := context.WithCancel(context.WithoutCancel(ctx))
	produced := make(chan error, 1)
	go func() { produced <- produce(producing) }()
	err := work(ctx)
	stop()
	return errors.Join(err, <-produced)
}

func (r *replaying) list(out io.Writer, s *app.Settings) *replayList {
	l := &replayList{out: out, dry: r.DryRun, found: map[string]bool{}, group: s.Lake.Group.Name, stream: s.Stream.Ref.String()}
	if *r.json {
		l.json = &jsonList{out: out, name: "rejects"}
	}
	return l
}

// replayList prints what became of each reject. It is called for one at a time.
type replayList struct {
	out           io.Writer
	json          *jsonList
	dry           bool
	group, stream string
	found         map[string]bool // ids, up to maxFound
	count         map[rejects.Outcome]int64
	events        int64
	err           error
}

// maxFound bounds what is remembered to tell ids that do not exist: nobody types so
// many.
const maxFound = 100_000

func (l *replayList) add(r rejects.Replay) {
	if l.count == nil {
		l.count = map[rejects.Outcome]int64{}
	}
	l.count[r.Outcome]++
	l.events += int64(r.Events)
	if len(l.found) < maxFound {
		l.found[r.ID] = true
	}
	if l.err != nil {
		return
	}
	if l.json != nil {
		l.err = l.json.add(r)
		return
	}
	text := string(r.Outcome)
	if r.Events > 0 {
		text += ", " + counted(int64(r.Events), "event")
	}
	if r.Note != "" {
		text += ": " + r.Note
	}
	_, l.err = fmt.Fprintf(l.out, "%-22s  %s\n", r.ID, short(text, columns-24))
}

func (l *replayList) end() error {
	if l.err != nil {
		return fmt.Errorf("print: %w", l.err)
	}
	if l.json != nil {
		return l.json.end(map[string]any{"group": l.group, "stream": l.stream, "dry_run": l.dry, "events": l.events, "outcomes": l.count})
	}
	var words []string
	for _, o := range []rejects.Outcome{rejects.Replayed, rejects.Resumed, rejects.Already, rejects.NotUnderstood, rejects.TooLong} {
		if n := l.count[o]; n > 0 {
			words = append(words, grouped(n)+" "+string(o))
		}
	}
	text := "Nothing to replay."
	if len(words) > 0 {
		text = fmt.Sprintf("%s; %s into stream %s.", strings.Join(words, ", "), counted(l.events, "event"), l.stream)
	}
	if l.dry {
		text = "Dry run, nothing was changed. It would be: " + text
	}
	_, err := io.WriteString(l.out, wrap(text))
	return err
}
