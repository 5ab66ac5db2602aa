package logs

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func given(events ...any) (all []inputLogEvent) {
	for i := 0; i < len(events); i += 2 {
		ts := int64(events[i].(int))
		all = append(all, inputLogEvent{&ts, events[i+1].(string)})
	}
	return all
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil || got+"\n" != string(want) {
		t.Errorf("the format has changed (%v):\n%s", err, got)
	}
}

func TestSegmentsAreTheOnesOnDisk(t *testing.T) {
	file := appendHeader(nil, 7)
	file, _ = appendFrame(file, 8, 1_795_000_000_124, given(1_795_000_000_123, "one", 1_795_000_000_124, "zwölf"))
	file, _ = appendFrame(file, 10, 1_795_000_000_125, given(0, "x"))
	golden(t, "segment_v1.hex", hex.EncodeToString(file))
}

func TestMetadataIsTheOneOnDisk(t *testing.T) {
	dir := t.TempDir()
	group := groupMeta{Version: 1, Name: "/tributary/shop", CreatedMS: 1_795_000_000_123, Class: classInfrequent, KMSKeyID: "arn:aws:kms:us-east-1:1:key/k", RetentionDays: 30}
	stream := streamMeta{Version: 1, Name: "shardId-000000000000", CreatedMS: 1_795_000_000_124}
	for _, save := range []func(string) error{group.save, stream.save} {
		if err := save(dir); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{groupFile: "group_v1.json", streamFile: "stream_v1.json"} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, want, string(got))
	}
	if again, err := loadGroupMeta(dir); err != nil || again != group {
		t.Errorf("read back %+v, %v", again, err)
	}
	if again, err := loadStreamMeta(dir); err != nil || again != stream {
		t.Errorf("read back %+v, %v", again, err)
	}
}

// Whatever a file holds, the whole frames at its beginning are read, and exactly those.
func FuzzSegment(f *testing.F) {
	one, _ := appendFrame(nil, 1, 2, given(3, "three", 4, ""))
	two, _ := appendFrame(one, 3, 4, given(5, strings.Repeat("x", 100)))
	for _, seed := range [][]byte{nil, one, two, two[:len(two)-1], append(two, 0), bytes.Repeat([]byte{0}, 64), bytes.Repeat([]byte{0xff}, 64)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		path := filepath.Join(t.TempDir(), "s.seg")
		content := append(appendHeader(nil, 1), frames...)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		seg, end, err := openSegment(path)
		if err != nil {
			t.Fatal(err)
		}
		if end.torn != (seg.size != int64(len(content))) {
			t.Errorf("torn is %t, %d of %d bytes are whole", end.torn, seg.size, len(content))
		}
		again := appendHeader(nil, 1)
		for fr := newFrameReader(bytes.NewReader(content), headerBytes, seg.size); ; {
			fm, err := fr.next()
			if err != nil {
				break
			}
			var events []inputLogEvent
			for ts, message := range fm.all {
				events = append(events, inputLogEvent{&ts, string(message)})
			}
			if again, _ = appendFrame(again, fm.number, fm.ms, events); len(events) != fm.count {
				t.Errorf("%d events of %d", len(events), fm.count)
			}
		}
		if !bytes.Equal(again, content[:seg.size]) {
			t.Errorf("read frames differ from those in the file")
		}
	})
}

// No pattern makes the parser fail otherwise than by an error, and what it accepts is found again in a message that holds its terms.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"", "a b", `"a b" c`, "?a ?b", "a -b", "{ $.x = 1 }", `"`, "?", "-", "ü"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePattern(text)
		if err != nil || len(p.none) > 0 {
			return
		}
		message := bytes.Join(append(p.all, p.any...), []byte(" "))
		if !p.matches(message) {
			t.Errorf("%q does not match %q", text, message)
		}
	})
}
