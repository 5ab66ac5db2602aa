package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/cmd/internal/app"
	"tributary/stream/spool"
)

// leave makes a spool as a forwarder leaves it that died before it published: lines
// in a Forward record each.
func leave(t *testing.T, dir string, lines ...string) {
	t.Helper()
	cfg := spool.DefaultConfig()
	cfg.Dir, cfg.Ack = dir, spool.AckWritten
	s, err := spool.Open(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	lane, err := s.OpenLane(ctx, "the key")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		entry := append([]byte{1}, make([]byte, 8)...)         // arrived, at the time 0
		entry = append(entry, 0)                               // no tag
		entry = append(entry, 0x81, 0xa3, 'l', 'o', 'g', 0xda) // {"log": str16
		entry = append(entry, byte(len(l)>>8), byte(len(l)))
		entry = append(entry, l...)
		if err := s.Append(ctx, []spool.Request{{Chunk: l, Entries: []spool.Entry{{Lane: lane, Payload: entry}}}}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestASpoolOfADeadInstanceIsInspectedAndDrained(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	dir := t.TempDir()
	leave(t, dir, `{"n":1}`, `{"n":2}`, `{"n":3}`)
	inspect := func() (r spool.Report) {
		t.Helper()
		out, err := execute(t, "spool", "inspect", dir, "--json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := inspect()
	if r.Entries != 3 || r.Left.Entries != 3 || r.Locked || r.Oldest == nil || len(r.Epochs) != 1 || r.Epochs[0].Lanes[0].Key != "the key" || r.Epochs[0].Lanes[0].Last != 3*spool.OffsetStride {
		t.Errorf("before: %+v", r)
	}
	out, err := execute(t, "spool", "inspect", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Left       3, ", "0000000000000000.seg", "the key", "1024–3072", "Quarantine 0 files"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}

	out, err = a.command(t.Context(), "spool", "drain", dir, "--dry-run")
	if err != nil || !strings.HasPrefix(out, "3 entries (") || !strings.Contains(out, "would be published to stream logs") {
		t.Errorf("dry run: %v\n%s", err, out)
	}
	if again := inspect(); again.Left.Entries != 3 || len(again.Epochs) != 1 {
		t.Error("a dry run changed something")
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.command(stopped, "spool", "drain", dir); !errors.Is(err, context.Canceled) {
		t.Errorf("a drain that was cut off: %v", err)
	}
	for range 2 {
		if out, err = a.command(t.Context(), "spool", "drain", dir, "--host", "i-dead"); err != nil || !strings.Contains(out, "nothing is left") {
			t.Errorf("drain: %v\n%s", err, out)
		}
	}
	if r := inspect(); r.Left.Entries != 0 || r.Oldest != nil {
		t.Errorf("after: %+v", r)
	}
	a.until(map[string]int{`{"n":1}`: 1, `{"n":2}`: 1, `{"n":3}`: 1})
}

func TestSpoolCommandsTellWhatIsWrong(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	used := t.TempDir()
	cfg := spool.DefaultConfig()
	cfg.Dir = used
	s, err := spool.Open(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	setAside(t, used, 0, "{}")
	empty := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no directory":             {[]string{"spool", "drain"}, 2, "takes the directory of one spool"},
		"a directory not there":    {[]string{"spool", "drain", filepath.Join(empty, "none")}, 1, "no such file"},
		"a directory of no spool":  {[]string{"spool", "drain", empty}, 1, "there is no spool here"},
		"a spool that is in use":   {[]string{"spool", "drain", used}, 2, "in use by a forwarder"},
		"rejects of no directory":  {[]string{"spool", "rejects", "--send"}, 2, "takes the directory of one spool"},
		"rejects of none there":    {[]string{"spool", "rejects", filepath.Join(empty, "none")}, 1, "no such file"},
		"rejects to send of none":  {[]string{"spool", "rejects", empty, "--send"}, 1, "there is no spool here"},
		"rejects that are in use":  {[]string{"spool", "rejects", used, "--send"}, 2, "in use by a forwarder"},
		"a stream that is unknown": {[]string{"spool", "drain", leftBehind(t), "--set", "stream.name=none"}, 2, "stream none cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.command(t.Context(), c.args...)
			if app.Code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("exit %d: %v", app.Code(err), err)
			}
		})
	}
	if found, _ := os.ReadDir(empty); len(found) > 0 {
		t.Errorf("made %v", found)
	}
	if out, err := execute(t, "spool", "rejects", used); err != nil || !strings.Contains(out, "1 reject; --send offers them") {
		t.Errorf("beside a forwarder they are not shown: %v\n%s", err, out)
	}
	if out, err := execute(t, "spool", "inspect", used, "--json"); err != nil || !strings.Contains(out, `"locked": true`) {
		t.Errorf("%v\n%s", err, out)
	}
}

func leftBehind(t *testing.T) string {
	dir := t.TempDir()
	leave(t, dir, "{}")
	return dir
}
