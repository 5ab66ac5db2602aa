package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"tributary/cmd/internal/app"
	"tributary/deploy/local/fault"
)

// replay runs the command, which has to end with code.
func (a account) replay(code int, args ...string) (string, error) {
	a.t.Helper()
	return a.replayUntil(a.t.Context(), code, args...)
}

func (a account) replayUntil(ctx context.Context, code int, args ...string) (string, error) {
	a.t.Helper()
	out, err := a.command(ctx, append([]string{"replay"}, append(args, "--bucket", "bucket",
		"--set", "treasuredata.api_key=local/key", "--set", "treasuredata.api_endpoint="+a.server.URL, "--set", "treasuredata.import_endpoint="+a.server.URL)...)...)
	if app.Code(err) != code {
		a.t.Errorf("%v: exit %d, want %d: %v\n%s", args, app.Code(err), code, err, out)
	}
	return out, err
}

// pass gives the time, of which nothing is left a moment later.
func pass() string {
	time.Sleep(20 * time.Millisecond)
	now := time.Now().UTC().Truncate(time.Millisecond)
	time.Sleep(20 * time.Millisecond)
	return now.Format(time.RFC3339Nano)
}

// wave puts some lines and returns how many rows there are to be of each.
func (a account) wave(name string, lines, times int) map[string]int {
	a.t.Helper()
	all := map[string]int{}
	for i := range lines {
		line := fmt.Sprintf(`{"wave":%q,"n":%d}`, name, i)
		all[line] = times
		_, err := kinesis.NewFromConfig(a.server.AWS).PutRecord(a.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("logs"), PartitionKey: aws.String(line), Data: []byte(line)})
		if err != nil {
			a.t.Fatal(err)
		}
	}
	return all
}

// exactly fails unless a folder of the bucket has these lines, each once.
func (a account) exactly(folder string, waves ...map[string]int) {
	a.t.Helper()
	found := rowsByLine(a.t, filepath.Join(a.server.Config.Dir, "s3", "bucket", folder))
	want := 0
	for _, lines := range waves {
		want += len(lines)
		for line := range lines {
			if len(found[line]) != 1 {
				a.t.Errorf("%s has %s %d times", folder, line, len(found[line]))
			}
		}
	}
	if len(found) != want {
		a.t.Errorf("%s has %d lines, want %d", folder, len(found), want)
	}
}

func merged(waves ...map[string]int) map[string]int {
	all := map[string]int{}
	for _, lines := range waves {
		for line, n := range lines {
			all[line] = n
		}
	}
	return all
}

// expire makes the stream forget what arrived before.
func (a account) expire(before string) {
	a.t.Helper()
	res, err := http.Post(a.server.URL+"/_local/expire", "application/json", strings.NewReader(fmt.Sprintf(`{"stream": "logs", "before": %q}`, before)))
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		a.t.Fatal(res.Status)
	}
}

