package spool_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tributary/stream/spool"
)

// files are the names and bytes below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	if err := os.CopyFS(t.TempDir(), os.DirFS(dir)); err != nil { // all of it can be read
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		b, _ := os.ReadFile(name)
		found[name] = string(b)
	}
	return found
}

func TestAnInspectionCountsWhatIsLeftAndChangesNothing(t *testing.T) {
	cfg := roomy(t.TempDir())
	l := start(t, cfg)
	for range 6 {
		l.put("", strings.Repeat("x", 1000))
	}
	if r, err := spool.Inspect(cfg.Dir); err != nil || !r.Locked || r.Entries != 6 {
		t.Errorf("beside a running spool: %+v, %v", r, err)
	}
	items := l.rest()
	if err := l.SetCursor(items[1].After, []byte("state")); err != nil {
		t.Fatal(err)
	}
	first := l.Epoch().String()
	l.stop()
	l = start(t, cfg)
	l.put("", "of the second life")
	l.stop()

	// A flipped bit in the third entry, a torn end, something that is no segment.
	names := segments(t, cfg.Dir)
	harm := func(name string, how func([]byte) []byte) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, how(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	harm(names[0], func(b []byte) []byte { b[items[2].Position+500] ^= 1; return b })
	harm(names[len(names)-1], func(b []byte) []byte { return append(b, "TSF1 torn"...) })
	if err := os.WriteFile(filepath.Join(cfg.Dir, "00000000000f0000.seg"), []byte("no segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(copied, "lock"))
	before := files(t, copied)
	r, err := spool.Inspect(copied)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(files(t, copied), before) {
		t.Error("it changed something")
	}
	if r.Locked || !r.CursorKnown || r.Cursor != items[1].After || r.StateBytes != 5 {
		t.Errorf("cursor: %+v", r)
	}
	if r.Entries != 6 || r.Left.Entries != 4 || r.Left.Bytes != 3018 || r.Oldest == nil {
		t.Errorf("entries: %+v, left %+v", r.Count, r.Left)
	}
	if len(r.Epochs) != 2 || r.Epochs[0].Epoch != first || r.Epochs[0].Lanes[0].Key != "key" || r.Epochs[0].Lanes[0].Left.Entries != 3 || r.Epochs[1].Lanes[0].Left.Entries != 1 {
		t.Errorf("epochs: %+v", r.Epochs)
	}
	var damaged int64
	for _, s := range r.Segments {
		damaged += s.DamagedBytes
	}
	if last := r.Segments[len(r.Segments)-1]; damaged != 48+17+1000+9+10 || last.Fault == "" {
		t.Errorf("%d bytes damaged, %+v", damaged, last)
	}
}

func TestAnInspectionRefusesWhatIsNoSpool(t *testing.T) {
	if _, err := spool.Inspect(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no spool here") {
		t.Errorf("got %v", err)
	}
	golden, err := os.ReadFile("testdata/segment.v1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0000000000000000.seg"), spool.WithSegmentVersion(golden, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Inspect(dir); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v", err)
	}
}
