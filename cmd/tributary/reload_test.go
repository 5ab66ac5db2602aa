package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/cluster"
)

// await polls until ok: another process gives no better signal.
func await(t *testing.T, node *cluster.Node, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited for %s\n%s", what, node.Output())
		}
	}
}

func TestHangupReloadsTheRulesBetweenTwoLinesAndABadFileChangesNothing(t *testing.T) {
	t.Parallel()
	binary, err := cluster.Built()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tributary.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	node, err := c.Local("--config", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Kill)
	if err := node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	metric := func(name string) float64 {
		t.Helper()
		m, err := node.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return m.Sum(name)
	}
	lines := 0
	send := func(line string) {
		t.Helper()
		if _, said, err := executeOn(t.Context(), strings.NewReader(line+"\n"), "pipe", "--quiet", "--service", "condor", "--address", "tcp://"+node.Forward); err != nil {
			t.Fatal(err, said)
		}
		lines++
		await(t, node, "the line", func() bool { return metric("tributary_forwarder_lines_total") == float64(lines) })
	}
	// reload waits for what the process says times more often than before.
	reload := func(says string, times int) {
		t.Helper()
		before := strings.Count(node.Output(), says)
		if err := node.Hangup(); err != nil {
			t.Fatal(err)
		}
		await(t, node, says, func() bool { return strings.Count(node.Output(), says) == before+times })
	}
	const good, at = "tributary_config_last_reload_successful", "tributary_config_last_reload_success_timestamp_seconds"
	started := metric(at)

	send(`{"n":1,"mail":"a@b.com"}`)
	write("forward:\n  rules:\n  - {name: mail, action: mask, paths: [mail]}\nrules:\n  kinds: [{field: type, equals: audit, kind: audit}]\n")
	reload(`msg="configuration reloaded" rules=1`, 1)
	send(`{"n":2,"mail":"a@b.com","type":"audit"}`)
	if metric(good) != 1 || metric(at) <= started {
		t.Error("the reload is not told by the metrics")
	}

	write("forward:\n  linger: 1h\n  rules:\n  - {action: mast}\n  - {action: mask}\n")
	reload("configuration not reloaded, all stays as it is", 3)
	for _, fault := range []string{"forward.linger is 1h0m0s", `forward.rules[0].action: \"mast\" must be`, "forward.rules[1].paths: are missing"} {
		if !strings.Contains(node.Output(), fault) {
			t.Errorf("%q is not told:\n%s", fault, node.Output())
		}
	}
	send(`{"n":3,"mail":"a@b.com","type":"audit"}`)
	if metric(good) != 0 {
		t.Error("the failure is not told by the metrics")
	}

	write("forward:\n  linger: 300ms\n  rules:\n  - {name: third, action: drop, fields: [{path: n, equals: [\"4\"]}]}\n")
	reload(`msg="configuration reloaded" rules=1`, 1)
	if says := `"configuration has changes that need a restart" keys=forward.linger` + "\n"; !strings.Contains(node.Output(), says) {
		t.Errorf("the key that needs a restart is not told:\n%s", node.Output())
	}
	send(`{"n":4,"mail":"a@b.com"}`)
	send(`{"n":5,"mail":"a@b.com","type":"audit"}`)
	if n := metric("tributary_forwarder_rule_events_total"); n != 3 || metric(good) != 1 {
		t.Errorf("%v events counted", n)
	}

	worker, err := c.LakeWorker("worker", "--group", "other", "--set", "lake.prefix=other")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Kill)
	if err := worker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := worker.Hangup(); err != nil {
		t.Fatal(err)
	}
	await(t, worker, "the worker to say that it goes on", func() bool { return strings.Contains(worker.Output(), "nothing to reload") })
	if err := worker.Terminate(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, worker.Output())
	}

	if err := node.Interrupt(time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, node.Output())
	}
	rows := rowsByLine(t, c.LakeDir())
	for line, kind := range map[string]string{
		`{"n":1,"mail":"a@b.com"}`:                "app",
		`{"n":2,"mail":"***","type":"audit"}`:     "audit",
		`{"n":3,"mail":"***","type":"audit"}`:     "audit",
		`{"n":5,"mail":"a@b.com","type":"audit"}`: "app",
	} {
		if paths := rows[line]; len(paths) != 1 || !strings.Contains(paths[0], "kind="+kind) {
			t.Errorf("%s is in %v", line, paths)
		}
	}
	if len(rows) != 4 {
		t.Errorf("rows are %v", rows)
	}
}
