package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"tributary/deploy/local/disk"
)

func TestAFileIsReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"first, and longer", "second"} {
		if err := disk.ReplaceFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d entries are left, %v", len(entries), err)
	}
}

func TestAReplacementThatFailsLeavesTheOldContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := disk.ReplaceFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".tmp", 0o755); err != nil { // where the new content would be written
		t.Fatal(err)
	}
	if err := disk.ReplaceFile(path, []byte("new")); err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("got %q, %v", got, err)
	}
}
