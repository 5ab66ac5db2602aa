package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/stream"
)

func at(seconds int) time.Time { return time.Unix(int64(1_800_000_000+seconds), 0) }

func reads(second, shards int) entry {
	return entry{At: at(second), What: wasReading, Number: shards}
}

func TestWorkersShareEvenlyFromTheMomentThatLasts(t *testing.T) {
	for name, c := range map[string]struct {
		workers [][]entry
		even    bool
		since   int
	}{
		"one worker has all":                    {[][]entry{{reads(1, 3), reads(2, 8)}}, true, 2},
		"the second has its half":               {[][]entry{{reads(1, 8), reads(5, 4)}, {reads(3, 2), reads(6, 4)}}, true, 6},
		"a shard that nobody reads":             {[][]entry{{reads(1, 4)}, {reads(2, 3)}}, false, 0},
		"two more here than there":              {[][]entry{{reads(1, 5)}, {reads(2, 3)}}, false, 0},
		"one that both read":                    {[][]entry{{reads(1, 5)}, {reads(2, 4)}}, false, 0},
		"even, then not, then even again":       {[][]entry{{reads(1, 4), reads(3, 3), reads(7, 4)}, {reads(2, 4)}}, true, 7},
		"even, then not":                        {[][]entry{{reads(1, 4), reads(3, 3)}, {reads(2, 4)}}, false, 0},
		"a change that leaves them even":        {[][]entry{{reads(1, 3)}, {reads(1, 3)}, {reads(2, 2), reads(2, 2)}}, true, 2},
		"a worker that has not begun has none":  {[][]entry{{reads(1, 8)}, nil}, false, 0},
		"nobody has begun":                      {[][]entry{nil, nil}, false, 0},
		"entries of others come between theirs": {[][]entry{{reads(4, 4)}, {{At: at(9), What: wasOpened}, reads(1, 4)}}, true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			since, even := evenSince(c.workers, 8)
			if even != c.even {
				t.Fatalf("even: %v", even)
			}
			if even && !since.Equal(at(c.since)) {
				t.Errorf("since second %d, want %d", since.Unix()-at(0).Unix(), c.since)
			}
		})
	}
}

func TestTheLastShardDecides(t *testing.T) {
	entries := []entry{
		{At: at(1), What: wasGiven, Shard: "a"}, // before
		{At: at(3), What: wasOpened, Shard: "a"},
		{At: at(5), What: wasGiven, Shard: "b"},
		{At: at(6), What: wasGiven, Shard: "a"},
		{At: at(8), What: wasGiven, Shard: "b"}, // not its first
	}
	last, all := lastOf(entries, wasGiven, at(2), []stream.ShardID{"a", "b"})
	if !all || !last.Equal(at(6)) {
		t.Errorf("got %v, %v", last, all)
	}
	if _, all := lastOf(entries, wasGiven, at(2), []stream.ShardID{"a", "b", "c"}); all {
		t.Error("a shard without a record is passed over")
	}
}

func TestADiaryIsReadUpToItsLastWholeEntry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "diary")
	if entries, err := readDiary(path); err != nil || len(entries) != 0 {
		t.Fatalf("before it begins: %v, %v", entries, err)
	}
	d, err := newDiary(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.note(entry{What: wasOpened, Shard: "a"})
	d.note(entry{What: wasCounted, Figures: map[string]float64{"x": 1.5}})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, `{"what":"op`...), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := readDiary(path)
	if err != nil || len(entries) != 2 || entries[0].Shard != "a" || entries[1].Figures["x"] != 1.5 {
		t.Errorf("got %+v, %v", entries, err)
	}
}

