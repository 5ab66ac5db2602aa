package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/backfill"
	"tributary/cmd/internal/config"
	"tributary/sinks/objects"
	"tributary/sinks/treasuredata"
)

func newBackfill() *cobra.Command {
	cmd := &cobra.Command{Use: "backfill", Short: "Import what lies in S3 into a destination", RunE: needsSubcommand}
	cmd.AddCommand(newBackfillTreasureData())
	return cmd
}

const backfillLong = `Import what lies in S3 into Treasure Data: Parquet of the lake, and JSON lines that
Fluentd wrote, compressed or not, as applications/<service>/<kind>/YYYY/MM/DD/HH/MM_….gz
or under any other name. Rows and tables are those of "consume treasuredata" with the
same configuration.

First it says what it would do; --dry-run ends there. Whatever ends it, the same
command goes on: what is imported is remembered beside the source (see --state), and
what was under way is sent again under the ids it had. The objects are those that were
there when the job began, as they were then.

Rows that a group has imported from the stream are there under other ids: of the same
events, these come a second time. Choose by --since and --until what is not there yet.

It ends with 0 when all is imported, with 1 when something could not be, or when
Treasure Data took nothing for the time of --patience, with 2 when somebody has to
change something: the key, the configuration.`

// backfilling is one run of "backfill treasuredata".
type backfilling struct {
	*flags
	job                backfill.Job
	cfg                backfill.Config
	from, since, until string
	memory, state      string
	dryRun, yes        bool
}

func newBackfillTreasureData() *cobra.Command {
	cmd := &cobra.Command{Use: "treasuredata --from s3://BUCKET/PREFIX", Short: "Import the lake, or Fluentd's files, into Treasure Data", Long: backfillLong,
		Example: `  tributary backfill treasuredata --from s3://my-logs/applications --until 2026-11-22 --dry-run
  tributary backfill treasuredata --from s3://my-logs/lake --since 2026-10-01 --until 2026-11-01 --yes`}
	r := &backfilling{cfg: backfill.DefaultConfig()}
	r.flags = addFlags(cmd, map[string][2]string{
		"database": {"treasuredata.database", "database of a row, by {service} and {kind}"},
		"table":    {"treasuredata.table", "table of a row, by {service} and {kind}"},
		"bucket":   {"treasuredata.rejects.bucket", "S3 bucket for what Treasure Data refuses, that of the lake's rejects or the source's if not set"},
		"stream":   {},
	})
	f := cmd.Flags()
	f.StringVar(&r.from, "from", "", "what to import, s3://bucket/prefix")
	f.StringVar(&r.since, "since", "", "only events from then on: "+absoluteHelp)
	f.StringVar(&r.until, "until", "", "only events before: "+absoluteHelp)
	f.StringVar(&r.job.Format, "format", "auto", "parquet, jsonl.gz (also not compressed) or auto, by an object's name")
	f.IntVar(&r.cfg.Parallel, "parallel", r.cfg.Parallel, "batches at once, if they fit into --memory")
	f.StringVar(&r.memory, "memory", "192MiB", "what the process may take, but for 64 MiB; more makes larger imports, if the job begins with it")
	f.DurationVar(&r.cfg.Patience, "patience", r.cfg.Patience, "how long Treasure Data may take nothing")
	f.StringVar(&r.state, "state", "", "directory or s3://bucket/prefix that remembers what is done (default s3://<bucket of --from>/_tributary/backfill)")
	f.StringVar(&r.job.Name, "name", "", "tells the job from one that imported the same before: all of it is imported again")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, change nothing")
	f.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return r.run(cmd) }
	return cmd
}

// absoluteHelp is what the flags of a job take that has to mean the same tomorrow.
const absoluteHelp = "a time such as 2026-11-22T15:04:05Z, or a day"

func parseAbsolute(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, app.Faultf("%s is %q: want %s, so that the same command goes on with the same job", flag, text, absoluteHelp)
}

// read takes the flags apart.
func (r *backfilling) read() (err error) {
	if r.from == "" {
		return app.Faultf("--from is not set: name what to import, s3://bucket/prefix")
	}
	if r.job.Bucket, r.job.Prefix, err = backfill.ParseFrom(r.from); err != nil {
		return app.Faultf("--from %w", err)
	}
	if r.cfg.Memory, err = config.ParseSize(r.memory); err != nil {
		return app.Faultf("--memory: %w", err)
	}
	since, sinceErr := parseAbsolute("--since", r.since)
	until, untilErr := parseAbsolute("--until", r.until)
	r.job.Since, r.job.Until = since, until
	return errors.Join(sinceErr, untilErr)
}

