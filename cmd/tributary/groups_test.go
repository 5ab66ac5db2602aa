package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/cmd/internal/app"
	"tributary/consumers"
	"tributary/deploy/local/localtest"
	"tributary/stream"
)

// account is a stream with one shard, a bucket, and the command line over them.
type account struct {
	t      *testing.T
	server *localtest.Server
}

func newAccount(t *testing.T) account {
	t.Helper()
	a := account{t, localtest.Start(t)}
	if _, err := kinesis.NewFromConfig(a.server.AWS).CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("logs"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	objects := s3.NewFromConfig(a.server.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("bucket")}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a account) put(lines ...string) {
	a.t.Helper()
	for _, l := range lines {
		_, err := kinesis.NewFromConfig(a.server.AWS).PutRecord(a.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String("k"), Data: []byte(l)})
		if err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a account) args(args ...string) []string {
	return append(args, "--region", "us-east-1", "--stream", "logs", "--log-level", "error", "--set", "aws.endpoint="+a.server.URL,
		"--set", "lake.group.lease_duration=2s", "--set", "lake.group.attempt_timeout=400ms")
}

// run runs one "groups" command and answers its question.
func (a account) run(answer string, args ...string) (string, error) {
	var in io.Reader
	if answer != "" {
		in = strings.NewReader(answer)
	}
	return a.runUntil(a.t.Context(), in, io.Discard, args...)
}

func (a account) runUntil(ctx context.Context, in io.Reader, said io.Writer, args ...string) (string, error) {
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(said)
	root.SetIn(in)
	root.SetArgs(a.args(append([]string{"groups"}, args...)...))
	err := app.Explain(root.ExecuteContext(ctx))
	return out.String(), err
}

func (a account) must(args ...string) string {
	a.t.Helper()
	out, err := a.run("", args...)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// consume runs a lake worker until the returned function is called.
func (a account) consume() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	root := newRoot()
	root.SetArgs(a.args("consume", "lake", "--bucket", "bucket", "--set", "admin.listen=", "--set", "lake.group.policy.max_age=200ms"))
	go func() { done <- root.ExecuteContext(ctx) }()
	return func() {
		a.t.Helper()
		cancel()
		if err := <-done; err != nil {
			a.t.Error(err)
		}
	}
}

// until runs a worker until every line has so many rows, and says by which
// generation's objects, for example "one:0 1".
func (a account) until(rows map[string]int) string {
	a.t.Helper()
	stop := a.consume()
	defer stop()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found := rowsByLine(a.t, filepath.Join(a.server.Config.Dir, "s3", "bucket"))
		missing := 0
		for line, n := range rows {
			missing += max(0, n-len(found[line]))
		}
		if missing == 0 {
			return generations(found)
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%d rows are missing: %s", missing, generations(found))
		}
	}
}

