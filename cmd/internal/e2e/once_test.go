package e2e

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"tributary/deploy/local/fault"
)

// A flush is calls of remote services. A worker is killed at each of them, once when
// the service has not done it yet and once when only the answer is outstanding. Who
// comes after has other templates, rules and memory.
func TestKilledAtEachStepOfAFlushEachEventIsOneRow(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the service has done it": false, "when it is done and nobody knows": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuccession(t, 1)
			_, end := s.referee()
			steps := s.steps(successors[0])
			expectOrderOf(t, steps)
			for i, busy := 0, 0; i < len(steps); i++ {
				step, victim := steps[i], s.hire(successors[(i+1)%2])
				trap := victim.gateway.Set(stepPrepare, i, after)
				s.publish()
				s.start(victim)
				s.sprung(victim, trap)
				s.note("%s is killed at %q", victim.Name, step)
				victim.end()
				if calls := victim.gateway.Calls(); !slices.Equal(calls[slices.Index(calls, stepPrepare):], steps[:i+1]) {
					// Short leases and timeouts: a busy machine makes other steps of it.
					if busy++; busy > 5 {
						t.Fatalf("step %d was %q, and is now the last of %q", i, step, calls)
					}
					i-- // once more
					continue
				}
				prepared, passed := i > 0 || after, i > slices.Index(steps, stepCheckpoint) || step == stepCheckpoint && after
				if got := s.inherit(victim); got != (prepared && !passed) {
					t.Errorf("killed at %q: a range is pending: %v", step, got)
				}
			}
			heir := s.begin(successors[(len(steps)+1)%2])
			s.judge(heir)
			end()
		})
	}
}

// Whoever replays a pending range is killed too, at one step of it after the other,
// until one comes through. What lies there already makes other steps of it.
func TestKilledAtEachStepOfAReplayEachEventIsOneRow(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the service has done it": false, "when it is done and nobody knows": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuccession(t, 1)
			_, end := s.referee()
			s.publish()
			victim := s.hire(successors[0])
			trap := victim.gateway.SetBefore(stepRejects, 1)
			s.start(victim)
			s.sprung(victim, trap)
			victim.end()
			if !s.inherit(victim) {
				t.Fatal("no range is pending")
			}
			s.publish()
			var killed []string
			for i := 0; s.item()["Pending"] != nil; i++ {
				heir := s.hire(successors[(i+1)%2])
				trap := heir.gateway.Set(stepRejects, i, after)
				s.start(heir)
				s.sprung(heir, trap)
				calls := heir.gateway.Calls()
				killed = append(killed, calls[len(calls)-1])
				s.note("%s is killed at %q", heir.Name, calls[len(calls)-1])
				heir.end()
				if heir.lost() {
					i-- // once more
				}
			}
			t.Logf("killed at %q", killed)
			for _, step := range []string{stepObject, stepReadBack, stepManifest, stepMap, stepCheckpoint} {
				if !slices.Contains(killed, step) {
					t.Errorf("nobody was killed at %q", step)
				}
			}
			s.judge(s.begin(successors[len(killed)%2]))
			end()
		})
	}
}

// expectOrderOf demands what makes a flush safe: the range is written down before
// anything of it is, each object is read back before the manifest says that it is
// there, and the map is there before the checkpoint that leads to it.
func expectOrderOf(t *testing.T, steps []string) {
	t.Helper()
	t.Logf("a flush is %d calls: %q", len(steps), steps)
	at := -1
	for _, step := range []string{stepPrepare, stepRejects, stepObject, stepReadBack, stepManifest, stepMap, stepCheckpoint} {
		first := slices.Index(steps, step)
		if first <= at {
			t.Fatalf("%q comes at %d, not behind %d: %q", step, first, at, steps)
		}
		for last := first; last < len(steps); last++ {
			if steps[last] == step {
				at = last
			}
		}
		if step == stepObject {
			at = first // each is read back before the next
		}
	}
	if objects, read := count(steps, stepObject), count(steps, stepReadBack); objects != 3 || read != objects {
		t.Errorf("%d objects were put and %d read back", objects, read)
	}
}

