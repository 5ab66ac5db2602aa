package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/schema"
	"tributary/schema/edit"
	"tributary/schema/filter"
	"tributary/stream/forwarder"
)

func newConfigTest() *cobra.Command {
	var c sample
	var at string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Show what the rules of a configuration do to sample lines",
		Long: `Show what the rules of a configuration do to sample lines: one on each line of
standard input, as a container would write it. Each is classified and edited by
the code of the forwarder; then the filter of realtime judges what goes on. A
sample without a key goes by a line's place in the stream, which is not known
here: it goes by the text of the line instead.`,
		Example: `  docker logs shop-api 2>&1 | tributary config test tributary.yaml --service shop-api
  tributary config test tributary.yaml --json < lines | jq -r 'select(.forward.sent) | .forward.result'`,
	}
	f := addFlags(cmd, nil)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return app.Faultf("%s takes one configuration file", cmd.CommandPath())
		}
		return nil
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
	cmd.Flags().StringVar(&c.service, "service", "", "service of the lines, whatever rules.service says")
	cmd.Flags().StringVar(&c.kind, "kind", "", "kind of the lines, whatever rules.kinds says: app, audit or raw")
	cmd.Flags().StringVar(&c.origin.Source, "source", "stdout", "stdout or stderr")
	cmd.Flags().StringVar(&at, "time", "", "when the lines arrive, such as 2026-11-22T15:04:05Z (default now)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines, the last with the sums")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.file != "" {
			return app.Faultf("--config is not for this command: name the file as its argument")
		}
		f.file = args[0]
		c.arrival = time.Now()
		if at != "" {
			var err error
			if c.arrival, err = time.Parse(time.RFC3339, at); err != nil {
				return app.Faultf("--time is %q: want a time such as 2026-11-22T15:04:05Z", at)
			}
		}
		if kinds := []string{"", "app", "audit", "raw"}; !slices.Contains(kinds, c.kind) {
			return app.Faultf("--kind is %q, want app, audit or raw", c.kind)
		}
		s, err := f.again(app.Defaults, (*app.Settings).CheckForward)()
		if err != nil {
			return err
		}
		if err := c.prepare(s); err != nil {
			return err
		}
		out := bufio.NewWriter(cmd.OutOrStdout())
		return errors.Join(c.run(cmd.InOrStdin(), int(s.Forward.MaxLineBytes), out, asJSON), out.Flush())
	}
	return cmd
}

// sample is a run of lines through the rules.
type sample struct {
	service, kind string
	origin        schema.Origin
	arrival       time.Time

	rules    *forwarder.Rules
	names    []string // of rules
	levels   *filter.Filter
	realtime *filter.Filter
	work     edit.Work
	sums     sums
}

// tried is what becomes of one line. Names and meanings stay; fields may be added.
type tried struct {
	Line     int         `json:"line"`
	Kind     string      `json:"kind"`
	Service  string      `json:"service"`
	Level    string      `json:"level"`
	Time     time.Time   `json:"time"`
	Forward  forwarded   `json:"forward"`
	Realtime *chosenLine `json:"realtime,omitempty"` // of a line that goes on, when there are rules
}

// forwarded is what the rules of the forwarder do.
type forwarded struct {
	Sent    bool         `json:"sent"`
	Rule    string       `json:"rule,omitempty"` // that decided
	Changes []lineChange `json:"changes,omitempty"`
	Result  string       `json:"result,omitempty"`
}

type lineChange struct {
	Rule   string `json:"rule"`
	What   string `json:"what"`
	Values int    `json:"values"`
	Bytes  int64  `json:"bytes"`
}

// chosenLine is what the filter of realtime says.
type chosenLine struct {
	Sent bool   `json:"sent"`
	Rule string `json:"rule,omitempty"`
}

// sums are those of all lines.
type sums struct {
	Lines    int       `json:"lines"`
	Dropped  int       `json:"dropped"`
	Changed  int       `json:"changed"`
	Bytes    int64     `json:"bytes"`
	Result   int64     `json:"result_bytes"`
	Realtime *int      `json:"realtime_lines,omitempty"`
	Rules    []ruleSum `json:"rules"`
}

type ruleSum struct {
	Rule   string `json:"rule"`
	Action string `json:"action"`
	Events int    `json:"events"` // that it decided on, or changed
	Bytes  int64  `json:"bytes"`  // of lines that it dropped, of what it masked or cut off
}

func (c *sample) prepare(s *app.Settings) (err error) {
	if c.rules, err = s.LineRules(); err != nil {
		return err
	}
	if c.levels, err = (filter.Rules{LevelPaths: s.Forward.Edits.LevelPaths}).Compile(); err != nil {
		return err
	}
	if len(s.Realtime.Filter.Rules) > 0 {
		if c.realtime, err = s.Realtime.Filter.Compile(); err != nil {
			return app.Faultf("realtime.filter.%w", err)
		}
		c.sums.Realtime = new(int)
	}
	c.names = c.rules.Names()
	for i, action := range c.rules.Actions() {
		c.sums.Rules = append(c.sums.Rules, ruleSum{Rule: c.names[i], Action: action})
	}
	return nil
}

