package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/parquet/file"

	"tributary/schema"
	"tributary/stream/spool"
)

// TestTheShapeIsFrozen notices a change of a format that has no version directory:
// a field, a name or a magic that is new, gone or of another type.
func TestTheShapeIsFrozen(t *testing.T) {
	dirs := versions(t)
	newest := slices.MaxFunc(dirs, func(a, b string) int { return number(a) - number(b) })
	if got, want := shape(t), string(readFile(t, newest, "shape.txt")); got != want {
		t.Errorf("today's writers write\n%s\nand %s describes\n%s\nIf that is meant, the package documentation says what it takes.", got, newest, want)
	}
}

func number(dir string) (n int) {
	_, _ = fmt.Sscanf(filepath.Base(dir), "v%d", &n)
	return n
}

// shape describes everything that today's writers leave behind.
func shape(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "record\n  begins %x\n", lines(1, 1, "line")[:len(recordHeader)])
	fmt.Fprintf(&out, "spool\n%s", spoolShape(t))
	archive := life(t)
	var objects []stored
	overData(t, archive, func(t *testing.T, s *site) {
		for _, table := range slices.Sorted(maps.Keys(s.allItems(t))) {
			key := map[bool]string{true: "Key", false: "ShardID"}[strings.HasSuffix(table, "-state")]
			fmt.Fprintf(&out, "table %s\n%s", table, itemsShape(s.items(t, table, key), key))
		}
		objects = s.bucket(t, "")
	})
	fmt.Fprintf(&out, "bucket\n%s", objectsShape(t, read(t, objects)))
	fmt.Fprintf(&out, "data directory\n%s", directoryShape(t, unpack(t, archive)))
	return out.String()
}

var variable = []struct {
	what *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`shardId-[0-9]{12}`), "<shard>"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<64 digits>"},
	{regexp.MustCompile(`[0-9]{56}`), "<sequence>"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "<32 digits>"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "<16 digits>"},
	{regexp.MustCompile(`[0-9]{20}`), "<number>"},
	{regexp.MustCompile(`\.meta/tributary/[0-9a-f]{2}/`), ".meta/<bucket>/<2 digits>/"},
	{regexp.MustCompile(`kind=[a-z]+`), "kind=<kind>"},
	{regexp.MustCompile(`dt=[-0-9]{10}`), "dt=<date>"},
	{regexp.MustCompile(`hour=[0-9]{2}`), "hour=<hour>"},
	{regexp.MustCompile(`/[0-9]$`), "/<n>"},
}

func pattern(name string) string {
	for _, v := range variable {
		name = v.what.ReplaceAllString(name, v.name)
	}
	return name
}

// list is a sorted list of what is alike.
type list map[string]map[string]bool

func (l list) add(name string, details ...string) {
	if l[name] == nil {
		l[name] = map[string]bool{}
	}
	for _, d := range details {
		l[name][d] = true
	}
}

func (l list) String() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		fmt.Fprintf(&out, "  %s\n", name)
		for _, d := range slices.Sorted(maps.Keys(l[name])) {
			fmt.Fprintf(&out, "    %s\n", strings.ReplaceAll(d, "\n", "\n    "))
		}
	}
	return out.String()
}

// itemsShape gives the attributes of all items of a kind with their types.
func itemsShape(items []map[string]any, key string) list {
	all := list{}
	for _, item := range items {
		name := "lease"
		if key == "Key" {
			name = pattern(item[key].(map[string]any)["S"].(string))
		}
		for attribute, v := range item {
			all.add(name, fields(attribute, v)...)
			typed := v.(map[string]any)
			if b, ok := typed["B"].([]byte); ok {
				all.add(name, fmt.Sprintf("%s begins %x", attribute, b[:5]))
			}
			if s, ok := typed["S"].(string); ok && strings.HasPrefix(s, "{") {
				all.add(name, jsonFields(attribute, []byte(s))...)
			}
			if attribute == "Version" {
				all.add(name, fmt.Sprint("Version is ", typed["N"]))
			}
		}
	}
	return all
}

