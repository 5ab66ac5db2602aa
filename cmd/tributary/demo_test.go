package main

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/cluster"
	"tributary/cmd/internal/rows"
	"tributary/cmd/internal/workload"
	"tributary/schema"
)

// rowsByLine reads all objects of the lake: line to the paths of its rows.
func rowsByLine(t *testing.T, dir string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		return rows.Read(path, func(r rows.Row) { found[r.Line] = append(found[r.Line], path) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var demoEnded = regexp.MustCompile(`demo ended" lines=(\d+)`)

func TestTheDemoBecomesRowsOfAllKinds(t *testing.T) {
	t.Parallel()
	binary, err := cluster.Built()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const rate = 500
	node, err := c.Local("--demo", "--rate", strconv.Itoa(rate), "--set", "local.demo.seed=77", "--set", "lake.group.policy.max_age=1s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Kill)
	if err := node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := 0.0
	for deadline := time.Now().Add(time.Minute); sent < 2*rate; time.Sleep(20 * time.Millisecond) {
		m, err := node.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if sent = m.Sum("tributary_demo_lines_total"); time.Now().After(deadline) {
			t.Fatalf("only %v lines\n%s", sent, node.Output())
		}
	}
	if err := node.Interrupt(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, node.Output())
	}
	ended := demoEnded.FindStringSubmatch(node.Output())
	if ended == nil {
		t.Fatalf("the demo says nothing of its end:\n%s", node.Output())
	}
	rows := rowsByLine(t, c.LakeDir())
	if total, _ := strconv.Atoi(ended[1]); len(rows) != total || float64(total) < sent {
		t.Errorf("%d different lines in the lake, %s sent, %v seen", len(rows), ended[1], sent)
	}
	checkDemoRows(t, rows, rate)
}

// checkDemoRows makes each line again. The time of the first line is that of the
// demo's beginning.
func checkDemoRows(t *testing.T, rows map[string][]string, rate int) {
	t.Helper()
	step := time.Second / time.Duration(rate)
	var lines *workload.Lines
	for line := range rows {
		_, n, ok := workload.Number([]byte(line))
		var head struct {
			At time.Time `json:"@timestamp"`
		}
		if ok && json.Unmarshal([]byte(line), &head) == nil {
			lines = workload.NewLines(77, head.At.Add(-time.Duration(n)*step), step)
			break
		}
	}
	kinds := map[schema.Kind]int{}
	for line, paths := range rows {
		_, n, ok := workload.Number([]byte(line))
		want, kind := lines.Append(nil, n)
		if !ok || string(want) != line || len(paths) != 1 || !strings.Contains(paths[0], "kind="+kind.String()+"/") {
			t.Fatalf("line %d (%v) is %d rows %v and reads %.200q, not %.200q", n, kind, len(paths), paths, line, want)
		}
		kinds[kind]++
	}
	if kinds[schema.KindApp] == 0 || kinds[schema.KindAudit] == 0 || kinds[schema.KindRaw] == 0 {
		t.Errorf("rows of %v", kinds)
	}
}
