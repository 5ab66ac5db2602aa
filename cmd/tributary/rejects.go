package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/stream"
)

func newRejects() *cobra.Command {
	cmd := &cobra.Command{Use: "rejects", Short: "Look at what no decoder understood, and deliver it again", RunE: needsSubcommand}
	cmd.AddCommand(newRejectsList(), newRejectsShow(), newRejectsReplay())
	return cmd
}

// rejectsCommand is what list, show and replay share.
type rejectsCommand struct {
	*flags
	json          *bool
	since, reason *string // nil for show
}

func newRejectsCommand(cmd *cobra.Command, named map[string][2]string, selects bool) rejectsCommand {
	named["bucket"] = [2]string{"lake.rejects.bucket", "S3 bucket of the rejects, that of the lake if not set"}
	c := rejectsCommand{flags: addFlags(cmd, named), json: cmd.Flags().Bool("json", false, "print JSON")}
	if selects {
		c.since = cmd.Flags().String("since", "", "only what arrived since: "+sinceHelp)
		c.reason = cmd.Flags().String("reason", "", "only with this in the reason")
	}
	return c
}

// open loads the configuration and makes the client.
func (c rejectsCommand) open(ctx context.Context, check func(*app.Settings) error) (*rejects.Archive, *app.Settings, error) {
	s, err := c.load(app.Defaults())
	if err != nil {
		return nil, nil, err
	}
	if err := check(s); err != nil {
		return nil, nil, err
	}
	archive, err := app.NewArchive(ctx, s)
	return archive, s, err
}

func (c rejectsCommand) selection(ids []string) (sel rejects.Selection, err error) {
	if c.since != nil {
		sel.Reason = *c.reason
		if sel.Since, err = parseSince(*c.since, time.Now()); err != nil {
			return sel, err
		}
	}
	for _, text := range ids {
		id, err := rejects.ParseID(text)
		if err != nil {
			return sel, app.Faultf("%w (tributary rejects list shows them)", err)
		}
		sel.IDs = append(sel.IDs, id)
	}
	return sel, nil
}

func newRejectsList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [GROUP]",
		Short: "List rejects, of all groups or of one, and count them by reason",
	}
	c := newRejectsCommand(cmd, map[string][2]string{}, true)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return app.Faultf("%s takes one group, or none for all", cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		archive, _, err := c.open(cmd.Context(), (*app.Settings).CheckRejects)
		if err != nil {
			return err
		}
		sel, err := c.selection(nil)
		if err != nil {
			return err
		}
		groups := args
		if len(args) == 0 {
			if groups, err = archive.Groups(cmd.Context()); err != nil {
				return err
			}
		}
		l := &rejectList{out: cmd.OutOrStdout(), counts: map[reasonOf]*reasonCount{}}
		if *c.json {
			l.json = &jsonList{out: l.out, name: "rejects"}
		}
		for _, g := range groups {
			if err := archive.Each(cmd.Context(), g, sel, l.add); err != nil {
				return err
			}
		}
		return l.end()
	}
	return cmd
}

// rejectList prints rejects as they come, then what they sum up to.
type rejectList struct {
	out    io.Writer
	json   *jsonList // nil: a table
	group  string
	counts map[reasonOf]*reasonCount
}

type reasonOf struct{ group, reason string }

type reasonCount struct {
	Group    string `json:"group"`
	Reason   string `json:"reason"`
	Count    int64  `json:"count"`
	Bytes    int64  `json:"bytes"`
	Replayed int64  `json:"replayed"`
}

const rejectColumns = "%-22s  %-20s  %-6s  %-12s  %-5s  %-8s  %-8s  %s\n"

