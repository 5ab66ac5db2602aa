package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"tributary/cmd/internal/cluster"
	"tributary/cmd/internal/workload"
)

var backfillObjects = flag.Int("e2e.backfill-objects", 1000, "how many gzip objects of 100 kB of lines are backfilled")

const (
	backfillKills = 3
	// backfillRSS is what the process may take.
	backfillRSS = 256 << 20
	// objectLines of the shortest size are 100 kB.
	objectLines = 200
)

// TestABackfillKilledThreeTimesImportsEachLineOnceIn256MiB is "make backfill" with
// 100,000 objects.
func TestABackfillKilledThreeTimesImportsEachLineOnceIn256MiB(t *testing.T) {
	t.Parallel()
	s := NewSystem(t)
	began := time.Now()
	lines, logical, stored := layObjects(t, filepath.Join(s.DataDir(), "s3", "tributary"), *backfillObjects)
	t.Logf("%d objects, %d lines, %d MB of lines in %d MB, made in %v", *backfillObjects, lines, logical/1e6, stored/1e6, time.Since(began).Round(time.Second))
	s.Add(s.Endpoints())
	endpoint := "http://" + s.AWS
	p := &cluster.Process{Name: "backfill", Path: s.Binary, Env: s.Env(), Args: []string{
		"backfill", "treasuredata", "--from", "s3://tributary/applications", "--yes", "--log-format", "text", "--set", "treasuredata.api_key=1/local",
		"--set", "treasuredata.api_endpoint=" + endpoint, "--set", "treasuredata.import_endpoint=" + endpoint,
	}}
	t.Cleanup(p.Kill)
	began = time.Now()
	state := filepath.Join(s.DataDir(), "s3", "tributary", "_tributary")
	for range backfillKills {
		before := importedObjects(t, state)
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		killWhen(t, p, func() bool { return importedObjects(t, state) >= before+int64(*backfillObjects)/10 })
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(2 * time.Hour); err != nil {
		t.Fatalf("%v\n%s", err, p.Output())
	}
	took := time.Since(began)
	used := p.Usage()
	t.Logf("imported in %v (%.0f MB/s of lines), killed %d times; %.1f CPU seconds, %d MiB at its peak", took.Round(time.Second),
		float64(logical)/1e6/took.Seconds(), backfillKills, used.CPU.Seconds(), used.PeakRSS>>20)
	if used.PeakRSS == 0 || used.PeakRSS > backfillRSS {
		t.Errorf("%d bytes at its peak, at most %d were to be", used.PeakRSS, backfillRSS)
	}
	bodies := countRows(t, filepath.Join(s.DataDir(), "td"), lines)
	t.Logf("%d lines are a row each, in %d imports", lines, bodies)
}

// layObjects writes files as Fluentd did, as objects of a bucket whose endpoint does
// not run yet: a file is an object there.
func layObjects(t *testing.T, bucket string, n int) (lines, logical, stored int64) {
	t.Helper()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	source := workload.NewLines(lineSeed, start, time.Millisecond).Sized(workload.MinSize)
	services := []string{"order-api", "cart", "web"}
	var size, zipped atomic.Int64
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i := range n {
		g.Go(func() error {
			first := int64(i) * objectLines
			at := start.Add(time.Duration(first) * time.Millisecond)
			folder := filepath.Join(bucket, "applications", services[i%3], "app", at.Format("2006/01/02/15"))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			var text []byte
			for k := range int64(objectLines) {
				text, _ = source.Append(text, first+k)
				text = append(text, '\n')
			}
			var out bytes.Buffer
			zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
			if err != nil {
				return err
			}
			if _, err := zip.Write(text); err != nil {
				return err
			}
			if err := zip.Close(); err != nil {
				return err
			}
			size.Add(int64(len(text)))
			zipped.Add(int64(out.Len()))
			return os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s_ecs-%s_%d.gz", at.Format("04"), services[i%3], i)), out.Bytes(), 0o644)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return int64(n) * objectLines, size.Load(), zipped.Load()
}

// killWhen kills a process once something holds, which has to be before its end.
func killWhen(t *testing.T, p *cluster.Process, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if !p.Running() {
			t.Fatalf("it ended before it was killed: %v\n%s", p.Wait(0), p.Output())
		}
		<-tick.C
	}
	if !p.Running() {
		t.Fatalf("it ended before it was killed\n%s", p.Output())
	}
	p.Kill()
}

// importedObjects counts what the steps say.
func importedObjects(t *testing.T, state string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "backfill", "*", "steps", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var step struct{ Objects int64 }
		if err := json.Unmarshal(text, &step); err != nil {
			t.Fatal(err)
		}
		n += step.Objects
	}
	return n
}

// countRows wants lines rows, each of another line, and returns the number of imports.
func countRows(t *testing.T, dir string, lines int64) (bodies int) {
	t.Helper()
	seen := make([]bool, lines)
	rows := int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		bodies++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		in := bufio.NewScanner(f)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			seed, n, ok := workload.Number(in.Bytes())
			switch {
			case !ok || seed != lineSeed || n < 0 || n >= lines:
				t.Errorf("%s has a row of no line: %.80q", path, in.Text())
			case seen[n]:
				t.Errorf("line %d is there twice, once in %s", n, path)
			default:
				seen[n] = true
				rows++
			}
			if t.Failed() {
				break
			}
		}
		return errors.Join(in.Err(), f.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows != lines {
		t.Errorf("%d of %d lines are rows", rows, lines)
	}
	return bodies
}
