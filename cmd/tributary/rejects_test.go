package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/cmd/internal/app"
	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/stream"
)

// rejects runs a command of "rejects", which has to end with code.
func (a account) rejects(code int, args ...string) (string, error) {
	a.t.Helper()
	out, err := a.command(a.t.Context(), append([]string{"rejects"}, append(args, "--bucket", "bucket")...)...)
	if app.Code(err) != code {
		a.t.Errorf("%v: exit %d, want %d: %v\n%s", args, app.Code(err), code, err, out)
	}
	return out, err
}

// ids are those of the rejects that are listed.
func (a account) ids(args ...string) (ids []string) {
	a.t.Helper()
	var list struct {
		Rejects []rejects.Kept
		Count   int
	}
	out, _ := a.rejects(0, append([]string{"list", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Count != len(list.Rejects) {
		a.t.Fatalf("%v: %s", err, out)
	}
	for _, k := range list.Rejects {
		ids = append(ids, k.ID)
	}
	return ids
}

// keep stores a reject as an earlier version of the lake's worker would have.
func (a account) keep(n int, reason, data string) {
	a.t.Helper()
	cfg := rejects.DefaultConfig()
	cfg.Bucket, cfg.Group = "bucket", "tributary-lake"
	store, err := rejects.New(cfg, s3.NewFromConfig(a.server.AWS, func(o *s3.Options) { o.UsePathStyle = true }), prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		a.t.Fatal(err)
	}
	at := stream.SequenceNumber(fmt.Sprintf("4900000000000000000000000000000000000000000000000000%04d", n))
	items := []rejects.Item{{Sequence: at, Arrival: time.Now(), Reject: schema.Reject{Reason: reason, Data: []byte(data)}}}
	if err := store.Put(a.t.Context(), stream.Range{Shard: "shardId-000000000000", First: at, Last: at}, items); err != nil {
		a.t.Fatal(err)
	}
}

// TestARecordThatNoDecoderUnderstandsStopsNoShard goes the whole way: the record
// becomes a reject, is listed, shown and delivered again, once.
func TestARecordThatNoDecoderUnderstandsStopsNoShard(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	if out, _ := a.rejects(0, "list"); out != "No rejects.\n" {
		t.Error(out)
	}
	a.put(`{"n":1}`, "2026-11-22 plain text of another producer", `{"n":2}`, "\xf5TRB\x09 of a later version", `{"n":3}`)
	one, two, three := `{"n":1}`, `{"n":2}`, `{"n":3}`
	a.until(map[string]int{one: 1, two: 1, three: 1})

	out, _ := a.rejects(0, "list")
	for _, want := range []string{"group tributary-lake\n\nID ", "unknown record format\n", "unknown record version\n", "\n2 rejects, 0 replayed\n", " kept "} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	ids := a.ids("tributary-lake")
	if len(ids) != 2 || len(a.ids("nobody")) != 0 || len(a.ids("--since", "0s")) != 0 || len(a.ids("--reason", "version")) != 1 {
		t.Fatalf("ids %q", ids)
	}
	text := a.ids("--reason", "format")[0]
	later := a.ids("--reason", "version")[0]
	out, _ = a.rejects(0, "show", text, later)
	for _, want := range []string{"2026-11-22 plain text of another producer\n", "00000000  f5 54 52 42 09 20 6f 66", "unknown record version", "shardId-000000000000, generation 0", "s3://bucket/rejects/tributary-lake/dt="} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q:\n%s", want, out)
		}
	}
	file := filepath.Join(t.TempDir(), "raw")
	a.rejects(0, "show", later, "--raw", file)
	if got, err := os.ReadFile(file); err != nil || string(got) != "\xf5TRB\x09 of a later version" {
		t.Errorf("%q, %v", got, err)
	}

	out, err := a.rejects(1, "replay", "--all", "--yes")
	if !strings.Contains(out, "2 not understood") || err.Error() != "2 rejects left as they are" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _ := a.rejects(0, "replay", text, "--as-lines", "--dry-run"); !strings.Contains(out, "Dry run, nothing was changed") || !strings.Contains(out, "1 replayed; 1 event into stream logs") {
		t.Error(out)
	}
	a.rejects(0, "replay", text, "--as-lines", "--yes")
	if out, _ := a.rejects(0, "replay", text, "--as-lines", "--yes"); !strings.Contains(out, "1 replayed before") {
		t.Error(out)
	}
	const line = "2026-11-22 plain text of another producer"
	a.until(map[string]int{line: 1})
	found := rowsByLine(t, filepath.Join(a.server.Config.Dir, "s3", "bucket"))
	if len(found[line]) != 1 || !strings.Contains(found[line][0], "kind=raw/") || len(found) != 4 {
		t.Errorf("rows %v", found)
	}
	if out, _ := a.rejects(0, "list"); !strings.Contains(out, "\n2 rejects, 1 replayed\n") {
		t.Error(out)
	}
	a.verify(0, "--deep")
}

// A later version understands what an earlier one rejected; the earlier one was
// killed in the middle of its replay.
func TestAReplayThatWasCutOffIsOneRow(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	one, two := `{"n":1}`, `{"n":2}`
	a.keep(1, "unknown record format", one)
	a.keep(2, "unknown record format", two)
	a.rejects(0, "replay", "--all", "--yes")
	a.until(map[string]int{one: 1, two: 1})
	done, err := filepath.Glob(filepath.Join(a.server.Config.Dir, "s3", "bucket", "rejects", "_replays", "logs", "*", "*1-*.done.json"))
	if err != nil || len(done) != 1 {
		t.Fatalf("%v, %v", done, err)
	}
	if err := os.Remove(done[0]); err != nil { // as if the process had died before it
		t.Fatal(err)
	}
	if out, _ := a.rejects(0, "list"); !strings.Contains(out, " begun ") {
		t.Error(out)
	}
	var said struct {
		Outcomes map[string]int
		Events   int
	}
	out, _ := a.rejects(0, "replay", "--all", "--yes", "--json")
	if err := json.Unmarshal([]byte(out), &said); err != nil || said.Outcomes["resumed"] != 1 || said.Outcomes["replayed before"] != 1 || said.Events != 1 {
		t.Errorf("%v: %s", err, out)
	}
	a.put(`{"n":3}`)
	a.until(map[string]int{`{"n":3}`: 1})
	found := rowsByLine(t, filepath.Join(a.server.Config.Dir, "s3", "bucket"))
	if len(found[one]) != 1 || len(found[two]) != 1 {
		t.Errorf("rows %v", found)
	}
}

func TestRejectsAreRefusedInOneLine(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.keep(1, "unknown record format", `{"n":1}`)
	id := a.ids()[0]
	for name, c := range map[string]struct {
		args string
		want string
	}{
		"no id":                {"show", "takes ids of rejects"},
		"what is no id":        {"show x", `"x" is no id of a reject`},
		"an id of nobody":      {"show 0123456789abcdef.1", "there is no reject 0123456789abcdef.1"},
		"a replay of nothing":  {"replay", "takes ids of rejects, or --all"},
		"a replay of both":     {"replay --all " + id, "takes ids of rejects, or --all"},
		"a replay of nobody":   {"replay 0123456789abcdef --yes", "there is no reject"},
		"a replay in no group": {"replay " + id + " --group nobody --yes", "there is no reject"},
		"no stream":            {"replay --all --set stream.name=nowhere --yes", "stream nowhere cannot be used"},
		"two groups":           {"list a b", "takes one group"},
		"a time to come":       {"list --since 2062-11-22", "lies in the future"},
		"raw bytes of two":     {"show --raw - " + id + " " + id, "--raw writes one reject"},
		"a replay unasked":     {"replay " + id, "add --yes to replay"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := a.rejects(2, strings.Fields(c.args)...); err == nil || !strings.Contains(app.OneLine(err), c.want) || strings.Contains(app.OneLine(err), "\n") {
				t.Error(err)
			}
		})
	}
	if out, _ := a.rejects(0, "list"); !strings.Contains(out, "0 replayed") {
		t.Error(out)
	}
}