func count(steps []string, step string) (n int) {
	for _, s := range steps {
		if s == step {
			n++
		}
	}
	return n
}

// A worker is stopped at each step of a flush, past its lease. Its heir delivers what
// it had begun, and more. Then what the worker had sent before arrives at last, or its
// answer does, and it goes on.
func TestStoppedAtEachStepOfAFlushAWorkerThatGoesOnChangesNothing(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"its call arrives after the takeover": false, "its answer arrives after the takeover": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuccession(t, 1)
			_, end := s.referee()
			steps := s.steps(successors[0])
			expectOrderOf(t, steps)
			zombie := s.begin(successors[1])
			s.publish()
			s.until("the first range is behind the checkpoint", func() bool { return zombie.gateway.Count(stepCheckpoint) == 1 })
			for i, step := range steps {
				trap := zombie.gateway.Set(stepPrepare, i, after)
				s.publish()
				s.sprung(zombie, trap)
				if err := zombie.Freeze(); err != nil {
					t.Fatal(err)
				}
				s.note("%s is stopped at %q", zombie.Name, step)
				s.inherit(zombie)
				s.publish()
				heir := s.begin(successors[i%2])
				s.settled()

				objects, item := writtenBelow(t, s.bucket()), s.item()
				zombie.gateway.Release(trap)
				if err := zombie.Thaw(); err != nil {
					t.Fatal(err)
				}
				s.until("the zombie knows that it has lost its shard", zombie.lost)
				if now := writtenBelow(t, s.bucket()); !maps.Equal(now, objects) {
					t.Errorf("stopped at %q it has changed objects: %v are now %v", step, objects, now)
				}
				for _, name := range []string{"AssignedTo", "Checkpoint", "Pending"} {
					if now := s.item(); !reflect.DeepEqual(now[name], item[name]) {
						t.Errorf("stopped at %q it has changed %s from %v to %v", step, name, item[name], now[name])
					}
				}
				zombie.end()
				zombie = heir
			}
			s.judge(zombie)
			end()
		})
	}
}

// A worker was killed in the middle of a flush, and retention is faster than its heir.
// What the stream still holds of the range goes under its names, what lies there stays,
// and the rest is an alarm.
func TestWhatRetentionTookOfAPendingRangeIsAnAlarmAndTheRestIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		objects int // that the victim had put
		all     bool
	}{
		"half of it, and nothing was written":         {objects: 0},
		"half of it, and one object was there":        {objects: 1},
		"half of it, and all objects were there":      {objects: 3},
		"all of it, and nothing was written":          {objects: 0, all: true},
		"all of it, and two of its objects are there": {objects: 2, all: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuccession(t, 1)
			s.resends = false // what comes again of lost records is new to whoever reads on
			lost := s.publish()
			pause(t) // retention counts milliseconds
			moment := time.Now()
			half := s.publish()
			pause(t)
			if c.all {
				moment, lost = time.Now(), append(lost, half...)
			}
			victim := s.hire(successors[0], "lake.group.lease_duration=3s", "lake.group.attempt_timeout=600ms")
			trap := victim.gateway.SetBefore(stepObject, c.objects+1)
			if c.objects == 3 {
				trap = victim.gateway.SetBefore(stepManifest, 1)
			}
			s.start(victim)
			s.sprung(victim, trap)
			victim.end()
			if !s.inherit(victim) {
				t.Fatal("no range is pending")
			}
			if err := s.lake.Refresh(); err != nil {
				t.Fatal(err)
			}
			there, objects := maps.Clone(s.lake.Counts()), writtenBelow(t, s.LakeDir())
			if len(objects) != c.objects {
				t.Fatalf("the victim has written %v", objects)
			}
			if err := s.Expire(t.Context(), streamName, moment); err != nil {
				t.Fatal(err)
			}
			for _, n := range lost {
				if there[n] == 0 {
					s.sent.Excuse(n)
				}
			}

			s.publish()
			heir := s.begin(successors[1])
			s.settled()
			for _, n := range lost {
				if got := s.lake.Counts()[n]; got != there[n] {
					t.Errorf("line %d, which the stream had lost, was %d rows and is %d", n, there[n], got)
				}
			}
			s.expectGap(heir)
			if err := heir.Terminate(patience); err != nil {
				t.Fatal(err)
			}
			now := writtenBelow(t, s.LakeDir())
			for path, written := range objects {
				if !now[path].Equal(written) {
					t.Errorf("%s was written again", path)
				}
			}
			s.expectRemainder(c.all)
		})
	}
}