func (c *sample) run(in io.Reader, longest int, out *bufio.Writer, asJSON bool) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longest)
	encode := json.NewEncoder(out)
	encode.SetEscapeHTML(false)
	for lines.Scan() {
		t := c.try(lines.Bytes())
		if asJSON {
			if err := encode.Encode(t); err != nil {
				return err
			}
			continue
		}
		t.print(out)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return app.Faultf("line %d is longer than forward.max_line_bytes (%d)", c.sums.Lines+1, longest)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	if asJSON {
		return encode.Encode(map[string]any{"summary": c.sums})
	}
	return c.sums.print(out)
}

// try does to a line what the forwarder and the filter of realtime do.
func (c *sample) try(line []byte) tried {
	arrival := c.arrival.UnixNano()
	v := c.rules.Classify(line, &c.origin, arrival, arrival)
	if c.service != "" {
		v.Service = c.service
	}
	for k := schema.KindRaw; k <= schema.KindAudit; k++ {
		if k.String() == c.kind {
			v.Kind = k
		}
	}
	event := &schema.Event{Time: v.Time, Kind: v.Kind, Origin: &c.origin, Line: line}
	s := &filter.Subject{Event: event, Kind: v.Kind, Service: v.Service}
	c.sums.Lines++
	c.sums.Bytes += int64(len(line))
	t := tried{Line: c.sums.Lines, Kind: v.Kind.String(), Service: v.Service, Level: c.levels.Judge(s).Level.String(), Time: time.Unix(0, v.Time).UTC()}
	r := c.rules.Edit(&c.work, s)
	t.Forward.Sent = r.Send
	if r.Rule >= 0 {
		t.Forward.Rule = c.names[r.Rule]
		c.sums.Rules[r.Rule].Events++
	}
	if !r.Send {
		c.sums.Dropped++
		c.sums.Rules[r.Rule].Bytes += int64(len(line))
		return t
	}
	t.Forward.Result = string(r.Line)
	c.sums.Result += int64(len(r.Line))
	for _, change := range r.Changes {
		t.Forward.Changes = append(t.Forward.Changes, lineChange{c.names[change.Rule], change.What.String(), change.Values, change.Bytes})
		c.sums.Rules[change.Rule].Events++
		c.sums.Rules[change.Rule].Bytes += change.Bytes
	}
	if len(r.Changes) > 0 {
		c.sums.Changed++
	}
	if c.realtime != nil {
		event.Line = r.Line
		verdict := c.realtime.Judge(s)
		t.Realtime = &chosenLine{Sent: verdict.Send}
		if verdict.Rule >= 0 {
			t.Realtime.Rule = c.realtime.Names()[verdict.Rule]
		}
		if verdict.Send {
			*c.sums.Realtime++
		}
	}
	return t
}

func (t *tried) print(out io.Writer) {
	var did []string
	switch f := &t.Forward; {
	case !f.Sent:
		did = append(did, fmt.Sprintf("dropped by %q", f.Rule))
	case f.Rule != "":
		did = append(did, fmt.Sprintf("kept by %q", f.Rule))
	}
	for _, c := range t.Forward.Changes {
		did = append(did, fmt.Sprintf("%s by %q (%d bytes)", c.What, c.Rule, c.Bytes))
	}
	if r := t.Realtime; r != nil && !r.Sent {
		did = append(did, fmt.Sprintf("not to CloudWatch Logs by %q", r.Rule))
	}
	if len(did) == 0 {
		did = append(did, "as it is")
	}
	fmt.Fprintf(out, "%d  %s  %s  %s  %s  %s\n", t.Line, t.Kind, t.Service, t.Level, t.Time.Format(time.RFC3339Nano), strings.Join(did, "; "))
	if t.Forward.Sent {
		fmt.Fprintf(out, "   %s\n", t.Forward.Result)
	}
}

func (s *sums) print(out io.Writer) error {
	fmt.Fprintf(out, "\n%s: %d dropped, %d changed", count(int64(s.Lines)), s.Dropped, s.Changed)
	if s.Realtime != nil {
		fmt.Fprintf(out, ", %d to CloudWatch Logs", *s.Realtime)
	}
	fmt.Fprintf(out, "\n%s bytes, %s go on", app.Group(float64(s.Bytes)), app.Group(float64(s.Result)))
	if saved := s.Bytes - s.Result; saved < 0 { // by hashes and masks of short values
		fmt.Fprintf(out, ": %.1f %% more", -100*float64(saved)/float64(s.Bytes))
	} else if s.Bytes > 0 {
		fmt.Fprintf(out, ": %.1f %% saved", 100*float64(saved)/float64(s.Bytes))
	}
	fmt.Fprintln(out)
	if len(s.Rules) == 0 {
		_, err := fmt.Fprintln(out, "\nforward.rules has no rules")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nrule\taction\tevents\tbytes")
	for _, r := range s.Rules {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\n", r.Rule, r.Action, r.Events, r.Bytes)
	}
	return table.Flush()
}
