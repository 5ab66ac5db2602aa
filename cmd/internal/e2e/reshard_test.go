package e2e

import (
	"context"
	"testing"
)

// A forwarder that was killed sends again what it published since it last saved its
// cursor. When the shard was split meanwhile, that lands on a child, which has to
// know what its parent had.
func TestWhatIsSentAgainAcrossASplitIsKnownToTheChild(t *testing.T) {
	t.Parallel()
	s := NewSystem(t, "-race")
	s.Add(s.Endpoints("--shards", "1"))
	forwarder := s.Add(s.Forwarder("forwarder-1", "--set", "forward.linger=50ms"))
	worker := s.Add(s.LakeWorker("lake-1", "--set", "lake.group.policy.max_age=300ms", "--set", "lake.group.lease_duration=2s", "--set", "lake.group.attempt_timeout=400ms"))
	sent := NewLedger()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fed := make(chan error, 1)
	go func() { fed <- FeedAcked(ctx, forwarder.Forward, 4, 0, underWay, sent) }()
	published := func() float64 {
		m, err := forwarder.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return m.Sum("tributary_stream_published_records_total")
	}
	for range 3 {
		before := published()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := untilDone(ctx, func() (bool, error) { return published() > before+10, nil }); err != nil {
			t.Fatal(err)
		}
		forwarder.Kill()
		// All shards: the lane is on one of them.
		open, err := s.openShards(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range open {
			if _, err := s.split(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Restart(ctx, forwarder.Name); err != nil {
			t.Fatal(err)
		}
	}
	s.WaitForAcks(sent, 100)
	stop()
	if err := <-fed; err != nil {
		t.Fatal(err)
	}
	expect(t, NewLake(s.LakeDir()), sent, 3*patience)
	m, err := worker.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if m.Sum("tributary_consumers_duplicates_total") == 0 {
		t.Error("nothing was sent again: this shows nothing")
	}
}
