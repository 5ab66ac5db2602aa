package spool_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/stream/spool"
)

var update = flag.Bool("update", false, "write the golden files that are missing; those that are there are frozen")

// TestTheFormatsOnDiskDoNotChange keeps a spool that one release wrote readable
// for the next. testdata holds the first bytes of every file: a segment with a
// lane key, a request of two entries with a chunk id, a mark; the segment that
// follows it with its snapshot; and the cursor.
func TestTheFormatsOnDiskDoNotChange(t *testing.T) {
	dir := t.TempDir()
	now := func() time.Time { return time.Unix(1_760_000_000, 123456789) }
	open := func(epoch byte) *life {
		s, err := spool.OpenWith(roomy(dir), nil, quiet, spool.LocalDisk, now, bytes.NewReader(bytes.Repeat([]byte{epoch}, 16)))
		if err != nil {
			t.Fatal(err)
		}
		return run(t, s)
	}
	l := open(0xe1)
	var err error
	if l.lane, err = l.OpenLane(t.Context(), "partition key"); err != nil {
		t.Fatal(err)
	}
	err = l.Append(t.Context(), []spool.Request{{
		Chunk:   "AAECAwQFBgcICQoLDA0ODw==",
		Entries: []spool.Entry{{Lane: l.lane, Payload: []byte("first entry")}, {Lane: l.lane, Payload: []byte("second entry")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Mark(l.lane, []byte("a mark")); err != nil {
		t.Fatal(err)
	}
	l.next()
	if err := l.SetCursor(l.next().Position, []byte("state")); err != nil {
		t.Fatal(err)
	}
	l.stop()
	open(0xe2).stop()

	names := segments(t, dir)
	if len(names) != 2 {
		t.Fatal(names)
	}
	for golden, written := range map[string]string{
		"segment.v1": names[0], "snapshot.v1": names[1], "cursor.v1": filepath.Join(dir, "cursor"),
	} {
		got, err := os.ReadFile(written)
		if err != nil {
			t.Fatal(err)
		}
		if golden == "cursor.v1" {
			got = bytes.TrimRight(got, "\x00")
			got = got[bytes.Index(got, []byte("TRBCURSR")):]
		}
		golden = filepath.Join("testdata", golden)
		if _, missing := os.Stat(golden); *update && missing != nil {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", golden, hex.Dump(got), hex.Dump(want))
		}
	}
}

func TestAGoldenSegmentIsRead(t *testing.T) {
	dir := t.TempDir()
	golden, err := os.ReadFile("testdata/segment.v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0000000000000000.seg"), golden, 0o600); err != nil {
		t.Fatal(err)
	}
	l := start(t, roomy(dir))
	items := l.rest()
	if got := payloads(items); !slices.Equal(got, []string{"first entry", "second entry", "a mark"}) {
		t.Errorf("read %q", got)
	}
	it := items[1]
	if it.Epoch.String() != strings.Repeat("e1", 16) || it.Lane != 1 || it.Offset != 2048 || it.Mark || it.Received != 1_760_000_000_123456789 {
		t.Errorf("read %+v", it)
	}
	if !items[2].Mark {
		t.Error("the mark is none")
	}
	if key, ok := l.LaneKey(it.Epoch, 1); key != "partition key" || !ok {
		t.Errorf("lane key %q %v", key, ok)
	}
}
