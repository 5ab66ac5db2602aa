package kinesis

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSegmentFormatIsTheOneOnDisk(t *testing.T) {
	file := appendHeader(nil, 7, 1_795_000_000_123)
	file = appendFrame(file, 8, 1_795_000_000_124, "key", []byte("data"))
	golden, err := os.ReadFile(filepath.Join("testdata", "segment_v1.hex"))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(file); got != strings.TrimSpace(string(golden)) {
		t.Errorf("the format of segments has changed:\n%s", got)
	}
}

// Whatever a file holds, the whole frames at its beginning are read, and exactly those.
func FuzzSegment(f *testing.F) {
	one := appendFrame(nil, 1, 2, "key", []byte("data"))
	two := appendFrame(one, 3, 4, "", nil)
	for _, seed := range [][]byte{nil, one, two, two[:len(two)-1], append(two, 0), bytes.Repeat([]byte{0}, 64), bytes.Repeat([]byte{0xff}, 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		path := filepath.Join(t.TempDir(), "s.seg")
		content := append(appendHeader(nil, 1, 1), frames...)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		seg, err := findSegment(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, torn, err := seg.index()
		if err != nil {
			t.Fatal(err)
		}
		if torn != (seg.size != int64(len(content))) {
			t.Errorf("torn is %t, %d of %d bytes are whole", torn, seg.size, len(content))
		}
		again := appendHeader(nil, 1, 1)
		if _, err := seg.scan(headerBytes, func(rec frame) bool {
			again = appendFrame(again, rec.number, rec.ms, string(rec.key), rec.data)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, content[:seg.size]) {
			t.Errorf("read frames differ from those in the file")
		}
	})
}