func TestAReplayDeliversTheTimeAskedForAndNothingElse(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	before := a.wave("before", 3, 1)
	from := pass()
	within := a.wave("within", 5, 1)
	to := pass()
	after := a.wave("after", 3, 1)
	a.until(merged(before, within, after))

	for want, args := range map[string][]string{
		"every row of that time would be there twice": {"lake", "--from", from, "--to", to, "--into", "lake"},
		"--into is not set":                           {"lake", "--from", from, "--to", to},
		"is not before --to":                          {"lake", "--from", to, "--to", from, "--into", "again"},
		"--from and --to say":                         {"lake", "--from", from, "--into", "again"},
		`the configuration has no group "lakes"`:      {"lakes", "--from", from, "--to", to, "--into", "again"},
		"lies in the future":                          {"lake", "--from", from, "--to", "2100-01-01", "--into", "again"},
		"has a part \"..\"":                           {"lake", "--from", from, "--to", to, "--into", "../again"},
	} {
		if _, err := a.replay(2, args...); err == nil || !strings.Contains(app.OneLine(err), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	args := []string{"lake", "--from", from, "--to", to, "--into", "again"}
	out, _ := a.replay(0, append(args, "--dry-run")...)
	for _, want := range []string{"group tributary-lake", "into    s3://bucket/again", "stream  what arrived at " + from + " or later: 1 shard", "Dry run"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if out, _ := a.replay(0, append(args, "--yes")...); !strings.HasSuffix(out, "All is delivered.\n") {
		t.Error(out)
	}
	a.exactly("again", within)
	a.exactly("lake", before, within, after)
	if out, _ := a.replay(0, append(args, "--yes")...); !strings.Contains(out, "All of it was delivered before") {
		t.Error(out)
	}
	if out := a.must("list"); strings.Contains(out, "replay") {
		t.Errorf("its group is there:\n%s", out)
	}
	out, _ = a.replay(0, "tributary-lake", "--from", from, "--to", pass(), "--into", "again", "--dry-run")
	if !strings.Contains(out, "DOUBLES what arrived from "+from+" to "+to+", which replay tributary-lake-replay-") {
		t.Error(out)
	}
	a.exactly("again", within)
	a.verify(0, "--hash")
	a.verify(0, "--hash", "--set", "lake.prefix=again")
}

// The stream has let go of the first wave and holds the second; the lake lacks the
// third. Shards split meanwhile.
func TestAReplayBeginsInTheLakeAndEndsInTheStream(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	before := a.wave("before", 3, 1)
	from := pass()
	gone := a.wave("gone", 40, 1)
	a.until(merged(before, gone))
	client := kinesis.NewFromConfig(a.server.AWS)
	_, err := client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: aws.String("logs"), ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("170141183460469231731687303715884105728")})
	if err != nil {
		t.Fatal(err)
	}
	forgotten := pass()
	time.Sleep(time.Second) // until the split is done
	both := a.wave("both", 40, 1)
	a.until(merged(before, gone, both))
	time.Sleep(2500 * time.Millisecond)
	fresh := a.wave("fresh", 40, 1)
	to := pass()
	after := a.wave("after", 20, 1)
	a.expire(forgotten)

	args := []string{"lake", "--from", from, "--to", to, "--into", "again"}
	out, _ := a.replay(0, append(args, "--dry-run")...)
	for _, want := range []string{"  lake    what arrived before 20", "  stream  what arrived at 20"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if out, _ := a.replay(0, append(args, "--yes")...); !strings.HasSuffix(out, "All is delivered.\n") {
		t.Error(out)
	}
	a.exactly("again", gone, both, fresh)
	a.exactly("lake", before, gone, both)
	a.verify(0, "--hash", "--set", "lake.prefix=again")
	_ = after
}

// importedInto counts the rows of each line in a table of the embedded Treasure Data.
func (a account) importedInto(table string) map[string]int {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(a.server.Config.Dir, "td", filepath.FromSlash(table), "*.jsonl"))
	if err != nil {
		a.t.Fatal(err)
	}
	found := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			a.t.Fatal(err)
		}
		for row := range strings.Lines(string(text)) {
			var r struct {
				Wave  string
				N     int
				Shard string `json:"_shard"`
			}
			if err := json.Unmarshal([]byte(row), &r); err != nil || r.Shard != "shardId-000000000000" {
				a.t.Fatalf("%v: %s", err, row)
			}
			found[fmt.Sprintf(`{"wave":%q,"n":%d}`, r.Wave, r.N)]++
		}
	}
	return found
}

// A reset has made the lake hold everything twice, in two generations; the stream holds
// nothing any more.
func TestAReplayOfWhatOnlyTheLakeHoldsIsEachLineOnce(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.wave("before", 3, 1)
	from := pass()
	one := a.wave("one", 20, 1)
	a.until(one)
	two := a.wave("two", 20, 1)
	to := pass()
	a.wave("after", 3, 1)
	a.until(two)
	a.must("reset", "tributary-lake", "--to", "trim-horizon", "--yes")
	a.until(merged(a.again(one), a.again(two)))
	time.Sleep(1100 * time.Millisecond) // the service tells its time in whole seconds
	a.expire(time.Now().UTC().Format(time.RFC3339Nano))

	for _, args := range [][]string{{"lake", "--into", "again"}, {"treasuredata", "--into", "replayed.all", "--set", "treasuredata.metadata=service,shard,sequence,index"}} {
		args = append(args, "--from", from, "--to", to, "--yes")
		out, _ := a.replay(0, args...)
		if !strings.Contains(out, "  lake    what arrived before "+to) || strings.Contains(out, "  stream ") {
			t.Error(out)
		}
	}
	a.exactly("again", one, two)
	a.verify(0, "--hash", "--set", "lake.prefix=again")
	rows := a.importedInto("replayed/all")
	for line := range merged(one, two) {
		if rows[line] != 1 {
			t.Errorf("the table has %s %d times", line, rows[line])
		}
	}
	if len(rows) != 40 {
		t.Errorf("the table has %d lines", len(rows))
	}
}

