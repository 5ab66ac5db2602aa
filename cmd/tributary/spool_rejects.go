package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tributary/schema"
	"tributary/stream/forwarder"
	"tributary/stream/refused"
)

const spoolRejectsLong = `Show the events that the stream refuses for good, which a forwarder keeps beside its
spool so that they do not hold up the others: when, whose, why, and the line. It
changes nothing and also works on a copy or beside a running forwarder.

With --send the stream is offered them once more, when the cause is gone: as new
events, since consumers are beyond their old places. Time, origin and line stay. What
the stream takes is removed, what it refuses again stays. Cut off, the same command
goes on, and consumers drop what they have. The forwarder must be stopped; of a dead
instance drain the spool first (tributary spool drain), with the same configuration.

With --send it ends with 1 when some of them stay.`

func newSpoolRejects() *cobra.Command {
	cmd := &cobra.Command{Use: "rejects DIR", Short: "Show what the stream refuses for good, or send it again", Long: spoolRejectsLong, ValidArgsFunction: completeDir}
	f := addFlags(cmd, nil)
	cmd.Args = oneDir
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	most := cmd.Flags().Int("bytes", 4096, "show at most so many bytes of each line; 0 shows all")
	send := cmd.Flags().Bool("send", false, "offer them to the stream once more")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !*send {
			return showSpoolRejects(cmd.OutOrStdout(), args[0], *asJSON, *most)
		}
		err := sendSpoolRejects(cmd, f, args[0], *asJSON)
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("the same command goes on: %w", err)
		}
		return err
	}
	return cmd
}

func sendSpoolRejects(cmd *cobra.Command, f *flags, dir string, asJSON bool) error {
	s, _, err := deadSpool(f, dir)
	if err != nil {
		return err
	}
	var done forwarder.Sending
	err = withDeadSpool(cmd.Context(), s, func(f *forwarder.Forwarder, ctx context.Context) (err error) {
		done, err = f.SendRejects(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), done)
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s sent to stream %s.\n", counted(int64(done.Sent), "reject"), s.Stream.Ref)
	}
	switch {
	case err != nil:
		return err
	case done.Waiting > 0:
		return fmt.Errorf("%s left, %s of them because the spool still has them: tributary spool drain %s", counted(int64(done.Refused+done.Waiting), "reject"), grouped(int64(done.Waiting)), dir)
	case done.Refused > 0:
		return fmt.Errorf("%s left, which the stream refuses again", counted(int64(done.Refused), "reject"))
	}
	return nil
}

// shownReject is a reject as --json has it.
type shownReject struct {
	ID     string        `json:"id"`
	At     time.Time     `json:"at"`
	Reason string        `json:"reason"`
	Time   time.Time     `json:"time"`
	Kind   string        `json:"kind"`
	Origin schema.Origin `json:"origin"`
	Part   string        `json:"part,omitempty"`
	Line   []byte        `json:"line"` // base64
}

func showSpoolRejects(w io.Writer, dir string, asJSON bool, most int) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("look for rejects: %w", err)
	}
	var list *jsonList
	if asJSON {
		list = &jsonList{out: w, name: "rejects"}
	}
	decoder, count := schema.NewDecoder(), 0
	err := refused.Each(dir, func(r refused.Reject) error {
		count++
		shown := shownReject{ID: fmt.Sprintf("%s.%d.%d", r.Epoch, r.Lane, r.Offset), At: r.At, Reason: r.Reason, Kind: "unknown", Line: r.Record}
		if b, rejects, _ := decoder.Borrow(r.Record, r.At); len(b.Events) == 1 && len(rejects) == 0 {
			e := &b.Events[0]
			shown.Time, shown.Kind, shown.Origin, shown.Line = time.Unix(0, e.Time).UTC(), e.Kind.String(), *e.Origin, e.Line
			if e.Part.Number > 0 {
				shown.Part = fmt.Sprintf("%d of %d", e.Part.Number, e.Part.Count)
			}
		}
		if list != nil {
			return list.add(shown)
		}
		return shown.print(w, most)
	})
	if err != nil {
		return err
	}
	if list != nil {
		return list.end(map[string]any{"count": count})
	}
	text := "No rejects."
	if count > 0 {
		text = counted(int64(count), "reject") + "; --send offers them to the stream once more."
	}
	_, err = fmt.Fprintln(w, text)
	return err
}

func (r shownReject) print(w io.Writer, most int) error {
	data, cut := r.Line, ""
	if most > 0 && len(data) > most {
		cut = fmt.Sprintf("… %s more: --bytes 0 shows all\n", counted(int64(len(data)-most), "byte"))
		data = wholeCharacters(data[:most])
	}
	g := &grid{}
	g.add("reject", r.ID)
	g.add("refused", moment(r.At))
	g.add("reason", printable(r.Reason))
	g.add("event", fmt.Sprintf("%s of %s, %s bytes", r.Kind, moment(r.Time), grouped(int64(len(r.Line)))))
	if r.Part != "" {
		g.add("part", r.Part)
	}
	g.add("from", printable(fmt.Sprintf("service %s, container %s %s, %s", strconv.Quote(r.Origin.Service), r.Origin.ContainerName, short(r.Origin.ContainerID, 12), r.Origin.Host)))
	_, err := fmt.Fprintf(w, "%s\n%s%s\n", g, readable(data), cut)
	return err
}

// printKept sums up the rejects of a spool.
func printKept(w io.Writer, kept *refused.Report) {
	fmt.Fprintf(w, "Rejects    %s, %s", grouped(int64(kept.Rejects)), binary(kept.FileBytes))
	if kept.First != nil {
		fmt.Fprintf(w, ", refused from %s to %s", moment(*kept.First), moment(*kept.Last))
	}
	if kept.DamagedBytes > 0 {
		fmt.Fprintf(w, ", %s damaged", binary(kept.DamagedBytes))
	}
	fmt.Fprintln(w)
	for i, r := range kept.Reasons {
		if i == maxReasonRows {
			fmt.Fprintf(w, "           … %d more reasons\n", len(kept.Reasons)-i)
			break
		}
		fmt.Fprintf(w, "           %s: %s\n", grouped(int64(r.Rejects)), short(printable(r.Reason), columns-20))
	}
	fmt.Fprintln(w)
}

// maxReasonRows bounds the reasons shown; --json has them all.
const maxReasonRows = 10