// fields are the paths of a value with their types.
func fields(path string, v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			all = append(all, fields(path+"."+name, child)...)
		}
	case []any:
		for _, child := range v {
			all = append(all, fields(path+"[]", child)...)
		}
	default:
		all = append(all, fmt.Sprintf("%s %T", strings.TrimPrefix(path, "."), v))
	}
	return all
}

func jsonFields(path string, text []byte) []string {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return []string{path + " no JSON"}
	}
	return fields(path, v)
}

func objectsShape(t *testing.T, objects []stored) list {
	t.Helper()
	all := list{}
	for _, o := range objects {
		name := pattern(o.Key)
		all.add(name, "type "+o.Type)
		for m := range o.Metadata {
			all.add(name, "metadata "+m)
		}
		switch {
		case strings.HasSuffix(o.Key, ".parquet"):
			r, err := file.NewParquetReader(bytes.NewReader(o.content))
			must(t, err)
			all.add(name, "format "+o.Metadata["tributary-format"], strings.TrimSpace(r.MetaData().Schema.String()))
		case strings.HasSuffix(o.Key, ".jsonl"):
			for _, line := range o.Text {
				all.add(name, jsonFields("", []byte(line))...)
			}
		default:
			all.add(name, jsonFields("", o.content)...)
		}
	}
	return all
}

// directoryShape gives the files of the embedded endpoints with what they begin with.
func directoryShape(t *testing.T, dir string) list {
	t.Helper()
	all := list{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		content := readFile(t, path)
		name = filepath.ToSlash(name)
		switch {
		case strings.HasPrefix(name, "s3/tributary/"): // the objects themselves
			all.add("s3/<bucket>/<key>")
		case strings.HasSuffix(name, ".json"):
			for _, f := range jsonFields("", content) {
				if !strings.HasPrefix(f, "objects[].headers.") {
					all.add(pattern(name), f)
				}
			}
		default:
			begin, _, _ := bytes.Cut(content[:min(len(content), 64)], []byte("\n"))
			all.add(pattern(name), fmt.Sprintf("begins %q", begin[:min(len(begin), map[bool]int{true: 8, false: 64}[strings.HasSuffix(name, ".seg")])]))
		}
		return err
	}))
	return all
}

// spoolShape runs a forwarder that publishes nothing and shows what it spooled.
func spoolShape(t *testing.T) list {
	t.Helper()
	dir := t.TempDir()
	cfg := forwarderConfig()
	cfg.PartialTimeout = 100 * time.Millisecond
	s := startStation(t, dir, cfg, func(schema.Batch) bool { return false })
	s.send("B", docker("cb", "whole")...)
	s.send("C1", docker("cc", "cut", piece("pc", "1", "false")...)...)
	s.until("a close marker", func() bool { return bytes.Contains(segments(t, dir), []byte("\x02cc/pc")) })
	s.stop()

	all := list{}
	for _, name := range segmentNames(t, dir) {
		b := readFile(t, dir, name)
		all.add("segment "+pattern(strings.TrimSuffix(name, ".seg"))+".seg", fmt.Sprintf("begins %q", b[:16]), fmt.Sprintf("frames begin %q", b[52:56]))
	}
	all.add("cursor", fmt.Sprintf("begins %q", slot(t, dir)[:12]))
	opened, err := spool.Open(spoolConfig(dir), nil, slog.New(slog.DiscardHandler))
	must(t, err)
	defer func() { must(t, opened.Close()) }()
	_, state := opened.Start()
	all.add("cursor", fmt.Sprintf("state %x", state))
	for opened.Pending() {
		it, err := opened.Next(t.Context())
		must(t, err)
		all.add("entries", fmt.Sprintf("%d of lane %d, mark %t: %x", it.Offset, it.Lane, it.Mark, it.Payload))
	}
	return all
}

// slot is the cursor that was written first.
func slot(t *testing.T, dir string) []byte {
	t.Helper()
	b := readFile(t, dir, "cursor")
	at := bytes.Index(b, []byte("TRBCURSR"))
	if at < 0 {
		t.Fatal("no cursor")
	}
	return b[at:]
}