func TestTheConsumerRuntimeIsMeasured(t *testing.T) {
	t.Parallel()
	p := small(partConsumers)
	p.runtime.shards, p.runtime.idle, p.runtime.settle = 8, 2500*time.Millisecond, 500*time.Millisecond
	p.runtime.lease, p.runtime.batches, p.runtime.memoryShards, p.runtime.memoryBatches = 2*time.Second, 1, 4, 2
	b := newBench(t, p)
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := b.report.Runtime
	if len(r.Cold.Seconds) != 1 || r.Cold.Seconds[0] <= 0 {
		t.Errorf("cold start is %+v", r.Cold)
	}
	if l := r.Balance; l.Join <= 0 || l.Leave <= 0 || l.JoinMoved < l.JoinMustMove || l.LeaveMoved < l.LeaveMustMove || l.LeaveMustMove != 4 {
		t.Errorf("balance is %+v", l)
	}
	if i := r.Idle; i.PerShardMinute["update"] <= 0 || i.Reads <= 0 {
		t.Errorf("idle is %+v", i)
	}
	// A worker killed cannot have been replaced before its lease ran out, a renewal
	// before its end excepted.
	if f := r.Failover; f.Killed[0] < 1 || f.Handed[0] <= 0 || f.Stopped[0] < f.Handed[0] {
		t.Errorf("failover is %+v", f)
	}
	if len(r.Decode) != 2 || r.Decode[0].Lines != 4*batchLines || r.Decode[1].Lines != 4*500 || r.Decode[0].Micros[0] <= 0 {
		t.Errorf("reading is %+v", r.Decode)
	}
	if m := r.Memory; m.Sinks <= 0 || m.Sinks > m.SinksBound || m.Process <= 0 || m.Go <= 0 {
		t.Errorf("memory is %+v", m)
	}
	var text strings.Builder
	b.report.print(&text)
	printChanges(&text, b.report, b.report)
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	for _, want := range []string{"cold start of 4 shards", "shards handed over after SIGTERM", "lease requests per shard and minute", "worker_bytes 256 MiB", "one line each"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report says nothing of %q:\n%s", want, text.String())
		}
	}
}

func TestSlownessAndMemoryAreHeldAgainstTheirTargets(t *testing.T) {
	good := func() *Runtime {
		return &Runtime{
			Lease: 10, Cold: &Cold{4, []float64{0.5, 1.9}}, Balance: &Balance{Shards: 256, Join: 4, Leave: 4},
			Failover: &Failover{Killed: []float64{11.9}, Stopped: []float64{3}, Handed: []float64{0.9}},
			Decode:   []Decode{{Records: recordsBatch, Micros: []float64{1.9}}, {Records: recordsBare, Micros: []float64{9.9}}},
			Memory:   &Memory{Sinks: 9, SinksBound: 10, Answers: 9, AnswersBound: 10, Go: 9, GoBound: 10},
		}
	}
	for name, spoil := range map[string]func(*Runtime){
		"all within":                 func(*Runtime) {},
		"one cold start of three":    func(r *Runtime) { r.Cold.Seconds = []float64{1, 1, 2.1} },
		"a slow join":                func(r *Runtime) { r.Balance.Join = 5.1 },
		"a slow leave":               func(r *Runtime) { r.Balance.Leave = 5.1 },
		"a late heir":                func(r *Runtime) { r.Failover.Killed = []float64{12.1} },
		"a slow handover":            func(r *Runtime) { r.Failover.Handed = []float64{1.1} },
		"costly batches":             func(r *Runtime) { r.Decode[0].Micros[0] = 2.1 },
		"costly lines":               func(r *Runtime) { r.Decode[1].Micros[0] = 10.1 },
		"sinks beyond their bound":   func(r *Runtime) { r.Memory.Sinks = 11 },
		"answers beyond theirs":      func(r *Runtime) { r.Memory.Answers = 11 },
		"a process beyond its limit": func(r *Runtime) { r.Memory.Go = 11 },
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			spoil(r)
			missed, want := 0, 1
			if name == "all within" {
				want = 0
			}
			for _, target := range r.targets() {
				if !target.Reached {
					missed++
				}
			}
			if missed != want {
				t.Errorf("%d targets are missed, want %d: %+v", missed, want, r.targets())
			}
		})
	}
}
