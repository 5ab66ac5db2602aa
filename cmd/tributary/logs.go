package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/logtail"
)

const (
	// serviceGroups is what the log group of a service is named below.
	serviceGroups = "/tributary/"
	// errorGroups is where a service's errors are once more.
	errorGroups = "/errors"
)

const logsLong = `Print log events of CloudWatch Logs across all log streams of a group, one of which
is one shard, in the order of time. Of several groups too.

--service condor is --group /tributary/condor, with --errors /tributary/condor/errors,
where its errors are once more. One * in a name stands for anything, and a name that
ends in / for all that begin so; --service '*' leaves the groups of errors out, and
--errors alone takes them all.

--filter is CloudWatch's own pattern: ERROR timeout finds both words, "a phrase" what
is between the quotes, ?a ?b either, -c what is without, { $.status = 500 } by a field.

--follow goes on with what comes until Ctrl-C. Each event comes once, and none is
missed that can be read at most --overlap after its time; one that is late comes late.
An account has five such calls a second in all, of which this takes four at most: of
twenty groups each is looked at every seven seconds.

--json prints one object a line: time, group, stream, message, ingestion_time and
event_id. Fields may be added. The message is as it is stored; without --json what
could steer a terminal is replaced.`

// logsCommand are the flags of logs.
type logsCommand struct {
	*flags
	groups, services      []string
	errors, follow, json  bool
	filter, stream, shard string
	since, until          string
	limit                 int
	overlap               time.Duration
}

