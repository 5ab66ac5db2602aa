package treasuredata_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/treasuredata"
)

func TestAnswerLostAndProcessGoneTheRowsAreThereOnce(t *testing.T) {
	w := open(t)
	if err := w.faults.Replace([]fault.Rule{{Service: "td", Action: fault.LoseResponse, Count: 1}}); err != nil {
		t.Fatal(err)
	}
	if got := w.put(id, row(1), row(2)); got.err == nil {
		t.Fatalf("an answer: %+v", got)
	}
	w.reopen()
	w.want(200, w.put(id, row(1), row(2)))
	w.wantLines(`{"time":1}`, `{"time":2}`)
}

// What a crash leaves aside was never answered.
func TestWhatACrashLeftHalfWrittenIsRemoved(t *testing.T) {
	w := open(t)
	w.want(200, w.put("a", row(1)))
	w.close()
	aside := filepath.Join(w.dir, ".tmp")
	if err := os.MkdirAll(filepath.Join(aside, "7"), 0o755); err != nil { // a table on its way
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(aside, "8"), []byte(`{"time":2}`+"\n"+`{"ti`), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	if left, err := os.ReadDir(aside); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
	w.want(200, w.put("b", row(2)))
	w.wantLines(`{"time":1}`, `{"time":2}`)
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	tests := map[string]struct {
		file, text string
		want       string
	}{
		"a later version of a table":    {"shop/audit/.table.json", `{"version":2}`, "version 2, this program reads 1"},
		"a later version of a database": {"shop/.database.json", `{"version":2}`, "version 2, this program reads 1"},
		"metadata that is torn":         {"shop/audit/.table.json", `{"version":`, "unexpected end"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.close()
			path := filepath.Join(w.dir, test.file)
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := treasuredata.Open(w.dir, w.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("open says %v", err)
			}
		})
	}
	if _, err := treasuredata.Open(t.TempDir(), treasuredata.Options{InFlightBytes: 1}); err == nil {
		t.Error("less memory than the largest call needs is enough")
	}
	if _, err := treasuredata.Open(t.TempDir(), treasuredata.Options{IDMemory: -1}); err == nil {
		t.Error("a limit below 0 is taken")
	}
}

func TestFilesOfOthersAreLeftAlone(t *testing.T) {
	w := open(t)
	w.want(200, w.put("a", row(1)))
	path := filepath.Join(w.dir, "shop", "audit", "notes.jsonl")
	if err := os.WriteFile(path, []byte(`{"time":9}`), 0o644); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if got := w.do("GET", "/v3/table/show/shop/audit", nil); !strings.Contains(got.body, `"count":1,`) {
		t.Errorf("shown %s", got.body)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestNothingIsMadeBeforeTheFirstDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "td")
	s, err := treasuredata.Open(dir, treasuredata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
}