// again wants one row more of each line.
func (a account) again(lines map[string]int) map[string]int {
	all := map[string]int{}
	for line, n := range lines {
		all[line] = n + 1
	}
	return all
}

func TestAReplayIntoItsOwnTargetDoublesOnlyWhenForced(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	from := pass()
	lines := a.wave("one", 5, 1)
	to := pass()
	a.wave("after", 1, 1)
	a.until(lines)
	args := []string{"lake", "--into", "lake", "--from", from, "--to", to, "--yes"}
	if _, err := a.replay(2, append(args, "--into", "lake/below")...); err == nil || !strings.Contains(err.Error(), "would be there twice") {
		t.Error(err)
	}
	if out, _ := a.replay(0, append(args, "--force")...); !strings.Contains(out, "DOUBLES every row of that time") {
		t.Error(out)
	}
	a.until(a.again(lines))
	a.verify(0, "--hash")
}

func TestAnInterruptedReplayGoesOnByTheSameCommand(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	from := pass()
	lines := a.wave("one", 5, 1)
	to := pass() // nothing comes behind it, so its end is not certain for some seconds
	args := []string{"lake", "--into", "again", "--from", from, "--to", to, "--yes"}
	ctx, interrupt := context.WithTimeout(t.Context(), 2*time.Second)
	defer interrupt()
	if _, err := a.replayUntil(ctx, 1, args...); err == nil || !strings.Contains(err.Error(), "the same command goes on: tributary replay tributary-lake --from "+from+" --to "+to+` --into "again"`) {
		t.Error(err)
	}
	if out := a.must("list"); !strings.Contains(out, "tributary-lake-replay-") {
		t.Errorf("its group is not there:\n%s", out)
	}
	a.wave("after", 1, 1)
	if out, _ := a.replay(0, args...); !strings.Contains(out, "It was begun at ") || !strings.HasSuffix(out, "All is delivered.\n") {
		t.Error(out)
	}
	a.exactly("again", lines)
	if out := a.must("list"); strings.Contains(out, "replay") {
		t.Errorf("its group is there:\n%s", out)
	}
}

func TestAReplayWhoseRecordsHaveLeftTheStreamMeanwhileIsRefused(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	from := pass()
	lines := a.wave("one", 5, 1)
	to := pass()
	a.wave("after", 1, 1)
	a.until(lines)
	args := []string{"lake", "--into", "again", "--from", from, "--to", to, "--yes"}
	if err := a.server.Faults.Replace([]fault.Rule{{Service: "dynamodb", Operation: "CreateTable", Action: fault.Error}}); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithTimeout(t.Context(), 2*time.Second)
	defer interrupt()
	a.replayUntil(ctx, 1, args...)
	if err := a.server.Faults.Replace(nil); err != nil {
		t.Fatal(err)
	}
	a.expire(time.Now().UTC().Format(time.RFC3339Nano))
	if _, err := a.replay(2, args...); err == nil || !strings.Contains(err.Error(), "the stream has let go meanwhile of records of shardId-000000000000") {
		t.Error(err)
	}
}

func TestTwoProcessesShareAReplay(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	from := pass()
	lines := a.wave("one", 50, 1)
	to := pass()
	a.wave("after", 1, 1)
	done := make(chan string, 2)
	for range 2 {
		go func() {
			out, _ := a.replay(0, "lake", "--into", "again", "--from", from, "--to", to, "--yes")
			done <- out
		}()
	}
	for range 2 {
		if out := <-done; !strings.HasSuffix(out, "All is delivered.\n") {
			t.Error(out)
		}
	}
	a.exactly("again", lines)
	if out := a.must("list"); strings.Contains(out, "replay") {
		t.Errorf("its group is there:\n%s", out)
	}
}
