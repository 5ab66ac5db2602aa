package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/cmd/internal/cluster"
)

// TestMain lets the test binary be the child processes, as the benchmark is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArgument {
		main()
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { cluster.RemoveBuilt(); os.Exit(code) }),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// small is a plan of seconds.
func small(parts ...string) plan {
	p := quickPlan()
	p.sizes, p.parts = []int{500}, parts
	p.lines = map[int]int64{500: 3_000}
	p.slowFor, p.acksFor, p.limitsWarm, p.limitsFor = time.Second, 300*time.Millisecond, 500*time.Millisecond, 2*time.Second
	p.ceilingBytes, p.yard, p.judged = 4<<20, yardPlan{blocks: 1, cpu: 0.02}, true
	return p
}

func newBench(t *testing.T, p plan) *bench {
	t.Helper()
	now := time.Now().UTC()
	binary, err := cluster.Built()
	if err != nil {
		t.Fatal(err)
	}
	return &bench{plan: p, binary: binary, dir: t.TempDir(), out: t.Output(), base: now.Truncate(time.Hour).Add(-time.Hour), report: &Report{Format: reportFormat, Made: now}}
}

func TestASmallBenchmarkMeasuresEveryPart(t *testing.T) {
	t.Parallel()
	b := newBench(t, small(partStages, partSlow, partAcks, partLimits))
	b.profile.dir = t.TempDir()
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := b.report
	for _, stage := range []string{stageForward, stageRead, stageLake, stageChain} {
		s := r.stage(stage, 500)
		if s == nil {
			t.Fatalf("no stage %s", stage)
		}
		if s.LinesPerSecond <= 0 || len(s.Processes) == 0 || s.Processes[0].CPUPerMillion <= 0 || s.Processes[0].Ratio <= 0 {
			t.Errorf("stage %s has %+v", stage, s)
		}
	}
	if s := r.stage(stageForward, 500); s.StreamRatio < 0.05 || s.StreamRatio > 0.5 {
		t.Errorf("%v bytes into the stream per log byte", s.StreamRatio)
	}
	if c := r.Ceilings[0]; c.PutPerSecond <= 0 || c.GetPerSecond <= 0 || c.PutEndpointCPU <= 0 {
		t.Errorf("the ceiling is %+v", c)
	}
	if s := r.Slow; s.Lines != 15 || s.DelayP99 <= 0 || s.DelayP99 > 30 || s.StreamRatio <= 0 {
		t.Errorf("slow is %+v", s)
	}
	if a := r.Acks; a.Written <= 0 || a.Synced <= 0 || a.Ceiling <= 0 {
		t.Errorf("acks are %+v", a)
	}
	if l := r.Limits; l.Lines == 0 || len(l.Samples) == 0 || l.Imbalance < 1 || l.Imbalance > limitsShards {
		t.Errorf("limits is %+v", l)
	}
	if files, _ := filepath.Glob(filepath.Join(b.profile.dir, "read-500-*.pprof")); len(files) != 1 {
		t.Errorf("profiles: %v", files)
	}
	narrow(t, r)
}

func TestLinesAreFollowedFromTheSocketIntoLogGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t, small(partRealtime))
	b.plan.realtime = []realtimeCase{{name: "few", rate: 400, shards: 2, want: 60}}
	b.plan.realtimeWarm, b.plan.realtimeFor = 250*time.Millisecond, 750*time.Millisecond
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := b.report.Realtime[0]; r.Lines != 400 || r.Copies != 0 || r.DelayP50 <= 0 || r.DelayP99 < r.DelayP50 || r.DelayMost > 60 {
		t.Errorf("it is %+v", r)
	}
	var text strings.Builder
	b.report.print(&text)
	if !strings.Contains(text.String(), "socket to accepted by CloudWatch Logs, few") {
		t.Errorf("the report does not say so:\n%s", text.String())
	}
}

// printed is the report, whose width is looked at.
func printed(t *testing.T, r *Report) string {
	t.Helper()
	var text strings.Builder
	r.print(&text)
	printChanges(&text, r, r)
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	return text.String()
}

// narrow looks for what a report of many parts tells.
func narrow(t *testing.T, r *Report) {
	t.Helper()
	text := printed(t, r)
	for _, want := range []string{"forward.spool.ack", "whole chain, 500 B lines", "lag with shard limits on", "Yardstick", "peak memory of lake"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report says nothing of %q:\n%s", want, text)
		}
	}
}

func TestALineThatIsMissingFailsTheStage(t *testing.T) {
	t.Parallel()
	b := newBench(t, small(partStages))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := b.newWorld(ctx, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	f, err := w.forwarder(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// 100 lines are promised, the last is never sent.
	load, err := newChild(processLoad, LoadOrder{Address: f.Forward, Lines: b.source(500), Count: 99, Connections: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := collect[LoadFound](ctx, load, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := f.Interrupt(time.Minute); err != nil {
		t.Fatal(err)
	}
	child, err := newChild("read", ReadOrder{Stream: streamName, Lines: 100, Seed: b.plan.seed, Passes: 1, Within: 3 * time.Second}, w.Env())
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := collect[ReadFound](ctx, child, time.Minute); err == nil || !strings.Contains(child.Output(), "1 are missing, 0 are doubled, and 0 were never sent") {
		t.Errorf("got %v\n%s", err, child.Output())
	}
}

func TestProcessesOfTheProductServeProfiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	w, err := b.newWorld(t.Context(), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	resp, err := http.Get("http://" + w.endpoints.Admin + "/debug/pprof/heap?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(text), "heap profile") {
		t.Errorf("got %s: %.100s", resp.Status, text)
	}
}

func TestTheCommandLineIsChecked(t *testing.T) {
	for name, args := range map[string][]string{
		"a size nobody knows":         {"-sizes", "17"},
		"a part nobody knows":         {"-parts", "engine"},
		"too many runs":               {"-runs", "1000"},
		"an argument":                 {"now"},
		"an earlier report not there": {"-compare", filepath.Join(t.TempDir(), "none.json")},
	} {
		t.Run(name, func(t *testing.T) {
			if err := command(t.Context(), append([]string{"-dir", t.TempDir()}, args...)); err == nil {
				t.Fatal("accepted")
			}
		})
	}
	if err := start(t.Context(), []string{childArgument, "cook", "{}"}); err == nil {
		t.Error("a child nobody knows runs")
	}
}

func TestAReportSurvivesItsFileAndComparesWithItself(t *testing.T) {
	r := &Report{Format: reportFormat, Stages: []StageRow{{Stage: stageLake, LineBytes: 500, Processes: []ProcessRow{
		{Process: processLake, Ratio: 2}, {Process: processEndpoints, Ratio: 1},
	}}}}
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	before, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		now    float64
		within bool
	}{
		"the same":            {2, true},
		"14 % more":           {2.28, true},
		"16 % more":           {2.32, false},
		"16 % less is as odd": {1.68, false},
	} {
		r.Stages[0].Processes[0].Ratio = c.now
		got := changes(before, r)
		if len(got) != 1 || got[0].Within() != c.within {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestAReportOfAnotherFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.json")
	text, _ := json.Marshal(map[string]int{"format": reportFormat + 1})
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := load(path); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("got %v", err)
	}
}
