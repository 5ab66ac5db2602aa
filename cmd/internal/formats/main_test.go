package formats

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var freeze = flag.String("freeze", "", "make testdata/`version`, which must not be there yet")

// eachVersion runs a test over everything that was ever written.
func eachVersion(t *testing.T, test func(t *testing.T, dir string)) {
	t.Helper()
	dirs := versions(t)
	if len(dirs) == 0 {
		t.Fatal("no version directory")
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) { test(t, dir) })
	}
}

func versions(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/v*")
	must(t, err)
	return dirs
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	must(t, err)
	return b
}

// pretty is how expected content stands in a version directory.
func pretty(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	must(t, err)
	return append(b, '\n')
}

// expect compares got with the JSON in a file of a version directory.
func expect(t testing.TB, got any, path ...string) {
	t.Helper()
	if g, w := string(pretty(t, got)), string(readFile(t, path...)); g != w {
		t.Errorf("%s says\n%s\ngot\n%s", filepath.Join(path...), w, g)
	}
}
