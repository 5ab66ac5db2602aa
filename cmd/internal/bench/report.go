package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// reportFormat changes when a file of an earlier version can no longer be compared.
const reportFormat = 1

// Report is what the benchmark found; its JSON is what -compare reads.
type Report struct {
	Format     int         `json:"format"`
	Made       time.Time   `json:"made"`
	Machine    Machine     `json:"machine"`
	Settings   []Setting   `json:"settings"` // the configuration in force
	Notes      []string    `json:"notes"`
	Stages     []StageRow  `json:"stages"`
	Yardsticks []Yardstick `json:"yardsticks"`
	Ceilings   []Ceiling   `json:"ceilings"`
	Slow       *Slow       `json:"slow,omitempty"`
	Acks       *Acks       `json:"acks,omitempty"`
	Limits     *Limits     `json:"limits,omitempty"`
	Realtime   []*Realtime `json:"realtime,omitempty"`
	Encodes    []*Encode   `json:"encoder,omitempty"`
	Runtime    *Runtime    `json:"consumer_runtime,omitempty"`
	LakeMemory *LakeMemory `json:"lake_memory,omitempty"`
	Crowd      *Crowd      `json:"crowd,omitempty"`
	Faulty     []*Faulty   `json:"faulty,omitempty"`
	Away       []*Away     `json:"away,omitempty"`
	Targets    []Target    `json:"targets"`
	Runs       []Run       `json:"runs"` // what the medians come from
}

// Setting is one value of the configuration in force.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Usage is what one process took in one run, its start excepted where it serves
// more than one run.
type Usage struct {
	Process    string  `json:"process"`
	CPUSeconds float64 `json:"cpu_seconds"` // user and system
	PeakRSS    int64   `json:"peak_rss_bytes"`
}

// Run is one execution of a stage whose result was right.
type Run struct {
	Stage       string  `json:"stage"`
	LineBytes   int     `json:"line_bytes"`
	Lines       int64   `json:"lines"`
	Seconds     float64 `json:"seconds"` // of the clock
	Yardstick   float64 `json:"yardstick_cpu_seconds_per_million_lines"`
	StreamBytes int64   `json:"stream_bytes,omitempty"` // stored in Kinesis, 0: not looked at
	Records     int64   `json:"records,omitempty"`
	Processes   []Usage `json:"processes"`
}

// StageRow is a stage with one size of lines: medians of its runs.
type StageRow struct {
	Stage          string       `json:"stage"`
	LineBytes      int          `json:"line_bytes"`
	Lines          int64        `json:"lines"`
	Runs           int          `json:"runs"`
	LinesPerSecond float64      `json:"lines_per_second"`
	StreamRatio    float64      `json:"stream_bytes_per_log_byte,omitempty"`
	RecordBytes    float64      `json:"record_bytes,omitempty"` // mean
	Processes      []ProcessRow `json:"processes"`
}

// ProcessRow is one process of a stage.
type ProcessRow struct {
	Process       string  `json:"process"`
	CPUPerMillion float64 `json:"cpu_seconds_per_million_lines"`
	Ratio         float64 `json:"ratio"`        // to the yardstick
	Spread        float64 `json:"ratio_spread"` // of the runs' ratios, relative
	PeakRSS       int64   `json:"peak_rss_bytes"`
}

// Target is something the project promises.
type Target struct {
	What    string `json:"what"`
	Want    string `json:"want"`
	Got     string `json:"got"`
	Reached bool   `json:"reached"`
}

// stageRows makes a row of the runs of each stage and size, in their order.
func stageRows(runs []Run) (out []StageRow) {
	type key struct {
		stage string
		size  int
	}
	of := make(map[key][]Run)
	var order []key
	for _, r := range runs {
		k := key{r.Stage, r.LineBytes}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], r)
	}
	for _, k := range order {
		out = append(out, row(of[k]))
	}
	return out
}

func row(runs []Run) StageRow {
	first := runs[0]
	s := StageRow{Stage: first.Stage, LineBytes: first.LineBytes, Lines: first.Lines, Runs: len(runs)}
	s.LinesPerSecond = medianOf(runs, func(r Run) float64 { return float64(r.Lines) / r.Seconds })
	s.StreamRatio = medianOf(runs, func(r Run) float64 { return float64(r.StreamBytes) / float64(r.Lines*int64(r.LineBytes)) })
	s.RecordBytes = medianOf(runs, func(r Run) float64 { return float64(r.StreamBytes) / float64(max(1, r.Records)) })
	for i, p := range first.Processes {
		cpu := func(r Run) float64 { return r.Processes[i].CPUSeconds / float64(r.Lines) * 1e6 }
		ratios := values(runs, func(r Run) float64 { return cpu(r) / r.Yardstick })
		row := ProcessRow{
			Process: p.Process, CPUPerMillion: medianOf(runs, cpu), Ratio: median(ratios), Spread: spread(ratios),
		}
		for _, r := range runs {
			row.PeakRSS = max(row.PeakRSS, r.Processes[i].PeakRSS)
		}
		s.Processes = append(s.Processes, row)
	}
	return s
}

func values(runs []Run, of func(Run) float64) (out []float64) {
	for _, r := range runs {
		out = append(out, of(r))
	}
	return out
}

func medianOf(runs []Run, of func(Run) float64) float64 { return median(values(runs, of)) }

// stage finds a row; nil if there is none.
func (r *Report) stage(name string, size int) *StageRow {
	i := slices.IndexFunc(r.Stages, func(s StageRow) bool { return s.Stage == name && s.LineBytes == size })
	if i < 0 {
		return nil
	}
	return &r.Stages[i]
}

func (r *Report) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func load(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read report %s: %w", path, err)
	}
	if r.Format != reportFormat {
		return nil, fmt.Errorf("read report %s: it has format %d, this version knows %d", path, r.Format, reportFormat)
	}
	return &r, nil
}
