package spool_test

import (
	"bytes"
	"os"
	"testing"

	"tributary/stream/spool"
)

func golden(f *testing.F, name string) []byte {
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzSegment: whatever a segment file holds, frames and bad stretches cover it
// without gap or overlap.
func FuzzSegment(f *testing.F) {
	seg := golden(f, "segment.v1")
	f.Add(seg, []byte("tail"))
	f.Add(golden(f, "snapshot.v1"), seg)
	f.Add(append(bytes.Clone(seg[:120]), seg...), []byte("TSF1TSF1TSF1"))
	f.Fuzz(func(t *testing.T, content, tail []byte) {
		for _, b := range [][]byte{content, append(bytes.Clone(seg), append(content, tail...)...)} {
			frames, bad, covered, err := spool.Frames(b)
			if err != nil {
				continue
			}
			if frames+bad > 0 && covered != int64(len(b)-52) {
				t.Fatalf("%d frames and %d bad stretches cover %d of %d bytes", frames, bad, covered, len(b))
			}
		}
		if frames, _, _, err := spool.Frames(append(bytes.Clone(seg), content...)); err != nil || frames < 4 {
			t.Fatalf("%d frames before a foreign tail, want the 4 written: %v", frames, err)
		}
	})
}

// FuzzPayload: a sound checksum does not make a payload sound.
func FuzzPayload(f *testing.F) {
	seg := golden(f, "segment.v1")
	f.Add(seg[len(seg)-23:], uint32(1))
	snapshot := golden(f, "snapshot.v1")
	f.Add(snapshot[100:], uint32(0))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), uint32(1<<31))
	f.Fuzz(func(t *testing.T, payload []byte, entries uint32) {
		for _, kind := range []bool{false, true} {
			b := spool.ReframedAs(payload, kind, entries)
			if _, _, covered, err := spool.Frames(b); err != nil || covered != int64(len(b)-52) {
				t.Fatalf("%d of %d bytes: %v", covered, len(b), err)
			}
		}
		if lanes, chunks, ok := spool.ParseSnapshot(payload); ok && (lanes > len(payload)/2 || chunks > len(payload)/24) {
			t.Fatalf("%d lanes and %d chunks in %d bytes", lanes, chunks, len(payload))
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(golden(f, "cursor.v1"))
	f.Add([]byte("TRBCURSR\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, state, ok, _ := spool.ParseCursor(b)
		if ok && len(state) > len(b) {
			t.Fatalf("%d bytes of state in %d bytes", len(state), len(b))
		}
	})
}
