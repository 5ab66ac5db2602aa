package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheMemoryOfALakeWorkerIsMeasured(t *testing.T) {
	t.Parallel()
	p := small(partLakeMemory)
	p.runtime.memoryShards, p.runtime.lakeBatches, p.runtime.pendingBatches = 4, 2, 1
	p.runtime.lease, p.runtime.lakeAge = 2*time.Second, 500*time.Millisecond
	b := newBench(t, p)
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := b.report.LakeMemory
	for name, h := range map[string]*Held{"drain": r.Drain, "dead": r.Dead, "replay": r.Replay} {
		if h == nil || h.Shards != 4 || h.Bytes < 4*batchLines*limitsSize || h.Seconds <= 0 || h.Peak <= 0 {
			t.Errorf("%s is %+v", name, h)
		}
	}
	if r.Dead.WorkerBytes != quarter*r.Replay.WorkerBytes {
		t.Errorf("the dead one had %d bytes, its heir has %d", r.Dead.WorkerBytes, r.Replay.WorkerBytes)
	}
	var text strings.Builder
	b.report.print(&text)
	for _, want := range []string{"drains full shards", "delivers those of the dead one", "lake memory: drain 4 full shards", "lake memory: 4 ranges of a worker"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, &text)
		}
	}
	for _, target := range r.targets() {
		if !target.Reached {
			t.Errorf("missed: %+v", target)
		}
	}
}
