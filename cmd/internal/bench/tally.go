package main

import (
	"fmt"

	"tributary/cmd/internal/workload"
)

// tally counts numbered lines.
type tally struct {
	seed    uint64
	seen    []bool
	count   int64
	doubled int64
	strange int64
}

func newTally(seed uint64, lines int64) *tally {
	return &tally{seed: seed, seen: make([]bool, lines)}
}

func (t *tally) line(line []byte) {
	seed, n, ok := workload.Number(line)
	switch {
	case !ok || seed != t.seed || n >= int64(len(t.seen)):
		t.strange++
	case t.seen[n]:
		t.doubled++
	default:
		t.seen[n] = true
		t.count++
	}
}

func (t *tally) complete() bool { return t.count == int64(len(t.seen)) }

// verdict is an error unless every line was there once and nothing else was.
func (t *tally) verdict() error {
	if t.complete() && t.doubled == 0 && t.strange == 0 {
		return nil
	}
	return fmt.Errorf("of %d lines %d are missing, %d are doubled, and %d were never sent",
		len(t.seen), int64(len(t.seen))-t.count, t.doubled, t.strange)
}
