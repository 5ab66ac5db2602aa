package treasuredata

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"
)

func TestMetadataAndNamesAreTheOnesOnDisk(t *testing.T) {
	dir := t.TempDir()
	table := &table{createdMS: 1_795_341_600_123, schema: newSchema([]column{{"a", typeLong}, {"b", typeString}})}
	if err := table.save(dir); err != nil {
		t.Fatal(err)
	}
	if err := saveMeta(filepath.Join(dir, databaseFile), databaseMeta{metaVersion, 1_795_341_600_123}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		tableFile:    `{"version":1,"created_ms":1795341600123,"schema":[["a","long"],["b","string"]]}`,
		databaseFile: `{"version":1,"created_ms":1795341600123}`,
	} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want+"\n" {
			t.Errorf("%s is %s, %v", file, got, err)
		}
	}
	names := map[string]fileName{
		"001795341600123-2-2ac30b788fd813e9.jsonl": {1_795_341_600_123, 2, "2ac30b788fd813e9"},
		"001795341600123-17.jsonl":                 {1_795_341_600_123, 17, ""},
	}
	for want, n := range names {
		if n.String() != want {
			t.Errorf("%+v is named %s", n, n)
		}
		if got, ok := parseName(want); !ok || got != n {
			t.Errorf("%s is read as %+v, %t", want, got, ok)
		}
	}
}

func TestASchemaStopsGrowing(t *testing.T) {
	s := newSchema(nil)
	for i := range 3 * maxSchema {
		s.note([]byte("c"+strings.Repeat("x", i%200)+string(rune('a'+i/200))), typeLong)
	}
	if len(s.columns) != maxSchema || len(s.at) != maxSchema {
		t.Errorf("%d columns", len(s.columns))
	}
}

// zeros is endless rows of one value.
type repeated struct {
	row  []byte
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	return copy(p, r.row), nil
}

func TestABodyIsNotHeld(t *testing.T) {
	row := packedRow(t, map[string]any{"time": 1, "message": strings.Repeat("a line of 500 bytes ", 25)})
	var body bytes.Buffer
	gz := gzip.NewWriter(&body)
	if _, err := io.Copy(gz, &repeated{row, 32_000}); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := newRows((Options{}).withDefaults())
	if err := d.decode(&body, io.Discard); err != nil || d.count != 32_000 {
		t.Fatal(d.count, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > baseCost {
		t.Errorf("%d rows of %d bytes took %d bytes, a call reserves %d", d.count, len(row), used, baseCost)
	}
}

func packedRow(t testing.TB, row map[string]any) []byte {
	t.Helper()
	packed, err := msgp.AppendMapStrIntf(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// Whatever comes, it is refused or becomes lines of JSON that are packed to the same rows again.
func FuzzRows(f *testing.F) {
	row := packedRow(f, map[string]any{"time": 1, "a": -1.5, "b": []any{nil, true, "x\n\xff", map[string]any{"C": float32(1)}}, "c": uint64(1 << 63)})
	f.Add(row)
	f.Add(append(append([]byte{}, row...), row...))
	f.Add(row[:len(row)-1])
	f.Add([]byte{0x91, 0x80})
	f.Add([]byte{0x82, 0xa4, 't', 'i', 'm', 'e', 1, 0xa1, 'x', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa1, 'x', 0xc7, 12, 0xff, 0, 0, 0, 0})
	opts := (Options{RowBytes: 4 << 10, DecodedBytes: 64 << 10, RowColumns: 8}).withDefaults()
	f.Fuzz(func(t *testing.T, raw []byte) {
		lines, count, err := decoded(opts, raw)
		if err != nil {
			if refused := (*apiError)(nil); !errors.As(err, &refused) {
				t.Fatalf("not an answer: %v", err)
			}
			return
		}
		if n := bytes.Count(lines, []byte("\n")); int64(n) != count {
			t.Fatalf("%d lines of %d rows", n, count)
		}
		var again []byte
		in := json.NewDecoder(bytes.NewReader(lines))
		in.UseNumber()
		for in.More() {
			if again, err = appendPacked(again, in); err != nil {
				t.Fatalf("%v in %s", err, lines)
			}
		}
		// Packed anew a value may take more room than it did.
		wide := (Options{RowColumns: 8}).withDefaults()
		if same, _, err := decoded(wide, again); err != nil || !bytes.Equal(same, lines) {
			t.Fatalf("%v: packed again the rows are\n%s\nand were\n%s", err, same, lines)
		}
	})
}

func decoded(opts *Options, raw []byte) (lines []byte, count int64, err error) {
	var zipped, out bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	_, _ = gz.Write(raw) // into memory
	_ = gz.Close()
	d := newRows(opts)
	err = d.decode(&zipped, &out)
	return out.Bytes(), d.count, err
}
