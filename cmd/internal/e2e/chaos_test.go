package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// chaosLeases make a worker's death felt soon. Renewals come every 0.6 s.
var chaosLeases = []string{
	"--set", fmt.Sprintf("lake.group.lease_duration=%v", leaseDuration),
	"--set", fmt.Sprintf("lake.group.attempt_timeout=%v", leaseDuration/5),
	"--set", "lake.group.reader.attempt_timeout=1s", "--set", "lake.attempt_timeout=1s",
	"--set", "lake.group.drain_timeout=2s", "--set", "lake.group.policy.max_age=300ms",
}

// chaos is what three workers and the shards under them go through. A worker that
// was killed starts again at once, under a name that nobody knows.
func chaos(d time.Duration) Plan {
	p := Plan{Duration: d, Reshards: Reshards{Quiet: Span{second / 2, 3 * second}, First: 4, Least: 2, Most: 8}}
	for _, name := range []string{"lake-1", "lake-2", "lake-3"} {
		p.Processes = append(p.Processes, Trouble{Target: name, Quiet: Span{second, 5 * second}, Outages: []Outage{
			{Kill, Span{}}, {Kill, Span{}}, {Kill, Span{}}, {Interrupt, Span{}},
			{Stop, Span{leaseDuration + second/2, 2 * leaseDuration}},
		}})
	}
	return p
}

// TestWorkersDieWhileShardsSplitAndMergeAndEachLineIsOneRowInItsOrder throttles as
// the service does. "make chaos" runs it for two minutes.
func TestWorkersDieWhileShardsSplitAndMergeAndEachLineIsOneRowInItsOrder(t *testing.T) {
	t.Parallel()
	schedule := draw(t, 15*second, chaos)
	s := NewSystem(t, "-race")
	s.Add(s.Endpoints("--limits", "true", "--shards", "4"))
	// What was stored although its sender does not know comes a second time.
	if err := s.SetFaults(t.Context(), faultsOf("kinesis", "PutRecords")...); err != nil {
		t.Fatal(err)
	}
	referee, end := s.referee()
	sent, lanes := NewLedger(), Lanes{Seed: schedule.Seed, Count: 32, Rate: 400}
	stop := s.feedLanes(lanes, sent)
	for i := range 3 {
		s.Add(s.LakeWorker(fmt.Sprintf("lake-%d", i+1), chaosLeases...))
	}
	s.note("play begins")
	if err := s.Play(t.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	s.note("played")
	stop()
	s.note("fed")
	fed := time.Now()
	lake := NewLake(s.LakeDir())
	// A shard begins when its parents have ended: a busy machine is generations behind.
	expect(t, lake, sent, 3*patience)
	t.Logf("all are rows %v after the last line", time.Since(fed).Round(time.Millisecond))
	end()
	s.expectOrder(lake, lanes)
	s.reportFailovers(referee)
	if err := s.Running(); err != nil {
		t.Fatal(err)
	}
	s.Report()
}

// referee watches until end is called, which demands that it saw nothing wrong.
func (s *System) referee() (r *Referee, end func()) {
	s.t.Helper()
	r = NewReferee(s)
	ctx, stop := context.WithCancel(s.t.Context())
	watched := make(chan error, 1)
	go func() { watched <- r.Watch(ctx) }()
	return r, func() {
		stop()
		if err := <-watched; err != nil {
			s.t.Error(err)
		}
		for _, fault := range r.Faults() {
			s.t.Error(fault)
		}
	}
}

// feedLanes publishes until stop is called, which returns when all is stored.
func (s *System) feedLanes(l Lanes, sent *Ledger) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	fed := make(chan error, 1)
	go func() { fed <- l.Feed(ctx, s.kinesis, sent) }()
	return func() {
		s.t.Helper()
		cancel()
		if err := <-fed; err != nil {
			s.t.Fatal(err)
		}
	}
}

// expectOrder demands the order of each lane in the rows, and of the ranges.
func (s *System) expectOrder(lake *Lake, lanes Lanes) {
	s.t.Helper()
	shards, err := s.listShards(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	ranges, err := lake.Ranges()
	if err != nil {
		s.t.Fatal(err)
	}
	faults := slices.Concat(lake.Overtaken(lanes.Of), ranges.Unchained(shards))
	for _, fault := range faults[:min(len(faults), 20)] {
		s.t.Error(fault)
	}
	if len(ranges) == 0 || ranges.Duplicates() == 0 {
		s.t.Errorf("%d shards have ranges, %d events came twice: this shows nothing", len(ranges), ranges.Duplicates())
	}
	s.t.Logf("%d shards, %d of them open; %d events came twice and were dropped", len(shards), len(openOf(shards)), ranges.Duplicates())
}

// reportFailovers tells how long shards waited for another holder, by what befell
// the one before. Where all workers were struck at nearly the same time, nobody may have
// been there to take over: those are told apart.
func (s *System) reportFailovers(r *Referee) {
	took := make(map[string][]time.Duration)
	strikes := s.Strikes()
	for _, strike := range strikes {
		kind := fmt.Sprintf("%s, another worker left in peace", strike.Step.Verb)
		if !witnessed(strike, strikes) {
			kind = fmt.Sprintf("%s, no worker left in peace", strike.Step.Verb)
		}
		took[kind] = append(took[kind], r.Failovers(strike.Pid, strike.At)...)
	}
	for _, kind := range slices.Sorted(maps.Keys(took)) {
		if d := took[kind]; len(d) > 0 {
			slices.Sort(d)
			s.t.Logf("failover after %s: %d shards, %v in the middle, %v at most (leases last %v)",
				kind, len(d), d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond), leaseDuration)
		}
	}
}

// witnessed reports whether some worker was there all the while from a strike until
// the time in which somebody should have taken over.
func witnessed(strike Strike, all []Strike) bool {
	until := strike.At.Add(leaseDuration + 2*second)
	disturbed := make(map[string]bool)
	for _, other := range all {
		back := other.At.Add(other.Step.For + second) // a start takes its time
		if other.At.Before(until) && back.After(strike.At) {
			disturbed[other.Step.Target] = true
		}
	}
	workers := make(map[string]bool)
	for _, other := range all {
		workers[other.Step.Target] = true
	}
	return len(disturbed) < len(workers)
}
