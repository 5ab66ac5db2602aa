package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A plan is how much is measured.
type plan struct {
	seed         uint64
	runs         int
	sizes        []int
	lines        map[int]int64 // by size
	shards       int           // limits off
	connections  int
	readPasses   int
	parts        []string
	slowFor      time.Duration
	acksFor      time.Duration // of each kind of ack, at the rate that is wanted
	limitsWarm   time.Duration
	limitsFor    time.Duration
	realtime     []realtimeCase
	realtimeWarm time.Duration // left out of the delays: lanes open, groups are made
	realtimeFor  time.Duration // each
	yard         yardPlan
	ceilingBytes int64
	encodeBytes  int64 // of lines of each kind
	runtime      runtimePlan
	crowd        crowdPlan
	faulty       []faultyCase
	away         awayPlan
	judged       bool // long enough for speed and lag to be held against their targets
}

// Parts of a benchmark.
const (
	partStages = "stages"
	partSlow   = "slow"
	partAcks   = "acks"
	partLimits = "limits"

	partRealtime  = "realtime"
	partEncode    = "encode"
	partConsumers = "consumers"

	partLakeMemory = "lake-memory"

	partCrowd  = "crowd"
	partFaulty = "faulty"
	partAway   = "away"
)

// fullPlan takes some twenty-two minutes on two cores. A run of the smallest lines is
// long enough for lanes to open (two seconds of load) and for a median to mean
// something; larger lines make as many bytes.
func fullPlan() plan {
	return plan{
		seed: 1, runs: 3, sizes: []int{500, 4 << 10, 40 << 10},
		lines:  map[int]int64{500: 800_000, 4 << 10: 100_000, 40 << 10: 10_000},
		shards: 4, connections: 8, readPasses: 3,
		parts:   []string{partStages, partSlow, partAcks, partLimits, partRealtime, partEncode, partConsumers, partLakeMemory, partCrowd, partFaulty, partAway},
		slowFor: 25 * time.Second, acksFor: 10 * time.Second, limitsWarm: 8 * time.Second, limitsFor: 30 * time.Second,
		realtime: allRealtime, realtimeWarm: 25 * time.Second, realtimeFor: 30 * time.Second,
		yard: fullYard(), ceilingBytes: 256 << 20, encodeBytes: 90 << 20, runtime: fullRuntime(), judged: true,
		crowd:  crowdPlan{honest: 700, slow: 200, garbage: 100, lines: 200},
		faulty: allFaulty(), away: fullAway(),
	}
}

// quickPlan shows in less than three minutes that everything works. Its figures mean
// little.
func quickPlan() plan {
	p := fullPlan()
	p.runs, p.readPasses, p.judged = 1, 1, false
	p.lines = map[int]int64{500: 20_000, 4 << 10: 4_000, 40 << 10: 400}
	p.slowFor, p.acksFor, p.limitsWarm, p.limitsFor, p.realtimeFor = 4*time.Second, 2*time.Second, 3*time.Second, 6*time.Second, 2*time.Second
	p.realtime, p.realtimeWarm = allRealtime[1:2], time.Second // by fan-out
	p.ceilingBytes, p.encodeBytes, p.runtime = 16<<20, 8<<20, quickRuntime()
	p.crowd.lines = 20
	p.faulty = quicker(allFaulty()[1:], 10_000) // the first is the second then
	p.away.before, p.away.outage, p.away.after = time.Second, 3*time.Second, 2*time.Second
	return p
}

// choose narrows the plan to what a person asks for; empty means all.
func (p *plan) choose(sizes, parts string, runs int) error {
	if sizes != "" {
		p.sizes = nil
		for text := range strings.SplitSeq(sizes, ",") {
			size, err := strconv.Atoi(text)
			if err != nil || p.lines[size] == 0 {
				return fmt.Errorf("-sizes: %q is none of 500, 4096, 40960", text)
			}
			p.sizes = append(p.sizes, size)
		}
	}
	if parts != "" {
		p.parts = strings.Split(parts, ",")
		for _, part := range p.parts {
			if !slices.Contains(fullPlan().parts, part) {
				return fmt.Errorf("-parts: %q is none of %s", part, strings.Join(fullPlan().parts, ", "))
			}
		}
	}
	if runs < 0 || runs > 100 {
		return fmt.Errorf("-runs: %d is not within 1 and 100", runs)
	}
	if runs > 0 {
		p.runs, p.runtime.runs = runs, runs
	}
	return nil
}

func (p *plan) has(part string) bool { return slices.Contains(p.parts, part) }