// expectRemainder demands that the pending range has a manifest that says it was cut,
// or none if nothing was left of it, and that the next range knows where it ended.
func (s *succession) expectRemainder(none bool) {
	s.t.Helper()
	ranges, err := s.lake.Ranges()
	if err != nil {
		s.t.Fatal(err)
	}
	p, all := s.pending[0], ranges[theShard]
	next := all[len(all)-1]
	if next.Truncated || next.prefix != successors[1].prefix || string(next.After) != p.last {
		s.t.Errorf("the range behind %+v is %+v", p, next)
	}
	if none {
		if len(all) != 1 {
			s.t.Errorf("there are ranges %+v", all)
		}
		return
	}
	if cut := all[0]; len(all) != 2 || !cut.Truncated || string(cut.First) != p.first || string(cut.Last) != p.last || cut.Plan != p.plan || cut.prefix != p.of.prefix {
		s.t.Errorf("a range was pending as %+v, there are %+v", p, all)
	}
	s.judgeNames(ranges)
}

// pause lets a few milliseconds pass.
func pause(t *testing.T) {
	t.Helper()
	if err := sleep(t.Context(), 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
}

// A worker dies with a range pending on each of its shards. Its heir may hold no more
// than one of the largest there may be, a quarter of what the dead one could.
func TestManyPendingRangesOfADeadWorkerGoThroughOneWithAQuarterOfItsMemory(t *testing.T) {
	t.Parallel()
	const shards, least = 64, 18 // MiB of worker_bytes: no range is larger
	memory := func(mib int) []string {
		return []string{
			fmt.Sprintf("lake.group.policy.range_bytes=%dMiB", least), fmt.Sprintf("lake.group.policy.max_bytes=%dMiB", least),
			fmt.Sprintf("lake.group.policy.worker_bytes=%dMiB", mib), "lake.encode_bytes=16MiB",
			"lake.group.lease_duration=5s", "lake.group.attempt_timeout=1s", "lake.group.policy.max_age=1s",
		}
	}
	s := newSuccession(t, shards)
	decoded := s.fill(2, 256<<10)
	hang := fault.Rule{Service: "s3", Operation: "PutObject", Action: fault.Delay, Delay: 10 * time.Minute}
	if err := s.SetFaults(t.Context(), hang); err != nil {
		t.Fatal(err)
	}
	victim := s.hire(successors[0], memory(4*least)...)
	s.start(victim)
	var left map[string]legacy
	s.until("each shard has a pending range", func() bool {
		left = s.leases()
		return len(left) == shards
	})
	victim.end()
	if err := s.SetFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	heir := s.hire(successors[1], memory(least)...)
	s.start(heir)
	expect(t, s.lake, s.sent, 3*patience) // one range after the other, on a machine that is busy
	took := time.Since(began)
	peak := heir.Usage().PeakRSS
	if err := heir.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d ranges, %d MiB decoded, by a worker that may hold %d MiB: %v after its start, %d MiB resident at most (the dead one: %d MiB)",
		shards, decoded>>20, least, took.Round(time.Millisecond), peak>>20, victim.Usage().PeakRSS>>20)
	if bound := int64(least<<20 + 150e6); peak > bound {
		t.Errorf("it held %d bytes, more than %d", peak, bound)
	}
	if decoded < 3*least<<19 {
		t.Errorf("%d bytes fit into the heir's memory almost at once: this shows nothing", decoded)
	}
	ranges, err := s.lake.Ranges()
	if err != nil {
		t.Fatal(err)
	}
	for shard, p := range left {
		if all := ranges[shard]; len(all) == 0 || string(all[0].First) != p.first || string(all[0].Last) != p.last || all[0].Plan != p.plan || all[0].prefix != successors[0].prefix {
			t.Errorf("a range of %s was pending as %+v, there are %+v", shard, p, all)
		}
	}
}
