package spool_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/stream/spool"
)

// filled makes a spool with five one-entry requests and returns its only
// segment, its content and what it holds.
func filled(t *testing.T, cfg spool.Config) (name string, content []byte, items []spool.Item) {
	t.Helper()
	l := start(t, cfg)
	for _, p := range numbered(5) {
		l.put("chunk of "+p, p)
	}
	items = l.rest()
	l.stop()
	names := segments(t, cfg.Dir)
	content, err := os.ReadFile(names[0])
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	return names[0], content, items
}

// restore puts a spool's directory back to one segment and no cursor.
func restore(t *testing.T, dir, segment string, content []byte) {
	t.Helper()
	for _, pattern := range []string{"*.seg", "quarantine/*"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(segment, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cursor, err := os.OpenFile(filepath.Join(dir, "cursor"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer cursor.Close()
	for _, slot := range []int64{0, 1<<20 + 4096} { // quicker than a new file
		if _, err := cursor.WriteAt(make([]byte, 100), slot); err != nil {
			t.Fatal(err)
		}
	}
}

// quarantined returns all bytes in quarantine.
func quarantined(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(filepath.Join(dir, "quarantine"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestATailCutAnywhereLosesOnlyTheUnfinishedRequest(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.Ack = spool.AckWritten // less waiting for the disk
	name, content, items := filled(t, cfg)
	base := int(items[0].Position)
	for size := len(content); size >= base-100; size-- {
		restore(t, cfg.Dir, name, content[:size])
		whole := 0
		for _, it := range items {
			if int(it.After) <= size {
				whole++
			}
		}
		l := start(t, cfg)
		if got := payloads(l.rest()); !slices.Equal(got, numbered(whole)) {
			t.Fatalf("cut to %d bytes: read %q, want %d entries", size, got, whole)
		}
		// What is lost can be sent again, what is there is known.
		for _, p := range numbered(5) {
			l.put("chunk of "+p, p)
		}
		if got := payloads(l.rest()); !slices.Equal(got, numbered(5)[whole:]) {
			t.Fatalf("cut to %d bytes: stored %q again, %d entries were there", size, got, whole)
		}
		begin := base - 48 // of the frame that was cut
		if whole > 0 {
			begin = int(items[whole-1].After)
		}
		if size >= base-48 && !bytes.Equal(quarantined(t, cfg.Dir), content[begin:size]) {
			t.Fatalf("cut to %d bytes: %d bytes in quarantine, want %d", size, len(quarantined(t, cfg.Dir)), size-begin)
		}
		if got := l.metric("tributary_spool_quarantined_bytes_total"); int(got) != len(quarantined(t, cfg.Dir)) {
			t.Fatalf("cut to %d bytes: counted %v", size, got)
		}
		l.stop()
	}
}

func TestAFlippedBitLosesOnlyTheRequestItIsIn(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.Ack = spool.AckWritten
	name, content, items := filled(t, cfg)
	for at := int(items[0].Position) - 48; at < len(content); at++ {
		damaged := bytes.Clone(content)
		damaged[at] ^= 1 << (at % 8)
		restore(t, cfg.Dir, name, damaged)
		var want []string
		for _, it := range items {
			if at < int(it.Position)-48 || at >= int(it.After) {
				want = append(want, string(it.Payload))
			}
		}
		for life := range 2 { // the second comes from behind a newer segment
			l := start(t, cfg)
			if got := payloads(l.rest()); !slices.Equal(got, want) {
				t.Fatalf("bit at %d, life %d: read %q, want %q", at, life, got, want)
			}
			l.stop()
		}
		if got := quarantined(t, cfg.Dir); len(got) != 48+17+8 {
			t.Fatalf("bit at %d: %d bytes in quarantine", at, len(got))
		}
	}
}

func TestABadSnapshotIsMadeUpForByTheSegmentBefore(t *testing.T) {
	cfg := roomy(t.TempDir())
	l := start(t, cfg)
	l.put("chunk", "first life")
	epoch := l.Epoch()
	l.stop()
	l = start(t, cfg)
	l.put("", "second life")
	l.stop()
	names := segments(t, cfg.Dir)
	content, _ := os.ReadFile(names[1])
	content[52+48+3] ^= 1 // in the snapshot
	if err := os.WriteFile(names[1], content, 0o600); err != nil {
		t.Fatal(err)
	}
	l = start(t, cfg)
	l.put("chunk", "again")
	if got := payloads(l.rest()); !slices.Equal(got, []string{"first life", "second life"}) {
		t.Errorf("read %q", got)
	}
	if key, ok := l.LaneKey(epoch, 1); key != "key" || !ok {
		t.Errorf("lane key %q %v", key, ok)
	}
}

func TestAFileThatIsNoSegmentIsPutAside(t *testing.T) {
	for _, tt := range []struct {
		name    string
		content string
	}{
		{"an empty file of a lost rotation", ""},
		{"a header that was cut", "TRBSPOOL\x01"},
		{"something else", strings.Repeat("not a segment", 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := roomy(t.TempDir())
			_, _, items := filled(t, cfg)
			stray := filepath.Join(cfg.Dir, fmt.Sprintf("%016x.seg", 1<<20))
			for _, name := range []string{stray, filepath.Join(cfg.Dir, "left.seg.tmp")} {
				if err := os.WriteFile(name, []byte(tt.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			l := start(t, cfg)
			l.put("", "more")
			if got := payloads(l.rest()); !slices.Equal(got, append(numbered(5), "more")) {
				t.Errorf("read %q", got)
			}
			if l.Head() <= 1<<20 || items[4].After > 1<<20 {
				t.Error("positions of the stray file are given again")
			}
			if got := quarantined(t, cfg.Dir); string(got) != tt.content {
				t.Errorf("%d bytes in quarantine", len(got))
			}
			if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.tmp")); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

func TestASegmentOfAnUnknownVersionStopsTheStart(t *testing.T) {
	golden, err := os.ReadFile("testdata/segment.v1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := roomy(t.TempDir())
	newer := spool.WithSegmentVersion(golden, 2)
	if err := os.WriteFile(filepath.Join(cfg.Dir, "0000000000000000.seg"), newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(cfg, nil, quiet); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("opened with %v", err)
	}
}

func TestALostCursorMeansReadingEverythingAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(t *testing.T, cursor string)
	}{
		{"missing", func(t *testing.T, cursor string) { os.Remove(cursor) }},
		{"empty", func(t *testing.T, cursor string) { os.Truncate(cursor, 0) }},
		{"garbage", func(t *testing.T, cursor string) { os.WriteFile(cursor, bytes.Repeat([]byte("x"), 3<<20), 0o600) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := roomy(t.TempDir())
			_, _, items := filled(t, cfg)
			l := start(t, cfg)
			if err := l.SetCursor(items[3].Position, []byte("state")); err != nil {
				t.Fatal(err)
			}
			l.stop()
			tt.harm(t, filepath.Join(cfg.Dir, "cursor"))
			l = start(t, cfg)
			if _, state := l.Start(); state != nil {
				t.Errorf("state %q", state)
			}
			got := l.rest()
			if !slices.Equal(payloads(got), numbered(5)) {
				t.Errorf("read %q", payloads(got))
			}
			if err := l.SetCursor(got[4].Position, []byte("new")); err != nil {
				t.Fatal(err)
			}
			l.stop()
			l = start(t, cfg)
			if _, state := l.Start(); string(state) != "new" || !slices.Equal(payloads(l.rest()), numbered(5)[4:]) {
				t.Errorf("the cursor set afterwards is gone, state %q", state)
			}
		})
	}
}

func TestACursorTornAnywhereLeavesTheOneBefore(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.Ack = spool.AckWritten
	_, _, items := filled(t, cfg)
	l := start(t, cfg)
	cursor := filepath.Join(cfg.Dir, "cursor")
	var files [][]byte
	for i := 1; i <= 3; i++ {
		if err := l.SetCursor(items[i].Position, fmt.Append(nil, "state ", i)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(cursor)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content)
	}
	l.stop()
	for i := 1; i < 3; i++ {
		before, after := files[i-1], files[i]
		first, last := differ(before, after)
		for at := first; at <= last; at += 3 {
			torn := append(bytes.Clone(after[:at]), before[at:]...)
			if err := os.WriteFile(cursor, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := spool.Open(cfg, nil, quiet)
			if err != nil {
				t.Fatal(err)
			}
			pos, state := s.Start()
			if pos != items[i].Position || string(state) != fmt.Sprint("state ", i) {
				t.Errorf("torn at %d: %d %q, want %d", at, pos, state, items[i].Position)
			}
			s.Close()
		}
	}
}

// differ returns the first and the last place where a and b differ.
func differ(a, b []byte) (first, last int) {
	first = -1
	for i := range a {
		if a[i] != b[i] {
			if last = i; first < 0 {
				first = i
			}
		}
	}
	return first, last
}

func TestALogThatEndsBeforeItsCursorGoesOnBehindIt(t *testing.T) {
	cfg := roomy(t.TempDir())
	name, content, items := filled(t, cfg)
	l := start(t, cfg)
	pos := l.Head()
	if err := l.SetCursor(pos, []byte("state")); err != nil {
		t.Fatal(err)
	}
	l.stop()
	for _, seg := range segments(t, cfg.Dir) {
		os.Remove(seg)
	}
	os.WriteFile(name, content[:items[2].After], 0o600)
	l = start(t, cfg)
	if begin, state := l.Start(); begin != pos || string(state) != "state" {
		t.Errorf("cursor %d %q, want %d", begin, state, pos)
	}
	l.put("", "new")
	if got := l.rest(); len(got) != 1 || string(got[0].Payload) != "new" || got[0].Position < pos {
		t.Errorf("read %q", payloads(got))
	}
}

func TestAChunkIsStoredOnceWithinItsWindow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := roomy(dir)
		cfg.SegmentBytes = 4 << 10
		l := start(t, cfg)
		id := "AAECAwQFBgcICQoLDA0ODw==" // 16 bytes, as clients send them
		l.put(id, "first")
		l.put(id, "second")
		l.put("some other id", "first")
		l.put("some other id", "second")
		twice := spool.Request{Chunk: "twice", Entries: []spool.Entry{{Lane: l.lane, Payload: []byte("once")}}}
		if err := l.Append(t.Context(), []spool.Request{twice, twice}); err != nil {
			t.Fatal(err)
		}
		if got := payloads(l.rest()); !slices.Equal(got, []string{"first", "first", "once"}) {
			t.Fatalf("read %q", got)
		}
		if hits := l.metric("tributary_spool_chunk_hits_total"); hits != 3 {
			t.Errorf("%v hits, want 3", hits)
		}

		time.Sleep(cfg.ChunkWindow - time.Minute)
		for range 20 { // the segment with the ids is deleted
			l.put("", strings.Repeat("x", 1000))
		}
		l.rest()
		if err := l.SetCursor(l.Head(), nil); err != nil {
			t.Fatal(err)
		}
		if names := segments(t, dir); len(names) != 1 || strings.HasSuffix(names[0], "/0000000000000000.seg") {
			t.Fatalf("segments %q", names)
		}
		for range 2 {
			l.stop()
			l = start(t, cfg)
			l.put(id, "third")
			l.put("twice", "third")
		}
		if got := payloads(l.rest()); len(got) > 0 {
			t.Errorf("stored again after a restart: %q", got)
		}

		time.Sleep(time.Minute + time.Second)
		l.put(id, "after the window")
		l.stop()
		l = start(t, cfg)
		l.put("twice", "after the window")
		l.put("twice", "known anew")
		if got := payloads(l.rest()); !slices.Equal(got, []string{"after the window", "after the window"}) {
			t.Errorf("read %q", got)
		}
		l.stop()
	})
}

func TestTheOldestChunkIsForgottenWhenTheMemoryIsFull(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.ChunkMemory = 3
	l := start(t, cfg)
	for _, id := range []string{"a", "b", "c", "d"} {
		l.put(id, id)
	}
	for range 2 {
		if got := l.metric("tributary_spool_chunk_ids"); got != 3 {
			t.Errorf("%v ids, want 3", got)
		}
		l.stop()
		l = start(t, cfg)
	}
	l.rest()
	for _, id := range []string{"d", "c", "b", "a"} {
		l.put(id, id+" again")
	}
	if got := payloads(l.rest()); !slices.Equal(got, []string{"a again"}) {
		t.Errorf("stored %q again", got)
	}
}

func TestLaneKeysLiveAsLongAsTheirEntries(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.SegmentBytes = 4 << 10
	l := start(t, cfg)
	first := l.Epoch()
	for i := range 30 {
		lane, err := l.OpenLane(t.Context(), fmt.Sprint("key ", i+2))
		if err != nil || lane != uint32(i+2) {
			t.Fatal(lane, err)
		}
		l.put("", strings.Repeat("x", 500))
	}
	items := l.rest()
	if err := l.SetCursor(items[29].Position, nil); err != nil {
		t.Fatal(err)
	}
	if names := segments(t, cfg.Dir); len(names) != 1 {
		t.Fatalf("segments %q", names)
	}
	for range 2 {
		for _, lane := range []uint32{2, 31} {
			if key, ok := l.LaneKey(first, lane); !ok || key != fmt.Sprint("key ", lane) {
				t.Errorf("lane %d has key %q %v", lane, key, ok)
			}
		}
		l.stop()
		l = start(t, cfg)
	}
	if key, ok := l.LaneKey(l.Epoch(), l.lane); key != "key" || !ok {
		t.Errorf("new epoch: key %q %v", key, ok)
	}
	l.rest()
	if err := l.SetCursor(l.Head(), nil); err != nil {
		t.Fatal(err)
	}
	if key, ok := l.LaneKey(first, 2); ok {
		t.Errorf("nothing of the first epoch is left, lane 2 still has key %q", key)
	}
}

func TestRestartsWithoutEntriesLeaveNoSegmentsBehind(t *testing.T) {
	cfg := roomy(t.TempDir())
	for range 5 {
		start(t, cfg).stop()
	}
	if names := segments(t, cfg.Dir); len(names) != 1 {
		t.Errorf("segments %q", names)
	}
}

func TestQuarantineIsBounded(t *testing.T) {
	cfg := roomy(t.TempDir())
	cfg.SegmentBytes = 4 << 10
	l := start(t, cfg)
	for range 20 {
		l.put("", strings.Repeat("x", 1000))
	}
	l.stop()
	for _, name := range segments(t, cfg.Dir) {
		content, _ := os.ReadFile(name)
		for i := 200; i < len(content); i++ {
			content[i] = 'y'
		}
		os.WriteFile(name, content, 0o600)
	}
	l = start(t, cfg)
	l.put("", "goes on")
	if got := payloads(l.rest()); !slices.Contains(got, "goes on") {
		t.Errorf("read %.20q", got)
	}
	if n := len(quarantined(t, cfg.Dir)); n == 0 || int64(n) > cfg.SegmentBytes {
		t.Errorf("%d bytes in quarantine, limit %d", n, cfg.SegmentBytes)
	}
	if got := l.metric("tributary_spool_quarantined_bytes_total"); got < 20_000 {
		t.Errorf("counted %v bytes", got)
	}
}