func (r *backfilling) run(cmd *cobra.Command) error {
	if err := r.read(); err != nil {
		return err
	}
	s, err := r.load(app.Defaults())
	if err != nil {
		return err
	}
	if err := s.CheckBackfill(r.cfg, r.job); err != nil {
		return err
	}
	terminal := isTerminal(cmd.ErrOrStderr())
	log, err := app.NewLogger(s.Log, os.Stderr, terminal)
	if err != nil {
		return err
	}
	b, release, err := app.NewBackfill(cmd.Context(), s, r.cfg, r.job, r.state, log)
	if err != nil {
		return err
	}
	defer release()
	plan, err := b.Plan(cmd.Context())
	if err != nil {
		return faultOf(err)
	}
	if err := printBackfillPlan(cmd.OutOrStdout(), plan, &s.TreasureData); err != nil {
		return err
	}
	if r.dryRun {
		_, err := io.WriteString(cmd.OutOrStdout(), "\nDry run: nothing was changed.\n")
		return err
	}
	if plan.Objects == 0 && !plan.Resumed {
		return app.Faultf("there is nothing to import under %s", plan.From)
	}
	if !r.yes && !plan.Finished {
		if err := ask(cmd, fmt.Sprintf("Import %s into Treasure Data (%s)?", counted(plan.Objects, "object"), s.TreasureData.ImportEndpoint), "import"); err != nil {
			return err
		}
	}
	stop := follow(cmd.ErrOrStderr(), b, log)
	report, err := b.Run(cmd.Context())
	stop()
	if err != nil {
		return faultOf(err)
	}
	return printBackfill(cmd.OutOrStdout(), report, s)
}

// faultOf tells what a person has to mend from what another try may.
func faultOf(err error) error {
	status := objects.Status(err)
	switch {
	case errors.Is(err, treasuredata.ErrKeyRefused), errors.Is(err, backfill.ErrOtherConfiguration), status == 403, status == 404:
		return app.Faultf("%v", err)
	}
	return fmt.Errorf("%w (the same command goes on)", err)
}

