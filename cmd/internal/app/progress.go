package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Progress keeps one line at the bottom of a terminal and lets logs pass above
// it. It is the writer of the logger.
type Progress struct {
	mu    sync.Mutex
	out   io.Writer
	width func() int
	line  string
}

// NewProgress draws on out, a terminal of width columns; a line is cut there,
// since one that wraps cannot be drawn over.
func NewProgress(out io.Writer, width func() int) *Progress { return &Progress{out: out, width: width} }

const clearLine = "\r\x1b[K"

// Write puts p above the line.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == "" {
		return p.out.Write(b)
	}
	if _, err := io.WriteString(p.out, clearLine); err != nil {
		return 0, err
	}
	n, err := p.out.Write(b)
	if err == nil {
		_, err = io.WriteString(p.out, p.line)
	}
	return n, err
}

func (p *Progress) draw(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := []rune(line); len(text) >= p.width() {
		line = string(text[:max(0, p.width()-1)])
	}
	p.line = line
	_, _ = io.WriteString(p.out, clearLine+line) // a terminal that is gone has nobody to tell
}

// Run redraws from the registry's figures until ctx ends, and then leaves the last
// figures standing.
func (p *Progress) Run(ctx context.Context, reg prometheus.Gatherer) error {
	var before figures
	p.Show(ctx, func(over time.Duration) string {
		now := read(reg)
		text := now.text(before, over)
		before = now
		return text
	})
	return nil
}

// Show redraws what line returns until ctx ends, and then leaves it standing. line
// is told how long ago it was asked before; 0 for the last time, when there is no
// rate to show.
func (p *Progress) Show(ctx context.Context, line func(over time.Duration) string) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			p.draw(line(0))
			p.mu.Lock()
			defer p.mu.Unlock()
			p.line = ""
			_, _ = io.WriteString(p.out, "\n")
			return
		case <-tick.C:
		}
		p.draw(line(time.Since(last)))
		last = time.Now()
	}
}

// figures are what the line shows.
type figures struct {
	received, lines, records, events, objects, rows, lag, rejects float64
	forwards, consumes                                            bool
}

func read(reg prometheus.Gatherer) (f figures) {
	families, err := reg.Gather()
	if err != nil {
		return f
	}
	for _, family := range families {
		switch family.GetName() {
		case "tributary_forwarder_received_total":
			f.received, f.forwards = total(family), true
		case "tributary_forwarder_lines_total":
			f.lines = total(family)
		case "tributary_forwarder_records_total":
			f.records = total(family)
		case "tributary_consumers_events_total":
			f.events, f.consumes = total(family), true
		case "tributary_consumers_rejects_total":
			f.rejects = total(family)
		case "tributary_consumers_lag_seconds":
			f.lag = highest(family)
		case "tributary_lake_objects_total":
			f.objects = total(family)
		case "tributary_lake_rows_total":
			f.rows = total(family)
		}
	}
	return f
}

func (f figures) text(before figures, over time.Duration) string {
	var parts []string
	if f.forwards {
		rate := ""
		if over > 0 {
			rate = fmt.Sprintf(" (%s/s)", Group((f.lines-before.lines)/over.Seconds()))
		}
		parts = append(parts, Group(f.lines)+" lines in"+rate, Group(f.records)+" records")
	}
	if f.consumes {
		parts = append(parts, Group(f.events)+" events read", fmt.Sprintf("lag %.1fs", f.lag),
			Group(f.rows)+" rows in "+Group(f.objects)+" objects")
	}
	if f.rejects > 0 {
		parts = append(parts, Group(f.rejects)+" REJECTS")
	}
	return strings.Join(parts, " · ")
}

// Group writes 1234567 as 1,234,567.
func Group(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return 0
}

func total(f *dto.MetricFamily) (sum float64) {
	for _, m := range f.Metric {
		sum += value(m)
	}
	return sum
}

func highest(f *dto.MetricFamily) (most float64) {
	for _, m := range f.Metric {
		most = max(most, value(m))
	}
	return most
}
