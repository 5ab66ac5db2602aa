package e2e

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/cluster"
	"tributary/cmd/internal/rows"
)

// TestAReplayKilledOnItsWayIsEachLineOfItsTimeOnce replays, while shards split and
// merge, a time of which the stream has let go of the first part and the lake lacks the
// last, into a table and into a prefix; each process is killed over and over.
func TestAReplayKilledOnItsWayIsEachLineOfItsTimeOnce(t *testing.T) {
	t.Parallel()
	s := NewSystem(t)
	s.Add(s.Endpoints("--shards", "4"))
	worker := s.Add(s.LakeWorker("lake", "--set", "lake.group.policy.max_age=300ms",
		"--set", "lake.group.lease_duration=2s", "--set", "lake.group.attempt_timeout=400ms"))
	sent := NewLedger()
	stop := s.feedLanes(Lanes{Seed: 5, Count: 16, Rate: 800, Line: shortLine}, sent)
	after := func(d time.Duration) time.Time {
		select {
		case <-t.Context().Done():
		case <-time.After(d):
		}
		return time.Now().UTC().Truncate(time.Millisecond)
	}
	from := after(time.Second)
	if _, err := s.split(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	forgotten := after(time.Second)
	if _, _, err := s.merge(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	after(9 * time.Second) // longer than any lane goes on with lines it has sent before
	if err := worker.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	after(time.Second)
	if _, err := s.split(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	to := after(500 * time.Millisecond)
	after(500 * time.Millisecond)
	stop()
	if err := s.Expire(t.Context(), streamName, forgotten); err != nil {
		t.Fatal(err)
	}

	for _, into := range []string{"replayed.lines", "again"} {
		s.replayKilled(t, into, from, to)
	}
	if err := worker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all map[int][]time.Time
	s.until("the lake has every line", func() bool { all = arrivals(t, s.LakeDir()); return len(all) >= sent.Acked() })
	within := map[int]bool{}
	for n, at := range all {
		if len(at) != 1 {
			t.Errorf("the lake has line %d %d times", n, len(at))
		}
		if !at[0].Before(from) && at[0].Before(to) {
			within[n] = true
		}
	}
	table := NewImports(filepath.Join(s.DataDir(), "td", "replayed"))
	if err := table.Refresh(); err != nil || len(table.Faults()) > 0 {
		t.Fatalf("%v, %q", err, table.Faults())
	}
	inPrefix := map[int]int{}
	for n, at := range arrivals(t, filepath.Join(s.DataDir(), "s3", "tributary", "again")) {
		inPrefix[n] = len(at)
	}
	for where, counts := range map[string]map[int]int{"the table": table.Counts(), "the prefix": inPrefix} {
		faults := 0
		for n := range sent.acked {
			want := 0
			if within[n] {
				want = 1
			}
			if got := counts[n]; got != want {
				if faults++; faults < 10 {
					t.Errorf("%s has line %d (arrived %v) %d times, want %d", where, n, all[n], got, want)
				}
			}
		}
		t.Logf("%s has %d lines, %d were to be; %d of %d are wrong", where, len(counts), len(within), faults, sent.Acked())
	}
	verify := s.command("lake", "verify", "--bucket", "tributary", "--hash", "--set", "lake.prefix=again")
	if err := verify.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := verify.Wait(patience); err != nil {
		t.Errorf("the replayed lake: %v\n%s", err, verify.Output())
	}
}

// command is a process of the product that ends by itself.
func (s *System) command(args ...string) *cluster.Process {
	p := &cluster.Process{Name: args[0], Path: s.Binary, Env: s.Env(), Args: append(args, "--log-format", "text")}
	s.t.Cleanup(p.Kill)
	return p
}

// replayKilled runs a replay and kills it in the middle of the stream's part, before
// and in the middle of the lake's, and lets the next life end.
func (s *System) replayKilled(t *testing.T, into string, from, to time.Time) {
	t.Helper()
	endpoint := "http://" + s.AWS
	group := "lake"
	if strings.Contains(into, ".") {
		group = "treasuredata"
	}
	p := s.command("replay", group, "--from", from.Format(time.RFC3339Nano), "--to", to.Format(time.RFC3339Nano), "--into", into, "--yes",
		"--bucket", "tributary", "--set", "treasuredata.api_key=1/local",
		"--set", "treasuredata.api_endpoint="+endpoint, "--set", "treasuredata.import_endpoint="+endpoint,
		"--set", group+".group.lease_duration=2s", "--set", group+".group.attempt_timeout=400ms",
		"--set", group+".group.policy.max_bytes=64KiB", "--set", "treasuredata.body_bytes=64KiB")
	kept := filepath.Join(s.DataDir(), "s3", "tributary", "_tributary", "replays", "tributary-"+group+"-replay-*")
	there := func(pattern string, n int) func() bool {
		return func() bool {
			files, err := filepath.Glob(filepath.Join(kept, pattern))
			return err == nil && len(files) >= n
		}
	}
	began := time.Now()
	for _, due := range []func() bool{
		func() bool { return there("plan.json", 1)() && time.Since(began) > time.Second },
		there("stream.json", 1),
		there("lake/*/*.json", 10),
	} {
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		killWhen(t, p, due)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(2 * time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, p.Output())
	}
	if !there("done.json", 1)() {
		t.Errorf("nothing says that it is done\n%s", p.Output())
	}
}

// arrivals are when the records arrived of each line's rows below a folder.
func arrivals(t *testing.T, dir string) map[int][]time.Time {
	t.Helper()
	found := map[int][]time.Time{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		return rows.Read(path, func(r rows.Row) {
			n := Number(r.Line)
			found[n] = append(found[n], r.Arrival)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