func (l *rejectList) add(k rejects.Kept) error {
	n := l.counts[reasonOf{k.Group, k.Reason}]
	if n == nil {
		n = &reasonCount{Group: k.Group, Reason: k.Reason}
		l.counts[reasonOf{k.Group, k.Reason}] = n
	}
	n.Count++
	n.Bytes += int64(k.Bytes)
	if k.State == rejects.StateReplayed {
		n.Replayed++
	}
	k.Data = nil
	if l.json != nil {
		return l.json.add(k)
	}
	if k.Group != l.group {
		l.group = k.Group
		fmt.Fprintf(l.out, "group %s\n\n"+rejectColumns, k.Group, "ID", "ARRIVAL", "SHARD", "SEQUENCE", "INDEX", "BYTES", "STATE", "REASON")
	}
	_, err := fmt.Fprintf(l.out, rejectColumns, k.ID, moment(k.Arrival), kin([]stream.ShardID{k.Shard}), tail(k.Sequence),
		fmt.Sprint(k.Index), fmt.Sprint(k.Bytes), k.State, short(printable(k.Reason), 24))
	return err
}

func (l *rejectList) end() error {
	var counts []*reasonCount
	var count, replayed int64
	for _, n := range l.counts {
		counts = append(counts, n)
		count += n.Count
		replayed += n.Replayed
	}
	slices.SortFunc(counts, func(a, b *reasonCount) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	if l.json != nil {
		return l.json.end(map[string]any{"reasons": slices.Concat([]*reasonCount{}, counts), "count": count, "replayed": replayed})
	}
	if count == 0 {
		_, err := fmt.Fprintln(l.out, "No rejects.")
		return err
	}
	g := &grid{}
	g.add("GROUP", "COUNT", "BYTES", "REPLAYED", "REASON")
	for _, n := range counts {
		g.add(short(n.Group, 30), grouped(n.Count), grouped(n.Bytes), grouped(n.Replayed), short(printable(n.Reason), 50))
	}
	_, err := fmt.Fprintf(l.out, "\n%s\n%s, %s replayed\n", g, counted(count, "reject"), grouped(replayed))
	return err
}

// jsonList prints one JSON object with a list of any length.
type jsonList struct {
	out  io.Writer
	name string
	n    int
}

func (j *jsonList) add(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	before := ",\n    "
	if j.n == 0 {
		before = fmt.Sprintf("{\n  %q: [\n    ", j.name)
	}
	j.n++
	_, err = fmt.Fprintf(j.out, "%s%s", before, text)
	return err
}

// end closes the list and adds fields.
func (j *jsonList) end(fields map[string]any) error {
	text, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	list := "\n  ],"
	if j.n == 0 {
		list = fmt.Sprintf("{\n  %q: [],", j.name)
	}
	_, err = fmt.Fprintf(j.out, "%s%s\n", list, strings.TrimPrefix(string(text), "{"))
	return err
}

func newRejectsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID...", Short: "Show rejects: where they come from, why, and their bytes"}
	c := newRejectsCommand(cmd, map[string][2]string{}, false)
	most := cmd.Flags().Int("bytes", 4096, "show at most so many bytes of each; 0 shows all")
	raw := cmd.Flags().String("raw", "", "write the bytes of one reject, as they came, to this file; - is standard output")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return app.Faultf("%s takes ids of rejects (tributary rejects list shows them)", cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		archive, s, err := c.open(cmd.Context(), (*app.Settings).CheckRejects)
		if err != nil {
			return err
		}
		sel, err := c.selection(args)
		if err != nil {
			return err
		}
		show := &rejectShow{out: cmd.OutOrStdout(), bucket: s.Lake.Rejects.Bucket, most: *most, decoder: schema.NewDecoder(), found: map[string]bool{}}
		each := show.text
		switch {
		case *raw != "" && len(args) > 1:
			return app.Faultf("--raw writes one reject")
		case *raw != "":
			each = func(k rejects.Kept) error { return show.raw(k, *raw) }
		case *c.json:
			show.json = &jsonList{out: show.out, name: "rejects"}
			each = show.json.addKept
		}
		groups, err := archive.Groups(cmd.Context())
		if err != nil {
			return err
		}
		for _, g := range groups {
			err := archive.Each(cmd.Context(), g, sel, func(k rejects.Kept) error { show.found[k.ID] = true; return each(k) })
			if err != nil {
				return err
			}
		}
		if show.json != nil {
			if err := show.json.end(map[string]any{"count": len(show.found)}); err != nil {
				return err
			}
		}
		return missing(args, show.found)
	}
	return cmd
}

