package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

func TestRowsAreMediansOfTheirRuns(t *testing.T) {
	run := func(seconds, yard, cpu float64, rss int64) Run {
		return Run{Stage: stageChain, LineBytes: 500, Lines: 1000, Seconds: seconds, Yardstick: yard, StreamBytes: 100_000, Records: 10,
			Processes: []Usage{{processLake, cpu, rss}}}
	}
	got := stageRows([]Run{run(1, 1, 0.002, 5), run(2, 2, 0.008, 9), run(4, 1, 0.003, 7)})
	if len(got) != 1 {
		t.Fatalf("got %d rows", len(got))
	}
	s, p := got[0], got[0].Processes[0]
	if s.LinesPerSecond != 500 || s.StreamRatio != 0.2 || s.RecordBytes != 10_000 || s.Runs != 3 {
		t.Errorf("the stage is %+v", s)
	}
	// CPU s/M 2, 8, 3; by the yardsticks 2, 4, 3: the median of the ratios is not the
	// ratio of the medians.
	if p.CPUPerMillion != 3 || p.Ratio != 3 || p.PeakRSS != 9 {
		t.Errorf("the process is %+v", p)
	}
}

func TestTargetsJudge(t *testing.T) {
	r := &Report{
		Stages: []StageRow{{Stage: stageChain, LineBytes: 500, LinesPerSecond: 39_999}},
		Limits: &Limits{Slope: 0.5, Grows: true},
		Runs:   []Run{{Processes: []Usage{{processLake, 1, 401e6}, {processForwarder, 1, 399e6}}}},
	}
	want := map[string]bool{
		"whole chain, 500 B lines, shard limits off": false, "lag with shard limits on": false,
		"peak memory of lake": false, "peak memory of forwarder": true,
	}
	got := r.targets()
	if len(got) != len(want) {
		t.Errorf("%d targets: %+v", len(got), got)
	}
	for _, target := range got {
		if reached, ok := want[target.What]; !ok || reached != target.Reached {
			t.Errorf("%+v", target)
		}
	}
}

func TestALagThatGrowsIsToldFromOneThatVaries(t *testing.T) {
	for name, c := range map[string]struct {
		lag   func(second int) float64
		grows bool
	}{
		"steady":                    {func(int) float64 { return 1 }, false},
		"up and down":               {func(s int) float64 { return 1 + float64(s%2) }, false},
		"a second in ten":           {func(s int) float64 { return 0.1 * float64(s) }, true},
		"a hundredth each second":   {func(s int) float64 { return 1 + 0.01*float64(s) }, false},
		"high only while it begins": {func(s int) float64 { return 1 + 30/float64(s*s) }, false},
	} {
		var l Limits
		for s := 1; s <= 30; s++ {
			l.Samples = append(l.Samples, Sample{Second: float64(s), Forwarder: c.lag(s) / 2, Reader: c.lag(s) / 2})
		}
		if l.judge(); l.Grows != c.grows {
			t.Errorf("%s: slope %v, %v then %v, grows: %v", name, l.Slope, l.LagFirst, l.LagLast, l.Grows)
		}
	}
}

func TestRowsOfTheLakeAreCounted(t *testing.T) {
	src := Source{Seed: 1, Size: 500, Base: time.Unix(0, 0), Step: time.Second}
	line := func(n int64) []byte { b, _ := src.lines().Append(nil, n); return b }
	for name, c := range map[string]struct {
		lines [][]byte
		want  string
	}{
		"each once":          {[][]byte{line(0), line(1), line(2)}, ""},
		"one missing":        {[][]byte{line(0), line(2)}, "1 are missing, 0 are doubled, and 0 were never sent"},
		"one doubled":        {[][]byte{line(0), line(1), line(2), line(1)}, "0 are missing, 1 are doubled, and 0 were never sent"},
		"one nobody sent":    {[][]byte{line(0), line(1), line(2), line(3)}, "0 are missing, 0 are doubled, and 1 were never sent"},
		"one without number": {[][]byte{line(0), line(1), line(2), []byte("hello")}, "0 are missing, 0 are doubled, and 1 were never sent"},
	} {
		t.Run(name, func(t *testing.T) {
			type row struct {
				Message string `parquet:"message"`
			}
			var rows []row
			for _, l := range c.lines {
				rows = append(rows, row{string(l)})
			}
			dir := t.TempDir()
			if err := parquet.WriteFile(filepath.Join(dir, "a.parquet"), rows); err != nil {
				t.Fatal(err)
			}
			err := checkRows(dir, 1, 3)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := checkRows(filepath.Join(t.TempDir(), "none"), 1, 3); err == nil {
		t.Error("a lake without objects has all rows")
	}
}
