package main

import (
	"fmt"
	"io"
)

// Of the ceiling, by kind; and how much larger than DuckDB's the objects may be.
const (
	wantAppShare   = 0.6
	wantAuditShare = 0.7
	wantSize       = 1.03
)

func (r *Report) printEncodes(w io.Writer) {
	if len(r.Encodes) == 0 {
		return
	}
	fmt.Fprintf(w, "\nThe lake's encoder: decoded records to verified objects in memory, zstd at its fastest, attributes as a map\n")
	for _, e := range r.Encodes {
		fmt.Fprintf(w, "  %-6s %s lines, %.0f MB in %d ranges: %.0f MB per CPU second from the line on, %.2f of the ceiling of %.0f (scan %s s, zstd %s s)\n",
			e.Kind, group(float64(e.Lines)), float64(e.Bytes)/1e6, e.Ranges, e.rate(), e.share(), e.ceiling(), listed(e.Scan), listed(e.Compress))
		fmt.Fprintf(w, "         the whole sink %.0f MB per CPU second (%s s), of it decoding the records it held %s s\n", e.sink(), listed(e.CPU), listed(e.Decode))
		fmt.Fprintf(w, "         objects %.1f MB, %.2f times smaller; their pages %.1f MB\n", float64(e.Objects)/1e6, float64(e.Bytes)/float64(e.Objects), float64(e.Pages)/1e6)
		for _, d := range e.DuckDB {
			level := "its own level of zstd"
			if d.Level > 0 {
				level = fmt.Sprintf("level %d of zstd", d.Level)
			}
			fmt.Fprintf(w, "         %s, %s: %.0f MB per CPU second (%s s), %.1f MB\n", d.Version, level, d.rate(e.Bytes), listed(d.CPU), float64(d.Bytes)/1e6)
		}
		for _, line := range e.Profile {
			fmt.Fprintf(w, "         %s\n", line)
		}
	}
}

func (e *Encode) targets() (out []Target) {
	want := wantAppShare
	if e.Kind == "audit" {
		want = wantAuditShare
	}
	out = append(out, Target{
		"encoder, " + e.Kind + " lines", fmt.Sprintf("at least %.1f of the ceiling", want), fmt.Sprintf("%.2f", e.share()), e.share() >= want,
	})
	for _, d := range e.DuckDB {
		ratio := float64(e.Objects) / float64(d.Bytes)
		what := "objects of " + e.Kind + " lines"
		if d.Level > 0 {
			what += ", DuckDB at the level of ours"
		}
		out = append(out, Target{what, "at most 3 % larger than DuckDB's", fmt.Sprintf("%+.1f %%", (ratio-1)*100), ratio <= wantSize})
	}
	return out
}
