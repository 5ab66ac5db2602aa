package lake

import (
	"strings"
	"testing"

	"tributary/stream"
)

// FuzzCountFooter feeds the proof what a damaged object may end with.
func FuzzCountFooter(f *testing.F) {
	content, wrote, _ := smallObject(f)
	if err := countFooter(content, int64(len(content)), wrote.rows); err != nil {
		f.Fatal(err)
	}
	f.Add(content, int64(len(content)))
	f.Add([]byte("\xff\xff\xff\xffPAR1"), int64(1)<<40)
	f.Fuzz(func(t *testing.T, tail []byte, size int64) {
		if n, err := footerBytes(tail); err == nil && n > int64(len(tail)) {
			return // checkObject reads more, or refuses
		}
		_ = countFooter(tail, max(size, int64(len(tail))), wrote.rows)
	})
}

// FuzzParseName: a name is taken apart only into what it was made of.
func FuzzParseName(f *testing.F) {
	for _, name := range []string{"shardId-000000000000-495.parquet", "shardId-000000000000-495.g7.parquet", "a.g0.parquet", ".g1.parquet", "1.g1.g2.parquet", "x.json"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		text, sequence, g, ok := parseName(name, ".parquet")
		if !ok {
			return
		}
		again := text + string(sequence) + generation(stream.Range{Generation: g}) + ".parquet"
		if again != name || sequence == "" || strings.Trim(string(sequence), "0123456789") != "" {
			t.Errorf("%q is taken for %q, %q, %d", name, text, sequence, g)
		}
	})
}
