package cluster

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/deploy/local/fault"
)

func TestMain(m *testing.M) {
	code := m.Run()
	RemoveBuilt()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")); err != nil {
			panic(err)
		}
	}
	os.Exit(code)
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func start(t *testing.T, n *Node) {
	t.Helper()
	t.Cleanup(n.Kill)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTheProductRunsInProcessesOfItsOwn(t *testing.T) {
	c := must(New(must(Built())(t), t.TempDir()))(t)
	endpoints := must(c.Endpoints())(t)
	start(t, endpoints)
	forwarder := must(c.Forwarder("forwarder-1"))(t)
	start(t, forwarder)
	worker := must(c.LakeWorker("lake-1", "--set", "lake.group.policy.max_age=200ms"))(t)
	start(t, worker)

	conn, err := net.Dial("tcp", forwarder.Forward)
	if err != nil {
		t.Fatal(err)
	}
	// ["t", 1700000000, {"log": "hello"}]
	if _, err := conn.Write([]byte("\x93\xa1t\xce\x65\x53\xf1\x00\x81\xa3log\xa5hello")); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	deadline := time.Now().Add(30 * time.Second)
	for {
		m := must(worker.Metrics())(t)
		if m.Sum("tributary_lake_rows_total") == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the line is no row\n%v\n%s", m, worker.Output())
		}
		<-time.After(20 * time.Millisecond)
	}
	for _, n := range []*Node{forwarder, worker, endpoints} {
		if u := n.Usage(); u.CPU <= 0 || u.PeakRSS < 1<<20 {
			t.Errorf("%s took %+v", n, u)
		}
		end := n.Interrupt
		if n == worker {
			end = n.Terminate
		}
		if err := end(30 * time.Second); err != nil {
			t.Errorf("%v\n%s", err, n.Output())
		}
		if u := n.Usage(); u.CPU <= 0 || u.PeakRSS < 1<<20 {
			t.Errorf("%s took %+v after its end", n, u)
		}
	}
}

func TestAProcessIsKilledAndStartedAgainOverTheSameState(t *testing.T) {
	c := must(New(must(Built())(t), t.TempDir()))(t)
	endpoints := must(c.Endpoints())(t)
	start(t, endpoints)
	if err := c.SetFaults(t.Context(), fault.Rule{Service: "kinesis", Operation: "PutRecords", Action: fault.Error, Every: 3}); err != nil {
		t.Fatal(err)
	}
	if rules := must(c.Faults(t.Context()))(t); len(rules) != 1 || rules[0].Every != 3 {
		t.Errorf("rules are %+v", rules)
	}
	before := endpoints.Usage().CPU
	endpoints.Kill()
	if endpoints.Running() {
		t.Error("it runs after the kill")
	}
	if err := endpoints.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rules := must(c.Faults(t.Context()))(t); len(rules) != 0 {
		t.Errorf("a new life has the rules %+v", rules)
	}
	if after := endpoints.Usage().CPU; after < before {
		t.Errorf("usage forgets earlier lives: %v, then %v", before, after)
	}
	if err := endpoints.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Faults(ctx); err == nil {
		t.Error("a frozen process answers")
	}
	if err := endpoints.Thaw(); err != nil {
		t.Fatal(err)
	}
	must(c.Faults(t.Context()))(t)
}

func TestAProcessThatEndsAtItsStartIsAnErrorWithItsOutput(t *testing.T) {
	c := must(New(must(Built())(t), t.TempDir()))(t)
	n := must(c.Forwarder("forwarder-1", "--set", "forward.linger=never"))(t)
	err := n.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "forward.linger") {
		t.Errorf("got %v", err)
	}
}
