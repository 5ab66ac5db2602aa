package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == childArgument {
		return beChild(ctx, args[1:])
	}
	return command(ctx, args)
}

// options are the command line.
type options struct {
	quick                         bool
	runs                          int
	sizes, parts                  string
	dir, output, compare, profile string
}

func parse(args []string) (o options, err error) {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.BoolVar(&o.quick, "quick", false, "a small version, to see that it works")
	set.IntVar(&o.runs, "runs", 0, "runs of each stage (default 3)")
	set.StringVar(&o.sizes, "sizes", "", "bytes of a line, of 500,4096,40960 (default all)")
	set.StringVar(&o.parts, "parts", "", "of stages,slow,acks,limits,realtime,encode,consumers,lake-memory,crowd,faulty,away (default all)")
	set.StringVar(&o.dir, "dir", "bin", "where to make the directory of everything; its disk is measured too")
	set.StringVar(&o.output, "o", "", "file to write the report to, as JSON")
	set.StringVar(&o.compare, "compare", "", "an earlier report: print how the ratios have changed")
	set.StringVar(&o.profile, "profile", "", "directory for CPU profiles of all processes; the figures suffer")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", set.Arg(0))
	}
	return o, nil
}

// command is the benchmark from its flags to its exit.
func command(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{plan: fullPlan(), out: os.Stderr, profile: profiler{o.profile}, report: &Report{Format: reportFormat, Made: time.Now().UTC()}}
	if o.quick {
		b.plan = quickPlan()
		b.report.Notes = append(b.report.Notes, "-quick: one short run of each; the figures mean little")
	}
	if err := b.plan.choose(o.sizes, o.parts, o.runs); err != nil {
		return err
	}
	// Full hour before the last: lines end before now, and all in one hour.
	b.base = b.report.Made.Truncate(time.Hour).Add(-time.Hour)
	var before *Report
	if o.compare != "" {
		if before, err = load(o.compare); err != nil {
			return err
		}
	}
	if o.profile != "" {
		b.report.Notes = append(b.report.Notes, "-profile: profiling was on and costs CPU")
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return fmt.Errorf("make the directory for profiles: %w", err)
		}
	}
	if b.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.run(ctx); err != nil {
		return err
	}
	b.report.print(os.Stdout)
	if before != nil {
		printChanges(os.Stdout, before, b.report)
	}
	if o.output != "" {
		return b.report.save(o.output)
	}
	return nil
}