func (j *jsonList) addKept(k rejects.Kept) error { return j.add(k) }

// missing refuses ids of which nothing was found.
func missing(ids []string, found map[string]bool) error {
	var none []string
	for _, id := range ids {
		any := found[id]
		for f := range found {
			any = any || strings.HasPrefix(f, id+".")
		}
		if !any {
			none = append(none, id)
		}
	}
	if len(none) > 0 {
		return app.Faultf("there is no reject %s", strings.Join(none, ", "))
	}
	return nil
}

type rejectShow struct {
	out     io.Writer
	json    *jsonList
	bucket  string
	most    int
	decoder *schema.Decoder
	found   map[string]bool
}

func (s *rejectShow) text(k rejects.Kept) error {
	b, again, _ := s.decoder.Decode(k.Data, k.Arrival)
	today := counted(int64(len(b.Events)), "event")
	if len(again) > 0 {
		today = fmt.Sprintf("%s and %s: %s", today, counted(int64(len(again)), "reject"), again[0].Reason)
	}
	data, cut := k.Data, ""
	if len(again) == 0 && !b.Epoch.IsZero() { // a record of ours holds more than its lines
		var lines [][]byte
		for i := range b.Events {
			lines = append(lines, b.Events[i].Line)
		}
		data = bytes.Join(lines, []byte("\n"))
	}
	whole := len(data)
	if s.most > 0 && len(data) > s.most {
		data = wholeCharacters(data[:s.most])
		cut = fmt.Sprintf("… %s of %s more: --bytes 0 shows all, --raw FILE writes them\n", counted(int64(whole-len(data)), "byte"), grouped(int64(whole)))
	}
	g := &grid{}
	g.add("reject", k.ID+" of group "+k.Group)
	g.add("object", fmt.Sprintf("s3://%s/%s, line %d", s.bucket, k.Object, k.Line))
	g.add("shard", fmt.Sprintf("%s, generation %d", k.Shard, k.Generation))
	g.add("position", fmt.Sprintf("%s, index %d", k.Sequence, k.Index))
	g.add("arrival", k.Arrival.UTC().Format(time.RFC3339Nano))
	g.add("reason", printable(k.Reason))
	g.add("today", "this build makes of it "+today)
	if k.To != "" {
		g.add("for", "group "+k.To+" alone, whose destination refused it")
	}
	g.add("state", string(k.State))
	g.add("bytes", grouped(int64(k.Bytes)))
	_, err := fmt.Fprintf(s.out, "%s\n%s%s\n", g, readable(data), cut)
	return err
}

func (s *rejectShow) raw(k rejects.Kept, file string) error {
	if len(s.found) > 1 {
		return app.Faultf("--raw writes one reject, and %s names the object of several", strings.Split(k.ID, ".")[0])
	}
	if file == "-" {
		_, err := s.out.Write(k.Data)
		return err
	}
	if err := os.WriteFile(file, k.Data, 0o600); err != nil {
		return app.Faultf("write the bytes: %w", err)
	}
	return nil
}

// wholeCharacters takes off half of a character.
func wholeCharacters(data []byte) []byte {
	for i := range min(utf8.UTFMax, len(data)) {
		if at := len(data) - 1 - i; utf8.RuneStart(data[at]) {
			if !utf8.FullRune(data[at:]) {
				data = data[:at]
			}
			break
		}
	}
	return data
}

// readable is text as it is, and anything else, such as what would steer a terminal,
// in hex.
func readable(data []byte) string {
	text := string(data)
	if utf8.ValidString(text) && strings.IndexFunc(text, unprintable) < 0 {
		return strings.TrimSuffix(text, "\n") + "\n"
	}
	return hex.Dump(data)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' }

// printable keeps what a file says from steering a terminal.
func printable(s string) string { return printableBut(s, "") }

// printableBut lets the characters of also through besides.
func printableBut(s, also string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || strings.ContainsRune(also, r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
