package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	seed     = flag.Uint64("e2e.seed", 1, "what the schedule is drawn from; 0 takes one by chance")
	duration = flag.Duration("e2e.duration", 0, "how long the schedule lasts; 0 is what the test takes by itself")
)

const second = time.Second

// draw draws the schedule of a test and tells how to run it again.
func draw(t *testing.T, usual time.Duration, plan func(time.Duration) Plan) Schedule {
	lasts, from := usual, *seed
	if *duration > 0 {
		lasts = *duration
	}
	if from == 0 {
		from = rand.Uint64N(1_000_000) + 1
	}
	schedule := NewSchedule(from, plan(lasts))
	t.Logf("run again with -e2e.seed=%d -e2e.duration=%v\n%v", from, lasts, schedule)
	return schedule
}

// leaseDuration is that of the workers in these tests. Stops last longer.
const leaseDuration = 2 * time.Second

// apart is what two forwarders, two workers and the services, all in processes of
// their own, go through.
func apart(d time.Duration) Plan {
	p := Plan{Duration: d, Splits: max(2, min(8, int(d/(10*second))))}
	for _, name := range []string{"forwarder-1", "forwarder-2"} {
		p.Processes = append(p.Processes, Trouble{Target: name, Quiet: Span{3 * second, 6 * second}, Outages: []Outage{
			{Kill, Span{0, second}}, {Kill, Span{0, 4 * second}}, {Interrupt, Span{0, second}}, {Stop, Span{second, 4 * second}},
		}})
	}
	for _, name := range []string{"lake-1", "lake-2"} {
		p.Processes = append(p.Processes, Trouble{Target: name, Quiet: Span{2 * second, 5 * second}, Outages: []Outage{
			{Kill, Span{0, second}}, {Kill, Span{0, 2 * leaseDuration}}, {Interrupt, Span{0, second}},
			{Stop, Span{leaseDuration + second/2, 2*leaseDuration + second}}, // somebody else has its shards when it goes on
		}})
	}
	p.Processes = append(p.Processes, Trouble{Target: "endpoints", Quiet: Span{6 * second, 10 * second}, Outages: []Outage{
		{Kill, Span{0, second}}, {Interrupt, Span{0, second}}, {Stop, Span{second / 2, 2 * second}},
	}})
	p.Storms = Storms{Quiet: Span{second, 3 * second}, For: Span{2 * second, 4 * second}, Rules: faults}
	return p
}

// TestKilledStoppedSplitAndTroubledEachAckedLineIsOneRow is the whole promise. A
// failing run tells its seed; "make soak SEED=… DURATION=…" runs it again, or for as
// long as one likes. What the schedule does is the same then; how the processes
// meet it is not.
func TestKilledStoppedSplitAndTroubledEachAckedLineIsOneRow(t *testing.T) {
	t.Parallel()
	schedule := draw(t, 15*second, apart)
	s := NewSystem(t, "-race")
	s.Add(s.Endpoints())
	sent := NewLedger()
	feeding, stop := context.WithCancel(t.Context())
	defer stop()
	most := underWay / 2
	if *duration > 0 {
		most = 0 // as much as they take
	}
	fed := make(chan error, 2)
	for i := range 2 {
		f := s.Add(s.Forwarder(fmt.Sprintf("forwarder-%d", i+1),
			"--set", "forward.record_bytes=32KiB", "--set", "forward.linger=100ms", "--set", "stream.producer.attempt_timeout=1s",
			"--set", "forward.listen_grace=0s", "--set", "forward.drain_timeout=1s", "--set", "forward.server.drain=2s"))
		go func() { fed <- FeedAcked(feeding, f.Forward, 4, i*1_000_000_000, most, sent) }()
	}
	for i := range 2 {
		s.Add(s.LakeWorker(fmt.Sprintf("lake-%d", i+1),
			"--set", "lake.group.policy.max_age=300ms", "--set", "lake.group.drain_timeout=2s",
			"--set", fmt.Sprintf("lake.group.lease_duration=%v", leaseDuration), "--set", fmt.Sprintf("lake.group.attempt_timeout=%v", leaseDuration/5),
			"--set", "lake.group.reader.attempt_timeout=1s", "--set", "lake.attempt_timeout=1s"))
	}
	s.note("play begins")
	if err := s.Play(t.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	s.note("played")
	stop()
	for range 2 {
		if err := <-fed; err != nil {
			t.Fatal(err)
		}
	}
	s.note("fed")
	expect(t, NewLake(s.LakeDir()), sent, 3*patience)
	s.note("all rows")
	if err := s.Running(); err != nil {
		t.Fatal(err)
	}
	s.Report()
}

func TestAScheduleIsTheSameForTheSameSeed(t *testing.T) {
	plan := apart(time.Minute)
	plan.Reshards = chaos(time.Minute).Reshards
	first := NewSchedule(7, plan).String()
	if again := NewSchedule(7, plan).String(); again != first {
		t.Errorf("one seed, two schedules:\n%s\n%s", first, again)
	}
	if other := NewSchedule(8, plan).String(); other == first {
		t.Error("two seeds, one schedule")
	}
}

func TestAScheduleUndoesEverythingInTimeAndOneThingAfterTheOther(t *testing.T) {
	for seed := range uint64(50) {
		plan := apart(30 * time.Second)
		schedule := NewSchedule(seed, plan)
		for _, track := range schedule.Tracks {
			var free time.Duration
			for _, step := range track {
				if step.At < free || step.At+step.For > plan.Duration {
					t.Fatalf("%v begins before %v or ends after %v\n%v", step, free, plan.Duration, schedule)
				}
				if step.For > 0 {
					free = step.At + step.For
				}
			}
		}
	}
}

func TestReshardsKeepTheirBounds(t *testing.T) {
	for seed := range uint64(50) {
		plan := chaos(2 * time.Minute)
		r := plan.Reshards
		open, resizes := r.First, 0
		for _, step := range slices.Concat(NewSchedule(seed, plan).Tracks...) {
			switch step.Verb {
			case Split:
				open++
			case Merge:
				open--
			case Resize:
				if resizes++; resizes > 10 || step.Shards > 2*open || 2*step.Shards < open {
					t.Fatalf("seed %d: %v of %d shards, the %dth: the service refuses it", seed, step, open, resizes)
				}
				open = step.Shards
			}
			if open < r.Least || open > r.Most {
				t.Fatalf("seed %d: %d shards after %v", seed, open, step)
			}
		}
	}
}