func generations(found map[string][]string) string {
	var words []string
	for _, line := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`} {
		word := line[5:6] + ":"
		for g := range 5 {
			for _, path := range found[line] {
				if in := strings.Contains(path, fmt.Sprintf(".g%d.parquet", g)); in || g == 0 && !strings.Contains(path, ".g") {
					word += fmt.Sprint(g)
				}
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestAResetGroupWritesItsRowsBesideTheOldOnes(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	one, two, three, four := `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`
	a.put(one)
	if got := a.until(map[string]int{one: 1}); got != "1:0 2: 3: 4:" {
		t.Error(got)
	}
	time.Sleep(20 * time.Millisecond)
	between := time.Now().UTC().Format(time.RFC3339Nano)
	time.Sleep(20 * time.Millisecond)
	a.put(two)

	if out := a.must("reset", "tributary-lake", "--to", "trim-horizon", "--dry-run"); !strings.Contains(out, "0 → 1") || !strings.Contains(out, "nothing was changed") {
		t.Error(out)
	}
	if got := a.until(map[string]int{one: 1, two: 1}); got != "1:0 2:0 3: 4:" {
		t.Errorf("after a dry run: %s", got)
	}
	if out := a.must("reset", "tributary-lake", "--to", "trim-horizon", "--yes"); !strings.Contains(out, "again: ") || !strings.Contains(out, "1 shard reset, generation 1.") {
		t.Error(out)
	}
	if got := a.until(map[string]int{one: 2, two: 2}); got != "1:01 2:01 3: 4:" {
		t.Errorf("to trim-horizon: %s", got)
	}
	a.must("reset", "tributary-lake", "--to", between, "--shard", "0", "--yes")
	if got := a.until(map[string]int{two: 3}); got != "1:01 2:012 3: 4:" {
		t.Errorf("to a time: %s", got)
	}
	a.put(three)
	time.Sleep(1100 * time.Millisecond)
	var plan struct {
		Generation uint64
		Done       bool
		Shards     []struct{ Effect string }
	}
	if err := json.Unmarshal([]byte(a.must("reset", "tributary-lake", "--to", "latest", "--yes", "--json")), &plan); err != nil || plan.Generation != 3 || !plan.Done || plan.Shards[0].Effect != "skip" {
		t.Errorf("plan %+v, %v", plan, err)
	}
	a.put(four)
	if got := a.until(map[string]int{four: 1}); got != "1:01 2:012 3: 4:3" {
		t.Errorf("to latest: %s", got)
	}
	var view consumers.GroupView
	if err := json.Unmarshal([]byte(a.must("describe", "tributary-lake", "--json")), &view); err != nil || view.Shards[0].Generation != 3 {
		t.Fatalf("view %+v, %v", view, err)
	}
	a.must("reset", "tributary-lake", "--to", string(view.Shards[0].Checkpoint), "--shard", "shardId-000000000000", "-y")
	if got := a.until(map[string]int{four: 2}); got != "1:01 2:012 3: 4:34" {
		t.Errorf("to a sequence number: %s", got)
	}
}

func TestGroupsAskBeforeTheyResetAndRefuseInOneLine(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(`{"n":1}`)
	a.until(map[string]int{`{"n":1}`: 1})
	refused := func(want, answer string, args ...string) {
		t.Helper()
		_, err := a.run(answer, args...)
		if err == nil || app.Code(err) != 2 || !strings.Contains(app.OneLine(err), want) || strings.Contains(app.OneLine(err), "\n") {
			t.Errorf("%v: exit %d: %v", args, app.Code(err), err)
		}
	}
	refused("not confirmed", "n\n", "reset", "tributary-lake", "--to", "trim-horizon")
	refused("not confirmed", "\n", "reset", "tributary-lake", "--to", "trim-horizon")
	refused("--to is not set", "", "reset", "tributary-lake")
	refused("is no position", "", "reset", "tributary-lake", "--to", "start")
	refused("there is no group", "", "reset", "nobody", "--to", "latest", "--yes")
	refused("there is no group", "", "describe", "nobody")
	refused("name of one group", "", "describe")
	refused("has no shard", "", "reset", "tributary-lake", "--to", "latest", "--shard", "7", "--yes")
	if out := a.must("describe", "tributary-lake"); strings.Contains(out, " 1  -") {
		t.Errorf("something was reset:\n%s", out)
	}
	stop := a.consume()
	defer stop()
	for !strings.Contains(a.must("describe", "tributary-lake"), "reading") {
		time.Sleep(50 * time.Millisecond)
	}
	refused("workers of the group live", "", "reset", "tributary-lake", "--to", "latest", "--yes")
	if out := a.must("reset", "tributary-lake", "--to", "latest", "--dry-run"); !strings.Contains(out, "workers live, without --force") {
		t.Error(out)
	}
	if out, err := a.run("y\n", "reset", "tributary-lake", "--to", "trim-horizon", "--force"); err != nil || !strings.Contains(out, "1 shard reset, generation 1.") {
		t.Errorf("%s %v", out, err)
	}
	if got := a.until(map[string]int{`{"n":1}`: 2}); got != "1:01 2: 3: 4:" {
		t.Errorf("rows %s", got)
	}
	if out := a.must("list"); !strings.Contains(out, "tributary-lake") || !strings.Contains(out, "logs") {
		t.Error(out)
	}
}

// watcher ends a command when it says something.
type watcher struct {
	what string
	then func()
}

func (w watcher) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.what)) {
		w.then()
	}
	return len(b), nil
}

// Whoever presses Ctrl-C, or the script that looks at the exit code, must not take
// the group for reset.
func TestAnInterruptedResetIsNoSuccess(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(`{"n":1}`)
	a.until(map[string]int{`{"n":1}`: 1})
	for _, at := range []string{"Looking whether workers", "[y/N]"} {
		silent, nobody := io.Pipe() // a terminal at which nobody types
		ctx, interrupt := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := a.runUntil(ctx, silent, watcher{at, interrupt}, "reset", "tributary-lake", "--to", "trim-horizon")
		if app.Code(err) != 1 || !strings.HasPrefix(app.OneLine(err), "interrupted: ") {
			t.Errorf("interrupted at %q: exit %d: %v", at, app.Code(err), err)
		}
		_ = nobody.Close()
	}
	if out := a.must("reset", "tributary-lake", "--to", "trim-horizon", "--dry-run"); !strings.Contains(out, "0 → 1") {
		t.Errorf("it was reset:\n%s", out)
	}
}

// The widest names that may come: nothing is wider than a terminal.
func TestTablesOfGroupsFit120Columns(t *testing.T) {
	long := strings.Repeat("w", 200)
	number := stream.SequenceNumber(strings.Repeat("4", 56))
	lagMS := int64(364 * 24 * 3600 * 1000)
	pending := &consumers.PendingView{First: number, Last: number}
	view := consumers.GroupView{Group: "g", Stream: "s", Totals: consumers.GroupTotals{Shards: 1, States: map[consumers.State]int{"replaying": 1}, MaxLagMS: &lagMS}, Shards: []consumers.ShardView{{
		Shard: "shardId-000000000000", State: "replaying", Owner: long, Checkpoint: number, LagMS: &lagMS, Generation: 12345, Pending: pending, Since: time.Now(),
		Gap:     &consumers.GapView{First: number, Last: number, Found: number},
		Parents: []stream.ShardID{"shardId-000000999998", "shardId-000000999999"}, Problem: "flush: " + long + " and " + strings.Repeat("words ", 40),
	}}}
	step := consumers.ResetStep{Shard: "shardId-000000000000", Generation: 12345, Checkpoint: number, Pending: pending, Effect: consumers.EffectAgain, From: time.Now(), Until: time.Now(), Note: long}
	for name, print := range map[string]func(*bytes.Buffer) error{
		"describe": func(b *bytes.Buffer) error { return printGroup(b, view) },
		"list": func(b *bytes.Buffer) error {
			return printGroups(b, []consumers.GroupLine{{Group: long, Stream: "arn:aws:kinesis:eu-central-1:000000000000:stream/" + long, Workers: 1000, Shards: 10000, Held: 10000, Finished: 10000, Pending: 10000}, {Group: long, Problem: long}})
		},
		"reset": func(b *bytes.Buffer) error {
			return printPlan(b, outcome{ResetPlan: &consumers.ResetPlan{Group: "g", Generation: 12346, Shards: []consumers.ResetStep{step}, Waiting: []string{long, long}}, Living: []string{long}})
		},
	} {
		var out bytes.Buffer
		if err := print(&out); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 120 {
				t.Errorf("%s has a line of %d columns: %s", name, n, line)
			}
		}
	}
}

func TestAGroupIsDeletedWhenNobodyWorksInIt(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(`{"n":1}`)
	a.until(map[string]int{`{"n":1}`: 1})
	refused := func(want, answer string, args ...string) {
		t.Helper()
		if _, err := a.run(answer, append([]string{"delete"}, args...)...); err == nil || app.Code(err) != 2 || !strings.Contains(app.OneLine(err), want) {
			t.Errorf("%v: exit %d: %v", args, app.Code(err), err)
		}
	}
	refused("there is no group", "", "nobody", "--yes")
	refused("not confirmed", "n\n", "tributary-lake")
	stop := a.consume()
	for !strings.Contains(a.must("describe", "tributary-lake"), "reading") {
		time.Sleep(50 * time.Millisecond)
	}
	refused("workers of the group live", "", "tributary-lake", "--yes")
	stop()
	if out := a.must("delete", "tributary-lake", "--yes"); out != "Group tributary-lake deleted.\n" {
		t.Error(out)
	}
	if out := a.must("list"); strings.Contains(out, "tributary-lake") {
		t.Error(out)
	}
	refused("there is no group", "", "tributary-lake", "--yes")
}