func TestBytesOfRejectsDoNotSteerATerminal(t *testing.T) {
	for data, want := range map[string]string{
		"plain\tüber\n": "plain\tüber\n",
		"":              "\n",
		"\x1b[2J":       "00000000  1b 5b 32 4a                                       |.[2J|\n",
		"a\xff":         "00000000  61 ff                                             |a.|\n",
	} {
		if got := readable([]byte(data)); got != want {
			t.Errorf("%q is shown as %q", data, got)
		}
	}
	var out bytes.Buffer
	show := &rejectShow{out: &out, most: 6, decoder: schema.NewDecoder()}
	if err := show.text(rejects.Kept{Reason: "\x1b[31m", Data: []byte("aaaaaüü")}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "\naaaaa\n… 4 bytes of 9 more: --bytes 0") {
		t.Errorf("%q", out.String())
	}
}

func TestTablesOfRejectsFit120Columns(t *testing.T) {
	long := strings.Repeat("w", 200)
	var out bytes.Buffer
	l := &rejectList{out: &out, counts: map[reasonOf]*reasonCount{}}
	k := rejects.Kept{ID: "0123456789abcdef.12345", Group: "g", Shard: "shardId-000000012345", Sequence: stream.SequenceNumber(strings.Repeat("4", 56)), Index: 99_999,
		Arrival: time.Now(), Reason: long, Bytes: 10 << 20, State: rejects.StateReplayed}
	if err := l.add(k); err != nil {
		t.Fatal(err)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	r := &replayList{out: &out, stream: "s", found: map[string]bool{}}
	r.add(rejects.Replay{Kept: k, Outcome: rejects.NotUnderstood, Note: long, Events: 12_345})
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}
