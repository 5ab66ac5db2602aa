package main

import "math"

// tolerance is how far a ratio may move from one benchmark to the next, on the
// same code.
const tolerance = 0.15

// Change is how the ratio of one process in one stage has moved.
type Change struct {
	Stage     string
	LineBytes int
	Process   string
	Before    float64
	Now       float64
}

// Relative is the change as a part of what was before.
func (c Change) Relative() float64 { return c.Now/c.Before - 1 }

// Within reports whether it lies inside the tolerance.
func (c Change) Within() bool { return math.Abs(c.Relative()) <= tolerance }

// changes pairs what both reports have. Endpoints and load are not the product:
// they are left out.
func changes(before, now *Report) (out []Change) {
	for _, s := range now.Stages {
		old := before.stage(s.Stage, s.LineBytes)
		if old == nil {
			continue
		}
		for _, p := range s.Processes {
			if p.Process == processEndpoints || p.Process == processLoad {
				continue
			}
			for _, o := range old.Processes {
				if o.Process == p.Process && o.Ratio > 0 {
					out = append(out, Change{s.Stage, s.LineBytes, p.Process, o.Ratio, p.Ratio})
				}
			}
		}
	}
	return append(out, readingChanges(before.Runtime, now.Runtime)...)
}

// readingChanges are those of a worker's CPU per event.
func readingChanges(before, now *Runtime) (out []Change) {
	if before == nil || now == nil {
		return nil
	}
	for _, d := range now.Decode {
		for _, o := range before.Decode {
			if o.Records == d.Records && o.ratio() > 0 {
				out = append(out, Change{processWorker, limitsSize, d.Records, o.ratio(), d.ratio()})
			}
		}
	}
	return out
}
