package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/sinks/lake"
)

func newLake() *cobra.Command {
	cmd := &cobra.Command{Use: "lake", Short: "Look at the lake, define its tables", RunE: needsSubcommand}
	cmd.AddCommand(newLakeVerify(), newLakeDDL())
	return cmd
}

const verifyLong = `Prove that the lake is whole: that the ranges of each shard and generation follow
one another without gap or overlap, as their manifests say, and that every object
they name is there with its size. --deep also reads each object's metadata and
footer and compares all counts of rows and values; --hash reads the whole lake and
compares SHA-256.

--since looks at the ranges finished since then, and at what was written since; the
first of them is still held against the end of the range before it.

Objects of the range that is just being flushed are no fault. What the stream holds
and no range covers yet is not looked at: tributary groups describe tells that lag.

The command ends with 0 when all of it is proven, with 1 when something is wrong with
the lake, with 2 when it could not look: S3 refused, a manifest is of a later
version, there is nothing to look at.`

func newLakeVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Prove that ranges are contiguous and every object is there", Long: verifyLong,
		Example: `  tributary lake verify --since 26h --json || notify "the lake is not whole"
  tributary lake verify --deep --since 2026-11-22`}
	f := addFlags(cmd, map[string][2]string{"bucket": {"lake.bucket", "S3 bucket of the lake"}})
	since := cmd.Flags().String("since", "", "only what was finished since: "+sinceHelp)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	var o lake.ProofOptions
	cmd.Flags().BoolVar(&o.Deep, "deep", false, "read each object's metadata and footer, and compare counts")
	cmd.Flags().BoolVar(&o.Hash, "hash", false, "read each object as a whole and compare SHA-256; implies --deep")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := f.load(app.Defaults())
		if err != nil {
			return err
		}
		if err := s.CheckStored(); err != nil {
			return err
		}
		if o.Since, err = parseSince(*since, time.Now()); err != nil {
			return err
		}
		prover, err := app.NewProver(cmd.Context(), s)
		if err != nil {
			return err
		}
		return verify(cmd, prover, o, *asJSON)
	}
	return cmd
}

func verify(cmd *cobra.Command, prover *lake.Prover, o lake.ProofOptions, asJSON bool) error {
	stop := watch(cmd.ErrOrStderr(), func() string {
		objects, ranges := prover.Looked()
		return fmt.Sprintf("%s objects listed · %s ranges read", app.Group(float64(objects)), app.Group(float64(ranges)))
	})
	proof, unable := prover.Prove(cmd.Context(), o)
	stop()
	var err error
	switch {
	case asJSON:
		err = printJSON(cmd.OutOrStdout(), proof)
	case proof.Complete || len(proof.Chains) > 0 || proof.FaultCount > 0:
		err = printProof(cmd.OutOrStdout(), proof)
	}
	if err != nil {
		return app.Faultf("print the proof: %w", err)
	}
	// An interrupt is no proof: wrapped as it is it would end the command with 0.
	switch {
	case proof.FaultCount > 0 && unable != nil:
		return fmt.Errorf("the lake is not whole: %s; not all was looked at: %v", counted(proof.FaultCount, "fault"), unable)
	case proof.FaultCount > 0:
		return fmt.Errorf("the lake is not whole: %s", counted(proof.FaultCount, "fault"))
	case unable != nil:
		return app.Faultf("%v", unable)
	}
	return nil
}

// watch keeps a line of figures on a terminal until the returned function is called.
func watch(out io.Writer, line func() string) (stop func()) {
	if !isTerminal(out) {
		return func() {}
	}
	progress := app.NewProgress(out, app.Columns)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		progress.Show(ctx, func(time.Duration) string { return line() })
	}()
	return func() { cancel(); <-done }
}

func printProof(w io.Writer, p *lake.Proof) error {
	var out strings.Builder
	fmt.Fprintf(&out, "lake s3://%s", strings.TrimSuffix(p.Bucket+"/"+p.Prefix, "/"))
	if !p.Since.IsZero() {
		fmt.Fprintf(&out, ", ranges finished since %s", p.Since.Format(time.RFC3339))
	}
	out.WriteString("\n\n")
	if len(p.Chains) > 0 {
		g := &grid{}
		g.add("SHARD", "GEN", "RANGES", "OBJECTS", "ROWS", "FROM", "TO", "FAULTS", "OPEN")
		for _, c := range p.Chains {
			g.add(middle(string(c.Shard), 20), strconv.FormatUint(c.Generation, 10), grouped(c.Ranges), grouped(c.Objects), grouped(c.Rows),
				moment(c.ArrivalFirst), moment(c.ArrivalLast), grouped(c.Faults), grouped(c.Open))
		}
		out.WriteString(g.String() + "\n")
	}
	sum := p.Totals()
	out.WriteString(wrap(fmt.Sprintf("%s: %s, %s, %s.", verdict(p), counted(sum.Ranges, "range"), counted(sum.Objects, "object"), counted(sum.Rows, "row"))))
	if sum.Open > 0 {
		out.WriteString(wrap(fmt.Sprintf("%s, the first of %s, are of ranges that are not finished (OPEN): being flushed, or given up by a reset.",
			counted(sum.Open, "object"), moment(sum.OpenSince))))
	}
	if sum.Rejects > 0 {
		out.WriteString(wrap(fmt.Sprintf("%s in these ranges: tributary rejects list shows them.", counted(sum.Rejects, "reject"))))
	}
	if p.FaultCount > 0 {
		out.WriteString("\nFAULTS\n")
	}
	for _, f := range p.Faults {
		of := ""
		if f.Shard != "" {
			of = fmt.Sprintf(" in %s, generation %d", f.Shard, f.Generation)
		}
		// A name is for copying: it is never broken.
		out.WriteString(wrap(fmt.Sprintf("%s%s: %s", f.Kind, of, f.Text)) + "    s3://" + p.Bucket + "/" + f.Key + "\n")
	}
	if more := p.FaultCount - int64(len(p.Faults)); more > 0 {
		fmt.Fprintf(&out, "and %s more\n", grouped(more))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func verdict(p *lake.Proof) string {
	looked := "listed"
	if p.Deep {
		looked = "footers read"
	}
	if p.Hash {
		looked = "hashes compared"
	}
	switch {
	case p.FaultCount > 0:
		return "NOT WHOLE"
	case !p.Complete:
		return "Not all was looked at"
	case p.Totals().Ranges == 0 && !p.Since.IsZero():
		return "No range was finished since then"
	}
	return "Whole, objects " + looked
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(n) + " " + what
}

func grouped(n int64) string { return app.Group(float64(n)) }

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