func newLogs() *cobra.Command {
	cmd := &cobra.Command{Use: "logs", Short: "Print log events of CloudWatch Logs, and follow them", Long: logsLong,
		Example: `  tributary logs --service condor --filter 'timeout -retry' --since 2h
  tributary logs --errors -f
  tributary logs --group '/tributary/*' --since 2026-11-22T15:00:00Z --until 2026-11-22T15:05:00Z --json`}
	// The Kinesis stream is not read here, and --stream means another.
	c := &logsCommand{flags: addFlags(cmd, map[string][2]string{"stream": {}}), overlap: logtail.DefaultConfig().Overlap}
	f := cmd.Flags()
	f.StringSliceVar(&c.groups, "group", nil, "log group, or many by a * or a / at the end; may be repeated")
	f.StringSliceVar(&c.services, "service", nil, "the group of a service, "+serviceGroups+"<service>; may be repeated")
	f.BoolVar(&c.errors, "errors", false, "only the groups of errors, <group>"+errorGroups)
	f.StringVar(&c.filter, "filter", "", "only events that match this pattern of CloudWatch Logs")
	f.StringVar(&c.stream, "stream", "", "only log streams whose names begin so")
	f.StringVar(&c.shard, "shard", "", "only the log stream of this shard, such as shardId-000000000003 or 3")
	f.StringVar(&c.since, "since", "10m", "from when on: "+sinceHelp)
	f.StringVar(&c.until, "until", "", "until before then, as --since")
	f.BoolVarP(&c.follow, "follow", "f", false, "go on with what comes, until Ctrl-C")
	f.DurationVar(&c.overlap, "overlap", c.overlap, "with --follow: how late an event may come and is still found")
	f.IntVar(&c.limit, "limit", 0, "end after so many events, from the oldest; 0: all")
	f.BoolVar(&c.json, "json", false, "print JSON, one object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd) }
	return cmd
}

func (c *logsCommand) run(cmd *cobra.Command) error {
	query, err := c.query(time.Now())
	if err != nil {
		return err
	}
	s, err := c.load(app.Defaults())
	if err != nil {
		return err
	}
	log, err := app.NewLogger(s.Log, cmd.ErrOrStderr(), isTerminal(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	aws, err := s.AWS.Load(cmd.Context())
	if err != nil {
		return err
	}
	// Without any there is nobody to ask, however often.
	if _, err := aws.Credentials.Retrieve(cmd.Context()); err != nil && cmd.Context().Err() == nil {
		return app.Faultf("no AWS credentials: %w", err)
	}
	cfg := logtail.DefaultConfig()
	cfg.Overlap = c.overlap
	r, err := logtail.New(cfg, query, app.NewCloudWatchLogs(aws), log)
	if err != nil {
		return app.Faultf("logs: %w", err)
	}
	return c.read(cmd.Context(), r, cmd.OutOrStdout())
}

func (c *logsCommand) read(ctx context.Context, r *logtail.Reader, out io.Writer) error {
	read, show := r.Search, c.text
	if c.follow {
		read = r.Follow
	}
	if c.json {
		show = logJSON
	}
	err := read(ctx, func(e logtail.Event) error { return show(out, e) })
	if errors.Is(err, logtail.ErrRefused) {
		return app.Faultf("%w", err)
	}
	return err
}

// query reads the flags.
func (c *logsCommand) query(now time.Time) (q logtail.Query, err error) {
	q = logtail.Query{Filter: c.filter, Streams: c.stream, Limit: c.limit}
	if q.Groups, err = c.patterns(); err != nil {
		return q, err
	}
	switch {
	case c.shard != "" && c.stream != "":
		return q, app.Faultf("--stream and --shard both name log streams: leave one of them out")
	case c.shard != "":
		q.Streams = string(shardIDs([]string{c.shard})[0])
	case c.follow && c.until != "":
		return q, app.Faultf("--follow has no end and --until is one: leave one of them out")
	}
	if q.Since, err = parseSince(c.since, now); err != nil {
		return q, err
	}
	if q.Until, err = parsePast("--until", c.until, now); err != nil {
		return q, err
	}
	return q, nil
}

// patterns are the groups that the flags name.
func (c *logsCommand) patterns() (all []logtail.Pattern, err error) {
	services := c.services
	if len(c.groups)+len(services) == 0 {
		if !c.errors {
			return nil, app.Faultf("no log group is named: set --service, --group or --errors")
		}
		services = []string{"*"}
	}
	add := func(name, except string) error {
		p, err := logtail.ParsePattern(name)
		if err != nil {
			return app.Faultf("%w", err)
		}
		if c.errors {
			p = p.Under(errorGroups)
		} else {
			p.Except = except
		}
		all = append(all, p)
		return nil
	}
	for _, name := range c.groups {
		if err := add(name, ""); err != nil {
			return nil, err
		}
	}
	for _, name := range services {
		if name == "" {
			return nil, app.Faultf("--service is empty: name a service, or '*' for all")
		}
		// All that is in the groups of errors is in the others too.
		if err := add(serviceGroups+name, errorGroups); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// severalGroups tells whether a line has to say which group it is of.
func (c *logsCommand) severalGroups() bool {
	named := slices.Concat(c.groups, c.services)
	return len(named) != 1 || strings.Contains(named[0], "*") || strings.HasSuffix(named[0], "/")
}

const logTime = "2006-01-02T15:04:05.000Z07:00"

func (c *logsCommand) text(out io.Writer, e logtail.Event) error {
	of := ""
	if c.severalGroups() {
		of = printable(strings.TrimPrefix(e.Group, serviceGroups)) + "  "
	}
	_, err := fmt.Fprintf(out, "%s  %s%s\n", e.Time.Format(logTime), of, legible(e.Message))
	return err
}

// legible is a message of which no line can be taken for that of another event, and
// nothing steers a terminal.
func legible(message string) string {
	message = strings.TrimRight(strings.ReplaceAll(message, "\r\n", "\n"), "\n")
	return strings.ReplaceAll(printableBut(message, "\t\n"), "\n", "\n    ")
}

// logLine is an event as --json prints it.
type logLine struct {
	Time          string `json:"time"`
	Group         string `json:"group"`
	Stream        string `json:"stream"`
	Message       string `json:"message"`
	IngestionTime string `json:"ingestion_time"`
	EventID       string `json:"event_id"`
}

func logJSON(out io.Writer, e logtail.Event) error {
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	return to.Encode(logLine{e.Time.Format(logTime), e.Group, e.Stream, e.Message, e.Ingested.Format(logTime), e.ID})
}
