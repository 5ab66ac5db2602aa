package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// DuckDB is what COPY of the same lines takes there, on one thread, each range a file
// as it is an object here.
type DuckDB struct {
	Version string    `json:"version"`
	Level   int       `json:"zstd_level"`  // 0: its own choice
	CPU     []float64 `json:"cpu_seconds"` // of each run
	Bytes   int64     `json:"object_bytes"`
}

func (d *DuckDB) rate(lines int64) float64 { return float64(lines) / 1e6 / median(d.CPU) }

// duckdbModule has the program. It is not ours to link: DuckDB needs cgo.
const duckdbModule = "cmd/internal/duckdb"

// duckdb measures COPY of the same lines, at the level of zstd that it chooses and at
// the lowest, as ours.
func (b *bench) duckdb(ctx context.Context, in *encodeInput) (all []*DuckDB, err error) {
	program, err := b.buildDuckDB(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "duckdb-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	var files []string
	for i, batches := range in.ranges {
		var lines bytes.Buffer
		for _, batch := range batches {
			for _, e := range batch.Events {
				lines.Write(e.Line)
				lines.WriteByte('\n')
			}
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("%d.json", i)))
		if err := os.WriteFile(files[i], lines.Bytes(), 0o600); err != nil {
			return nil, fmt.Errorf("write lines: %w", err)
		}
	}
	for level := range 2 {
		d := &DuckDB{Level: level}
		for run := 0; run <= b.plan.runs; run++ { // the first is to warm up
			cpu, size := 0.0, int64(0)
			for _, file := range files {
				took, err := runDuckDB(ctx, program, in.found.Kind, file, level)
				if err != nil {
					return nil, err
				}
				d.Version, cpu, size = took.Engine, cpu+took.CPUSeconds, size+took.BytesOut
			}
			if run > 0 {
				d.CPU, d.Bytes = append(d.CPU, cpu), size
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// buildDuckDB compiles the program, once.
func (b *bench) buildDuckDB(ctx context.Context) (string, error) {
	path, err := filepath.Abs(filepath.Join(b.dir, "duckdb-copy"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "tributary")
	root, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find its module: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./copy")
	build.Dir = filepath.Join(strings.TrimSpace(string(root)), duckdbModule)
	build.Env = append(build.Environ(), "CGO_ENABLED=1")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build its program: %w: %s", err, strings.Join(strings.Fields(string(text)), " "))
	}
	return path, nil
}

// duckdbTook is what its program prints.
type duckdbTook struct {
	Engine     string  `json:"engine"`
	CPUSeconds float64 `json:"cpu_seconds"`
	BytesOut   int64   `json:"bytes_out"`
}

func runDuckDB(ctx context.Context, program, kind, lines string, level int) (took duckdbTook, err error) {
	rows := lines + ".parquet"
	cmd := exec.CommandContext(ctx, program, "-kind", kind, "-in", lines, "-out", rows, "-level", strconv.Itoa(level))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return took, fmt.Errorf("run its program: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return took, errors.Join(json.Unmarshal(out, &took), os.Remove(rows))
}
