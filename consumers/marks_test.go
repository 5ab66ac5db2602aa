package consumers

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"tributary/schema"
)

func TestMarksDropWhatIsAtOrBelow(t *testing.T) {
	m := newMarks(10)
	for _, c := range []struct {
		name    string
		lane    uint32
		offsets []uint64
		want    []uint64
	}{
		{"a lane never seen keeps all, offset zero too", 1, []uint64{0, 1, 2}, []uint64{0, 1, 2}},
		{"the same again", 1, []uint64{0, 1, 2}, nil},
		{"an overlap", 1, []uint64{2, 3, 4}, []uint64{3, 4}},
		{"another lane", 2, []uint64{1}, []uint64{1}},
		{"a repetition inside one record", 1, []uint64{5, 5, 6}, []uint64{5, 6}},
		{"older than everything", 1, []uint64{1}, nil},
		{"a gap is no reason to drop", 1, []uint64{1000}, []uint64{1000}},
	} {
		b := record(1, c.lane, c.offsets...)
		dropped := m.drop(&b)
		var got []uint64
		for _, e := range b.Events {
			got = append(got, e.Offset)
		}
		expect(t, c.name, got, c.want)
		expect(t, c.name+": dropped", dropped, len(c.offsets)-len(c.want))
	}
}

func TestMarksEvictTheLeastRecentlySeen(t *testing.T) {
	m := newMarks(2)
	for _, lane := range []uint32{1, 2, 1, 3} { // 2 goes
		b := record(1, lane, 1)
		m.drop(&b)
	}
	for lane, known := range map[uint32]bool{1: true, 2: false, 3: true} {
		_, got := m.offset(laneKey{schema.Epoch{1}, lane})
		expect(t, "known", got, known)
	}
}

func TestMarksOfParentsAreMergedByTheirMaximum(t *testing.T) {
	a, b := newMarks(10), newMarks(10)
	key := func(lane uint32) laneKey { return laneKey{schema.Epoch{1}, lane} }
	a.raise(key(1), 5)
	a.raise(key(2), 9)
	b.raise(key(2), 3)
	b.raise(key(3), 4)
	for _, m := range []*marks{mergeMarks(10, a, b), mergeMarks(10, b, a)} {
		for lane, want := range map[uint32]uint64{1: 5, 2: 9, 3: 4} {
			got, _ := m.offset(key(lane))
			expect(t, "offset", got, want)
		}
	}
	expect(t, "merged under a limit", len(mergeMarks(2, a, b).at), 2)
	expect(t, "no parents", len(mergeMarks(2).at), 0)
}

// A replay decides by the stored map what the first pass decided by the one in
// memory: both must evict alike ever after.
func TestStoredMarksGoOnAsTheOriginal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := newMarks(50)
	touch := func(m *marks, key laneKey, offset uint64) { m.raise(key, offset) }
	for range 1000 {
		touch(m, laneKey{schema.Epoch{byte(r.IntN(5))}, uint32(r.IntN(40))}, r.Uint64N(1<<40))
	}
	stored, err := decodeMarks(m.encode(), 50)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		key, offset := laneKey{schema.Epoch{byte(r.IntN(5))}, uint32(r.IntN(40))}, r.Uint64N(1<<40)
		touch(m, key, offset)
		touch(stored, key, offset)
	}
	if !bytes.Equal(m.encode(), stored.encode()) {
		t.Error("the stored map went another way")
	}
}

func goldenMarks() *marks {
	m := newMarks(100)
	m.raise(laneKey{schema.Epoch{0xa, 15: 1}, 0}, 1024)
	m.raise(laneKey{schema.Epoch{0xb, 15: 2}, 1<<32 - 1}, 1<<63)
	m.raise(laneKey{schema.Epoch{0xa, 15: 1}, 7}, 0)
	return m
}

func TestGoldenMarks(t *testing.T) {
	text, err := os.ReadFile("testdata/marks_v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := goldenMarks().encode(); !bytes.Equal(got, want) {
		t.Errorf("encoded as\n%x\nwant\n%x", got, want)
	}
	m, err := decodeMarks(want, 100)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "entries", m.list(), goldenMarks().list())
}

func TestDamagedMarksAreRefused(t *testing.T) {
	data := goldenMarks().encode()
	for i := range data {
		if _, err := decodeMarks(data[:i], 100); err == nil {
			t.Errorf("accepted when cut at %d", i)
		}
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x40
		if _, err := decodeMarks(damaged, 100); err == nil {
			t.Errorf("accepted with byte %d changed", i)
		}
	}
}

func FuzzDecodeMarks(f *testing.F) {
	f.Add(goldenMarks().encode())
	f.Add(newMarks(1).encode())
	f.Add([]byte("TRMK\x01\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMarks(data, 100)
		if err != nil {
			return
		}
		if len(m.at) > 100 {
			t.Fatalf("%d entries", len(m.at))
		}
		again, err := decodeMarks(m.encode(), 100)
		if err != nil || !bytes.Equal(again.encode(), m.encode()) {
			t.Fatalf("no round trip: %v", err)
		}
	})
}
