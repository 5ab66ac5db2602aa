// Package layering tests the direction of imports: schema ← stream ← {sinks,
// consumers} ← cmd.
package layering

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// allowed says which folders of the project a folder may import, besides itself
// and its own subfolders where that is listed. The longest matching entry rules.
var allowed = map[string][]string{
	"schema":           {},
	"schema/columns":   {"schema"},
	"schema/filter":    {"schema", "schema/columns"},
	"schema/edit":      {"schema", "schema/columns", "schema/filter"},
	"stream":           {"schema"},
	"stream/fluent":    {"schema"},
	"stream/spool":     {"schema"},
	"stream/multiline": {},
	"stream/ecs":       {"schema"},
	"stream/refused":   {"schema", "stream/spool"},
	"stream/forwarder": {"schema", "schema/edit", "schema/filter", "stream", "stream/fluent", "stream/spool", "stream/multiline", "stream/ecs", "stream/refused"},
	"consumers":        {"schema", "stream", "consumers/lease"},
	"consumers/lease":  {"schema", "stream"},
	"sinks":            {"schema", "schema/columns", "schema/filter", "stream"},
	"sinks/objects":    {},
	"sinks/held":       {"schema", "stream"},
	"sinks/lake":       {"schema", "schema/columns", "stream", "sinks/held", "sinks/objects"},
	"sinks/rejects":    {"schema", "stream", "sinks/objects"},
	"sinks/cloudwatch": {"schema", "schema/filter", "stream", "sinks/held", "sinks/rejects"},

	"stream/spool/powercut": {"stream/spool"},

	"sinks/treasuredata": {"schema", "stream", "sinks/held", "sinks/rejects"},
	"cmd":                {"schema", "schema/columns", "schema/edit", "schema/filter", "stream", "consumers", "sinks", "cmd", "deploy/local"},
	"deploy/local":       {"deploy/local"},
}

// whole lists the folders whose entry in allowed means all that lies below.
var whole = map[string]bool{"stream": true, "consumers": true, "sinks": true, "cmd": true, "deploy/local": true}

const module = "tributary/"

// faults parses the Go files under root and returns what breaks the rules.
// It reads the files itself: a list made by the go command may be a cached one.
func faults(root string) (out []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, name := range []string{"util", "utils", "common", "types", "helpers", "manager", "interfaces"} {
			if filepath.Base(rel) == name {
				out = append(out, rel+": a package is named for what it is, not "+name)
			}
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if strings.HasPrefix(imported, "go.uber.org/fx") && !strings.HasPrefix(rel, "cmd") {
				out = append(out, rel+": fx belongs to cmd")
			}
			if dir, ok := strings.CutPrefix(imported, module); ok && !may(filepath.ToSlash(rel), dir) {
				out = append(out, rel+" must not import "+dir)
			}
		}
		return nil
	})
	return out, err
}

// may reports whether the package in folder from may import the one in to.
func may(from, to string) bool {
	rule := from
	for {
		if _, ok := allowed[rule]; ok {
			break
		}
		up := strings.LastIndexByte(rule, '/')
		if up < 0 {
			return false // a folder nobody agreed on
		}
		rule = rule[:up]
	}
	for _, a := range allowed[rule] {
		if to == a || whole[a] && rule != "stream/forwarder" && strings.HasPrefix(to, a+"/") && (rule == "cmd" || rule == a) {
			return true
		}
	}
	return false
}

func TestImportsPointOneWay(t *testing.T) {
	found, err := faults("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

func TestPlantedViolationsAreCaught(t *testing.T) {
	root := t.TempDir()
	for path, imported := range map[string]string{
		"schema/a.go":         "tributary/stream",
		"stream/a.go":         "tributary/stream/fluent",
		"sinks/lake/a.go":     "tributary/consumers",
		"sinks/other/a.go":    "tributary/sinks/lake",
		"consumers/a.go":      "tributary/sinks/lake",
		"deploy/local/a.go":   "tributary/schema",
		"stream/spool/a.go":   "go.uber.org/fx",
		"consumers/util/a.go": "tributary/schema",
		"extra/a.go":          "tributary/schema",
	} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("package a\nimport _ \""+imported+"\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := faults(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 9 {
		t.Fatalf("caught %d of 9: %q", len(found), found)
	}
}
