package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tributary/consumers"
	"tributary/stream"
)

// columns is the widest a table may be.
const columns = 120

// grid prints rows in columns as wide as their widest cell, two spaces apart.
type grid struct {
	rows    [][]string
	numbers int // columns from this one on are set to the right; 0: none
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

func (g *grid) String() string {
	var widths []int
	for _, r := range g.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var out strings.Builder
	for _, r := range g.rows {
		var line strings.Builder
		for i, c := range r {
			room := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if g.numbers > 0 && i >= g.numbers {
				c, room = room+c, ""
			}
			line.WriteString(c + room + "  ")
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
}

func printGroups(w io.Writer, lines []consumers.GroupLine) error {
	if len(lines) == 0 {
		_, err := fmt.Fprintln(w, "No groups in this account and region.")
		return err
	}
	g := &grid{}
	g.add("GROUP", "STREAM", "WORKERS", "SHARDS", "HELD", "FINISHED", "PENDING")
	problems := ""
	for _, l := range lines {
		if l.Problem != "" {
			g.add(short(l.Group, 40), "-", "-", "-", "-", "-", "-")
			problems += wrap(l.Group + ": " + l.Problem)
			continue
		}
		of := short(l.Stream[strings.LastIndexByte(l.Stream, '/')+1:], 32)
		if l.Foreign {
			of = "(another library's)"
		}
		g.add(short(l.Group, 40), cmp.Or(of, "-"), strconv.Itoa(l.Workers), strconv.Itoa(l.Shards), strconv.Itoa(l.Held), strconv.Itoa(l.Finished), strconv.Itoa(l.Pending))
	}
	text := g.String()
	if problems != "" {
		text += problemsHead + problems
	}
	_, err := fmt.Fprint(w, text)
	return err
}

const problemsHead = "\nPROBLEMS\n"

func printGroup(w io.Writer, v consumers.GroupView) error {
	g, problems := &grid{}, &strings.Builder{}
	g.add("SHARD", "STATE", "OWNER", "LAG", "CHECKPOINT", "PENDING TO", "GEN", "PARENTS")
	for _, s := range v.Shards {
		pending := "-"
		if s.Pending != nil {
			pending = tail(s.Pending.Last)
		}
		g.add(string(s.Shard), string(s.State), middle(cmp.Or(s.Owner, "-"), 28), lag(s.LagMS), tail(s.Checkpoint), pending, strconv.FormatUint(s.Generation, 10), kin(s.Parents))
		if s.Problem != "" {
			since := ""
			if !s.Since.IsZero() {
				since = " since " + s.Since.Format(time.RFC3339)
			}
			problems.WriteString(wrap(fmt.Sprintf("%s is %s%s: %s", s.Shard, s.State, since, s.Problem)))
		}
		if s.Gap != nil {
			problems.WriteString(wrap(lost(s)))
		}
	}
	for _, p := range v.Problems {
		problems.WriteString(wrap(p))
	}
	head := fmt.Sprintf("group %s on %s\n", v.Group, v.Stream)
	if v.Foreign {
		head += "of another library: nothing of ours ever started on it\n"
	}
	text := head + "\n" + g.String() + "\n" + totals(v) + "\n"
	if problems.Len() > 0 {
		text += problemsHead + problems.String()
	}
	_, err := fmt.Fprint(w, text)
	return err
}

// lost says what a shard's gap means.
func lost(s consumers.ShardView) string {
	what := "all records"
	if s.Gap.Found != "" {
		what = "the records before " + string(s.Gap.Found)
	}
	return fmt.Sprintf("%s has a gap since %s: of the range from %s to %s %s had left the stream when it was delivered; a part of them may have been delivered before",
		s.Shard, s.Gap.At.Format(time.RFC3339), s.Gap.First, s.Gap.Last, what)
}

func totals(v consumers.GroupView) string {
	var states []string
	for _, s := range slices.Sorted(maps.Keys(v.Totals.States)) {
		states = append(states, fmt.Sprintf("%d %s", v.Totals.States[s], s))
	}
	text := fmt.Sprintf("%s (%s), %s, %d pending, largest lag %s", plural(v.Totals.Shards, "shard"), strings.Join(states, ", "),
		plural(v.Totals.Workers, "worker"), v.Totals.Pending, lag(v.Totals.MaxLagMS))
	if v.Totals.MaxLagOf != "" {
		text += " of " + string(v.Totals.MaxLagOf)
	}
	return text
}

func printPlan(w io.Writer, o outcome) error {
	var out strings.Builder
	fmt.Fprintf(&out, "group %s on %s\nreset to %s", o.Group, o.Stream, o.To)
	if !o.ToTime.IsZero() {
		fmt.Fprintf(&out, " (%s)", o.ToTime.Format(time.RFC3339))
	}
	g := &grid{}
	g.add("SHARD", "GEN", "CHECKPOINT", "PENDING TO", "RECORDS")
	var notes []string
	for _, s := range o.Shards {
		generation, pending := fmt.Sprintf("%d → %d", s.Generation, o.Generation), "-"
		if s.Skip != "" {
			generation = strconv.FormatUint(s.Generation, 10)
		}
		if s.Pending != nil {
			pending = tail(s.Pending.Last)
		}
		g.add(string(s.Shard), generation, tail(s.Checkpoint), pending, effect(s))
		if s.Note != "" && !slices.Contains(notes, s.Note) {
			notes = append(notes, s.Note)
		}
	}
	fmt.Fprintf(&out, "\n\n%s\n", g)
	for _, n := range notes {
		out.WriteString(wrap("note: " + n))
	}
	if len(o.Waiting) > 0 {
		out.WriteString(wrap("keep their position, and go on when their parents are finished again: " + strings.Join(o.Waiting, ", ")))
	}
	if len(o.Living) > 0 {
		out.WriteString(wrap("workers live, without --force nothing would be reset: " + strings.Join(o.Living, ", ")))
	}
	_, err := fmt.Fprint(w, out.String())
	return err
}

// effect says in words what happens to which records.
func effect(s consumers.ResetStep) string {
	if s.Skip != "" {
		return s.Skip
	}
	until := "now"
	if !s.Until.IsZero() {
		until = s.Until.UTC().Format(time.RFC3339)
	}
	span := s.From.UTC().Format(time.RFC3339) + " – " + until
	switch s.Effect {
	case consumers.EffectAgain:
		return "again: " + span
	case consumers.EffectSkip:
		return "skipped: " + span
	case consumers.EffectNone:
		return "none moves"
	}
	return "not known"
}

// tail is the end of a sequence number, where neighbours differ.
func tail(s stream.SequenceNumber) string {
	if len(s) > 12 {
		return "…" + string(s[len(s)-11:])
	}
	return cmp.Or(string(s), "-")
}

// kin are shards by their numbers.
func kin(ids []stream.ShardID) string {
	var numbers []string
	for _, id := range ids {
		n := strings.TrimLeft(strings.TrimPrefix(string(id), "shardId-"), "0")
		numbers = append(numbers, short(cmp.Or(n, "0"), 6))
	}
	return cmp.Or(strings.Join(numbers, "+"), "-")
}

func lag(ms *int64) string {
	if ms == nil {
		return "-"
	}
	d := time.Duration(*ms) * time.Millisecond
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// short cuts the end of a long name, middle its middle: workers of one host
// differ at both ends.
func short(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func middle(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	front := (most - 1) / 2
	return string(r[:front]) + "…" + string(r[len(r)-(most-1-front):])
}

// wrap breaks a text into lines, all but the first indented.
func wrap(text string) string {
	const indent = "    "
	const width = columns - len(indent)
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for piece := range slices.Chunk([]rune(word), width) { // a word may be a whole URL
			if line != "" && utf8.RuneCountInString(line)+1+len(piece) > width {
				lines = append(lines, line)
				line = ""
			}
			line = strings.TrimLeft(line+" "+string(piece), " ")
		}
	}
	return strings.Join(append(lines, line), "\n"+indent) + "\n"
}