// follow shows how far a run has come: a line of figures on a terminal, else one in
// the log now and then.
func follow(out io.Writer, b *backfill.Backfill, log *slog.Logger) (stop func()) {
	if isTerminal(out) {
		return watch(out, func() string { return progressLine(b.Figures(), time.Now()) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				f := b.Figures()
				attrs := []any{"objects", f.Sums.Objects, "of", f.Objects, "bytes", f.Sums.Bytes, "of_bytes", f.Bytes, "rows", f.Rows, "rejects", f.Rejects}
				if rest := left(f, now); rest >= 0 {
					attrs = append(attrs, "left", rest)
				}
				log.Info("importing", attrs...)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// left is how long the rest takes at the rate of this run; negative: not known.
func left(f backfill.Figures, now time.Time) time.Duration {
	read := f.Sums.Bytes - f.Before.Bytes
	if f.Since.IsZero() || read <= 0 {
		return -1
	}
	rate := float64(read) / now.Sub(f.Since).Seconds()
	return (time.Duration(float64(f.Bytes-f.Sums.Bytes)/rate) * time.Second).Round(time.Second)
}

// barWidth is that of the bar alone.
const barWidth = 20

func progressLine(f backfill.Figures, now time.Time) string {
	if f.Since.IsZero() {
		return "taking the inventory …"
	}
	share := 1.0
	if f.Bytes > 0 {
		share = float64(f.Sums.Bytes) / float64(f.Bytes)
	}
	full := min(int(share*barWidth), barWidth)
	text := fmt.Sprintf("[%s%s] %d%% · %s of %s objects · %s rows", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
		int(share*100), grouped(f.Sums.Objects), grouped(f.Objects), grouped(f.Rows))
	if over := now.Sub(f.Since).Seconds(); over > 0 {
		text += fmt.Sprintf(" · %s/s", size(float64(f.LineSize-f.Before.LineSize)/over))
	}
	if rest := left(f, now); rest >= 0 {
		text += fmt.Sprintf(" · %v left", rest)
	}
	if f.Rejects > 0 {
		text += " · " + grouped(f.Rejects) + " REJECTS"
	}
	if f.Faults > 0 {
		text += " · " + grouped(f.Faults) + " DAMAGED"
	}
	return text
}

// size writes bytes for people.
func size(bytes float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	for len(units) > 1 && bytes >= 1000 {
		bytes, units = bytes/1000, units[1:]
	}
	if bytes < 10 && units[0] != "B" {
		return fmt.Sprintf("%.1f %s", bytes, units[0])
	}
	return fmt.Sprintf("%.0f %s", bytes, units[0])
}

func printBackfillPlan(w io.Writer, p *backfill.Plan, td *app.TreasureDataSettings) error {
	var out strings.Builder
	row := func(name, format string, args ...any) {
		text := strings.TrimSuffix(wrap(fmt.Sprintf(format, args...)), "\n")
		fmt.Fprintf(&out, "  %-10s %s\n", name, strings.ReplaceAll(text, "\n", "\n             "))
	}
	fmt.Fprintf(&out, "%s into Treasure Data\n\n", p.From)
	state := "new"
	switch {
	case p.Finished:
		state = "ended before"
	case p.Resumed:
		state = fmt.Sprintf("begun before, %s imported", counted(p.StepsDone, "range"))
	}
	row("job", "%s, %s; its state: %s", p.ID, state, p.State)
	chosen := ""
	if !p.Job.Since.IsZero() {
		chosen += " from " + moment(p.Job.Since)
	}
	if !p.Job.Until.IsZero() {
		chosen += " before " + moment(p.Job.Until)
	}
	if chosen != "" {
		row("events", "only%s", chosen)
	}
	kinds := fmt.Sprintf("%s of Parquet, %s of lines", grouped(p.Parquet), grouped(p.Objects-p.Parquet))
	row("objects", "%s (%s), %s; left out: %s of another time, %s that are not for import", grouped(p.Objects), kinds, size(float64(p.Bytes)), grouped(p.Outside), grouped(p.Skipped))
	if !p.First.IsZero() {
		row("times", "%s to %s, as their names tell", moment(p.First), moment(p.Last))
	}
	row("estimate", "%s rows, %s before compression", grouped(p.Rows), size(float64(p.LineSize)))
	row("batches", "%s; at once: %d of --parallel %d", grouped(p.Batches), p.AtOnce, p.Parallel)
	row("memory", "%d MiB, and up to 64 MiB of the process itself; ranges of %d MiB", p.Memory>>20, p.RangeBytes>>20)
	tables := strings.Join(p.Tables, ", ")
	if p.MoreTables {
		tables += " and more"
	}
	if p.Parquet > 0 {
		tables = strings.TrimPrefix(tables+"; of the rows of Parquet "+td.Database+"."+td.Table, "; of the rows of Parquet ")
	}
	row("tables", "%s", tables)
	out.WriteByte('\n')
	if len(p.OtherKinds) > 0 {
		out.WriteString(wrap(fmt.Sprintf("%s are no kinds (app, audit, raw): the rules say the kind of each line there.", strings.Join(p.OtherKinds, ", "))))
	}
	if p.Parquet > 0 && p.Manifests {
		out.WriteString(wrap("Of the lake's objects those count that a range manifest names."))
	} else if p.Parquet > 0 {
		out.WriteString(wrap("There are no range manifests around the Parquet objects: all of them count."))
	}
	out.WriteString(wrap(fmt.Sprintf("What group %s, or another job, has imported of the same events is there under other ids: it will be there twice.", td.Group.Name)))
	_, err := io.WriteString(w, out.String())
	return err
}

func printBackfill(w io.Writer, r *backfill.Report, s *app.Settings) error {
	var out strings.Builder
	out.WriteByte('\n')
	if r.Already {
		out.WriteString(wrap(fmt.Sprintf("The job ended at %s. This is what came of it:", moment(r.Ended))))
	}
	out.WriteString(wrap(fmt.Sprintf("%s of %s read, %s imported, %s before compression, in %.1f s (its last run).",
		grouped(r.Objects), counted(r.Inventory, "object"), counted(r.Rows-r.Rejects, "row"), size(float64(r.LineSize)), r.Seconds)))
	if r.Outside > 0 {
		out.WriteString(wrap(fmt.Sprintf("%s of another time left out.", counted(r.Outside, "event"))))
	}
	named := func(n int64, text string, list []string) {
		if n == 0 {
			return
		}
		out.WriteString(wrap(fmt.Sprintf(text, counted(n, "object"))))
		for _, key := range list {
			out.WriteString("    " + key + "\n")
		}
	}
	named(r.Orphans, "%s of the lake left out, which no range manifest names:", r.Orphaned)
	named(r.Appeared+r.Changed, "%s appeared or changed after the job began, and are not imported as they are now:", r.ChangedKeys)
	if r.Rejects > 0 {
		out.WriteString(wrap(fmt.Sprintf("%s not imported, kept in s3://%s/%s/%s.", counted(r.Rejects, "row"),
			s.TreasureData.Rejects.Bucket, s.TreasureData.Rejects.Prefix, s.TreasureData.Rejects.Group)))
	}
	if r.Faults > 0 {
		out.WriteString(wrap(fmt.Sprintf("%s not imported as a whole:", counted(r.Faults, "object"))))
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(&out, "    %s\n      %s; imported before that: %s\n", d.Key, d.Text, counted(d.Events, "event"))
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return err
	}
	if !r.Whole() {
		return fmt.Errorf("not all was imported: %s damaged, %s rejected", counted(r.Faults, "object"), counted(r.Rejects, "row"))
	}
	return nil
}
