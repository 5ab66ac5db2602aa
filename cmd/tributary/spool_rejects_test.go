package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tributary/cmd/internal/app"
	"tributary/schema"
	"tributary/stream/refused"
	"tributary/stream/spool"
)

// setAside puts lines beside a spool as a forwarder does with those that the stream
// refuses; position is the spool's.
func setAside(t *testing.T, dir string, position uint64, lines ...string) {
	t.Helper()
	f, err := refused.Open(dir, 0, refused.DefaultConfig(), spool.LocalDisk, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, l := range lines {
		id := refused.ID{Epoch: schema.Epoch{7}, Lane: 1, Offset: position + uint64(i+1)*spool.OffsetStride}
		e := schema.Event{Time: 1_760_000_000_000_000_000, Kind: schema.KindApp, Origin: &schema.Origin{Service: "condor", ContainerName: "web"}, Line: []byte(l), Offset: id.Offset}
		record, err := schema.NewSmallEncoder().Append(nil, &schema.Batch{Epoch: id.Epoch, Lane: id.Lane, Events: []schema.Event{e}})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Add(refused.Reject{ID: id, At: time.Unix(1_760_000_001, 0), Position: position, Reason: "ValidationException: record", Record: record}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRejectsOfASpoolAreSentOnce also when the process dies before it has removed them.
func TestRejectsOfASpoolAreSentOnce(t *testing.T) {
	a := newAccount(t)
	dir := t.TempDir()
	leave(t, dir, `{"n":1}`)
	if out, err := execute(t, "spool", "rejects", dir); err != nil || out != "No rejects.\n" {
		t.Errorf("%v\n%s", err, out)
	}
	setAside(t, dir, 0, `{"n":2}`, `{"n":3}`)
	setAside(t, dir, 1<<40, `{"n":4}`) // behind the cursor: the spool is said to have it
	out, err := execute(t, "spool", "inspect", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Rejects    3, ", "refused from 2025-10-09T08:53:21Z to 2025-10-09T08:53:21Z", "3: ValidationException: record\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect does not say %q:\n%s", want, out)
		}
	}
	if out, err = a.command(t.Context(), "spool", "drain", dir); err != nil || !strings.Contains(out, "nothing is left. The stream refuses 3 events, which are kept: tributary spool rejects "+dir) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = execute(t, "spool", "rejects", dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"n":2}` + "\n", "ValidationException: record", `app of 2025-10-09T08:53:20Z, 7 bytes`, `service "condor", container web`, "\n3 rejects; --send offers them"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q:\n%s", want, out)
		}
	}
	var list struct {
		Rejects []struct{ Line []byte }
		Count   int
	}
	if out, err = execute(t, "spool", "rejects", dir, "--json"); err != nil || json.Unmarshal([]byte(out), &list) != nil || list.Count != 3 || string(list.Rejects[2].Line) != `{"n":4}` {
		t.Errorf("%v\n%s", err, out)
	}

	before := filepath.Join(t.TempDir(), "rejects")
	if err := os.CopyFS(before, os.DirFS(filepath.Join(dir, "rejects"))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		out, err = a.command(t.Context(), "spool", "rejects", dir, "--send")
		if app.Code(err) != 1 || out != "2 rejects sent to stream logs.\n" || err.Error() != "1 reject left, 1 of them because the spool still has them: tributary spool drain "+dir {
			t.Errorf("%v\n%s", err, out)
		}
		if err := os.RemoveAll(filepath.Join(dir, "rejects")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, "rejects"), os.DirFS(before)); err != nil {
			t.Fatal(err)
		}
	}
	// What a forwarder asks a stream with that seems to refuse everything.
	probe, err := schema.NewSmallEncoder().Append(nil, &schema.Batch{Epoch: schema.Epoch{7}, Lane: 1})
	if err != nil {
		t.Fatal(err)
	}
	a.put(string(probe), `{"n":5}`)
	said := a.until(map[string]int{`{"n":1}`: 1, `{"n":2}`: 1, `{"n":3}`: 1, `{"n":5}`: 1})
	if out, _ := a.rejects(0, "list"); out != "No rejects.\n" {
		t.Errorf("a record without events is a reject:\n%s", out)
	}
	found := rowsByLine(t, filepath.Join(a.server.Config.Dir, "s3", "bucket"))
	for _, line := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`} {
		if len(found[line]) != 1 {
			t.Errorf("%s has %d rows: %s", line, len(found[line]), said)
		}
	}
	if len(found[`{"n":4}`]) != 0 {
		t.Error("what the spool still has was sent")
	}
}
