package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/cluster"
	"tributary/deploy/local/fault"
)

// usualLease is the default.
const usualLease = 10 * second

// TestAnotherWorkerReadsTheShardsSoonAfterOneEnds measures with the default lease:
// after a kill until the other worker has read a record of each shard, after SIGTERM
// until it holds the last of them.
func TestAnotherWorkerReadsTheShardsSoonAfterOneEnds(t *testing.T) {
	s := NewSystem(t)
	s.Add(s.Endpoints("--limits", "true", "--shards", "4"))
	referee, end := s.referee()
	sent := NewLedger()
	// Records come to each shard all the time: 32 lanes, each ten times a second.
	lanes := Lanes{Seed: 1, Count: 32, Rate: 32 * 10 * (recordLines + 1) / 2}
	stop := s.feedLanes(lanes, sent)
	var workers []*cluster.Node
	for i := range 2 {
		workers = append(workers, s.Add(s.LakeWorker(fmt.Sprintf("lake-%d", i+1), "--set", "lake.group.policy.max_age=500ms")))
	}
	balanced := func() {
		t.Helper()
		began := time.Now()
		s.until("both workers hold two shards", func() bool {
			return len(referee.Held(workers[0].Pid())) == 2 && len(referee.Held(workers[1].Pid())) == 2
		})
		t.Logf("balanced after %v", time.Since(began).Round(time.Millisecond))
	}

	balanced()
	shards := referee.Held(workers[0].Pid())
	killed := time.Now()
	workers[0].Kill()
	took := s.readBy(workers[1], shards).Sub(killed)
	t.Logf("killed: its shards are read again after %v (leases last %v)", took.Round(time.Millisecond), usualLease)
	if took > usualLease+2*second {
		t.Errorf("that is more than the lease and two seconds")
	}

	if err := s.Restart(t.Context(), workers[0].Name); err != nil {
		t.Fatal(err)
	}
	balanced()
	shards = referee.Held(workers[1].Pid())
	gone := make(chan error, 1)
	terminated := time.Now()
	go func() { gone <- workers[1].Terminate(patience) }()
	took = s.readBy(workers[0], shards).Sub(terminated)
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	flushed := lastLog(t, workers[1], "gave up a shard").Sub(terminated)
	var handedOver []time.Duration
	s.until("the leases are seen to be the other's", func() bool {
		handedOver = referee.Failovers(workers[1].Pid(), terminated)
		return len(handedOver) == len(shards)
	})
	handed := slices.Max(handedOver)
	t.Logf("terminated: the last shard was flushed and given up after %v, is another's after %v, and all are read again after %v",
		flushed.Round(time.Millisecond), handed.Round(time.Millisecond), took.Round(time.Millisecond))
	if handed > flushed+second {
		t.Errorf("that is more than the flush and one second")
	}

	stop()
	lake := NewLake(s.LakeDir())
	expect(t, lake, sent, patience)
	end()
	s.expectOrder(lake, lanes)
}

// until waits for something to become true.
func (s *System) until(what string, done func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for !done() {
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			s.t.Fatalf("wait until %s: %v", what, err)
		}
	}
}

// readBy returns when a worker has read a record of each shard, which it had not
// before.
func (s *System) readBy(worker *cluster.Node, shards []string) time.Time {
	s.t.Helper()
	s.until(fmt.Sprintf("%s reads %v", worker.Name, shards), func() bool {
		m, err := worker.Metrics()
		if err != nil {
			s.t.Fatal(err)
		}
		return !slices.ContainsFunc(shards, func(shard string) bool {
			return m[fmt.Sprintf(`tributary_stream_read_records_total{group="tributary-lake",shard=%q}`, shard)] == 0
		})
	})
	return time.Now()
}

// lastLog is when a process last wrote that message.
func lastLog(t *testing.T, n *cluster.Node, message string) (at time.Time) {
	t.Helper()
	for line := range strings.Lines(n.Output()) {
		if !strings.Contains(line, message) {
			continue
		}
		text, _, _ := strings.Cut(line[strings.Index(line, "time=")+len("time="):], " ")
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// A worker is stopped in the middle of its flushes and its leases run out. Its
// objects arrive at S3 after its heir has written the very same ranges. When it goes
// on, it finds itself a stranger.
func TestAStoppedWorkerThatGoesOnChangesNothing(t *testing.T) {
	t.Parallel()
	s := NewSystem(t, "-race")
	s.Add(s.Endpoints("--limits", "true", "--shards", "4"))
	referee, end := s.referee()
	sent, lanes := NewLedger(), Lanes{Seed: 2, Count: 32, Rate: 400}
	stop := s.feedLanes(lanes, sent)
	// S3 is to be slower than leases are long, and that is no reason to give up.
	patient := append(slices.Clone(chaosLeases), "--set", "lake.attempt_timeout=30s")
	zombie := s.Add(s.LakeWorker("lake-1", patient...))
	s.until("the worker holds all shards", func() bool { return len(referee.Held(zombie.Pid())) == 4 })
	s.WaitForAcks(sent, 500)

	const flushing = 4 // objects, of one shard or of several
	late := fault.Rule{Service: "s3", Operation: "PutObject", Action: fault.DelayCommit, Count: flushing, Delay: leaseDuration + 3*second}
	if err := s.SetFaults(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	s.until("flushes are on their way", func() bool {
		rules, err := s.Cluster.Faults(t.Context())
		return err == nil && rules[0].Hits == flushing
	})
	if err := zombie.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	s.note("frozen")
	// A held answer outlives its rule; the heir's calls are not to be held.
	if err := s.SetFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	heir := s.Add(s.LakeWorker("lake-2", chaosLeases...))
	s.until("the heir holds all shards", func() bool { return len(referee.Held(heir.Pid())) == 4 })
	t.Logf("the heir holds all shards %v after the stop", time.Since(frozen).Round(time.Millisecond))
	s.until("the heir has replayed", func() bool { return strings.Count(heir.Output(), "replaying a pending range") > 0 })
	s.WaitForAcks(sent, 200)

	before := writtenBelow(t, s.LakeDir())
	s.until("the late objects have come", func() bool { return time.Since(frozen) > late.Delay+second })
	thawed := time.Now()
	if err := zombie.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.note("thawed")
	s.until("the zombie knows that it has lost its shards", func() bool { return strings.Count(zombie.Output(), "lost a shard") >= 4 })
	s.until("it takes part again", func() bool { return len(referee.Held(zombie.Pid())) == 2 })
	t.Logf("stopped for %v; it holds two shards again %v after it went on", thawed.Sub(frozen).Round(time.Millisecond), time.Since(thawed).Round(time.Millisecond))

	stop()
	lake := NewLake(s.LakeDir())
	expect(t, lake, sent, patience)
	end()
	s.expectOrder(lake, lanes)
	after := writtenBelow(t, s.LakeDir())
	for path, written := range before {
		if !after[path].Equal(written) {
			t.Errorf("%s was written at %v, and again at %v", path, written, after[path])
		}
	}
	s.Report()
}

// writtenBelow are all objects, manifests too, and when each was written.
func writtenBelow(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	objects := make(map[string]time.Time)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil // nothing was ever written
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			objects[path] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
