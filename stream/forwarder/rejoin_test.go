package forwarder

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"tributary/schema"
)

func testConfig() Config {
	c := DefaultConfig()
	c.MaxLineBytes, c.MaxOpenBytes, c.MaxOpenLines = 64, 160+8*stepBytes, 6
	return c
}

// feeder numbers pieces as a spool would.
type feeder struct {
	r        *rejoiner
	t        *tracker
	position uint64
	others   []joined
}

func newFeeder(c Config) *feeder {
	t := newTracker(0, nil)
	return &feeder{r: newRejoiner(c, t, nil), t: t}
}

// piece returns the line that the piece completes; others that it ends go to f.others.
func (f *feeder) piece(key string, ordinal int, last bool, data string) (line joined, complete bool) {
	f.position += 10
	for _, l := range f.r.take(piece{index: f.t.add(f.position, f.position+1), position: f.position, key: key, ordinal: ordinal, last: last, data: []byte(data), recent: true}) {
		l.line = bytes.Clone(l.line) // valid until the next call
		if l.place == own {
			line, complete = l.joined, true
		} else {
			f.others = append(f.others, l.joined)
		}
	}
	return line, complete
}

func TestPiecesBecomeOneLine(t *testing.T) {
	type in struct {
		key     string
		ordinal int
		last    bool
		data    string
	}
	for name, c := range map[string]struct {
		in         []in
		line       string
		incomplete bool
	}{
		"pieces in order": {[]in{{"a", 1, false, "x"}, {"a", 2, true, "y"}}, "xy", false},
		"an empty last piece, from a line of k times 16 KiB": {[]in{{"a", 1, false, "x"}, {"a", 2, true, ""}}, "x", false},
		"a character cut in two":                             {[]in{{"a", 1, false, "\xe3\x81"}, {"a", 2, true, "\x82"}}, "あ", false},
		"another line in between":                            {[]in{{"b", 1, false, "B"}, {"a", 1, false, "x"}, {"b", 2, false, "B"}, {"a", 2, true, "y"}}, "xy", false},
		"a middle piece dropped by the driver":               {[]in{{"a", 1, false, "x"}, {"a", 3, true, "z"}}, "xz", true},
		"the first piece dropped by the driver":              {[]in{{"a", 2, true, "y"}}, "y", true},
		"a piece sent twice by a client without acks":        {[]in{{"a", 1, false, "x"}, {"a", 1, false, "x"}, {"a", 2, true, "y"}}, "xy", false},
		"no ordinals, as older Docker":                       {[]in{{"a", 0, false, "x"}, {"a", 0, false, "x"}, {"a", 0, true, "y"}}, "xxy", false},
		"two pieces swapped":                                 {[]in{{"a", 1, false, "x"}, {"a", 3, false, "z"}, {"a", 2, false, "y"}, {"a", 4, true, "w"}}, "xzyw", true},
		"an ordinal that is no number":                       {[]in{{"a", 1, false, "x"}, {"a", -1, false, "y"}, {"a", 3, true, "z"}}, "xyz", true},
		"the last piece once more before it counts as last":  {[]in{{"a", 1, false, "x"}, {"a", 2, false, "y"}, {"a", 2, true, "y"}}, "xy", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeeder(testConfig())
			for i, p := range c.in {
				line, ok := f.piece(p.key, p.ordinal, p.last, p.data)
				if ok != (i == len(c.in)-1) {
					t.Fatalf("piece %d: complete = %v", i, ok)
				}
				if ok && (string(line.line) != c.line || (line.flags&schema.FlagIncomplete != 0) != c.incomplete) {
					t.Fatalf("got %q, flags %v", line.line, line.flags)
				}
			}
		})
	}
}

func TestCapsDeliverMarkedAndForgetNothing(t *testing.T) {
	f := newFeeder(testConfig())
	var got []byte
	marked := 0
	for i := 1; i <= 40; i++ {
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			if line, ok := f.piece(key, i, i == 40, "0123456789"); ok {
				got = append(got, line.line...)
				if line.flags&schema.FlagIncomplete != 0 {
					marked++
				}
			}
			if f.r.bytes > f.r.cfg.MaxOpenBytes || len(f.r.open) > 6 {
				t.Fatalf("%d bytes in %d lines are open, over the caps", f.r.bytes, len(f.r.open))
			}
		}
	}
	for _, line := range f.others {
		got = append(got, line.line...)
		if line.flags&schema.FlagIncomplete == 0 {
			t.Error("a line that made room is not marked")
		}
	}
	if len(got) != 40*8*10 || marked == 0 || len(f.others) == 0 {
		t.Fatalf("%d of %d bytes came out, %d lines marked", len(got), 40*8*10, marked)
	}
	if f.r.bytes != 0 || len(f.r.open) != 0 || f.t.undone() != 320 {
		t.Fatalf("left %d bytes, %d lines; %d entries undone", f.r.bytes, len(f.r.open), f.t.undone())
	}
}

// The ends of some lines never come; those of the others do.
func TestLinesThatAreNeverFinishedMakeRoomForOthers(t *testing.T) {
	f := newFeeder(testConfig())
	for i := range 100 {
		dead, alive := fmt.Sprint("dead", i), fmt.Sprint("alive", i)
		f.piece(dead, 1, false, "0123456789")
		f.piece(dead, 2, false, "0123456789")
		f.piece(alive, 1, false, "0123456789")
		f.piece(alive, 2, false, "0123456789")
		if line, ok := f.piece(alive, 3, true, "end"); !ok || line.flags != 0 || string(line.line) != "01234567890123456789end" {
			t.Fatalf("a line that is finished is %q %v", line.line, line.flags)
		}
	}
	if len(f.others) < 90 {
		t.Errorf("%d lines made room", len(f.others))
	}
	for _, line := range f.others {
		if string(line.line) != "01234567890123456789" || line.flags != schema.FlagIncomplete || line.capped == "" {
			t.Fatalf("a line made room as %q %v", line.line, line.flags)
		}
	}
}

func TestTheLongestSilentLineMakesRoom(t *testing.T) {
	f := newFeeder(testConfig())
	f.piece("a", 1, false, "a")
	f.piece("b", 1, false, "b")
	f.piece("a", 2, false, "a")
	for i := 0; len(f.others) < 2; i++ {
		f.piece(fmt.Sprint("c", i), 1, false, "c")
	}
	if first, second := string(f.others[0].line), string(f.others[1].line); first != "b" || second != "aa" {
		t.Errorf("%q made room, then %q", first, second)
	}
}

func TestSilenceClosesALine(t *testing.T) {
	f := newFeeder(testConfig())
	f.piece("a", 1, false, "panic: boom")
	if got := f.r.tick(time.Second); len(got) != 0 {
		t.Fatal("closed after half its patience")
	}
	got := f.r.tick(time.Second)
	if len(got) != 1 || got[0].key != "a" {
		t.Fatalf("after the patience: %v", got)
	}
	if again := f.r.tick(time.Second); len(again) != 0 {
		t.Fatal("a second close marker was asked for")
	}
	line, ok := f.r.closed("a", f.t.add(500, 500+1), 500)
	if !ok || string(line.line) != "panic: boom" || line.flags != schema.FlagIncomplete {
		t.Fatalf("got %q %v %v", line.line, line.flags, ok)
	}
	if _, ok := f.r.closed("a", f.t.add(600, 600+1), 600); ok {
		t.Fatal("a close marker without its line completed something")
	}
}

func TestALineOfAnEarlierLifeWaitsForItsClientToReconnect(t *testing.T) {
	f := newFeeder(testConfig())
	f.r.take(piece{index: f.t.add(1, 1+1), position: 1, key: "a", ordinal: 1, data: []byte("x")})
	if got := f.r.tick(f.r.cfg.PartialTimeout + f.r.cfg.RestartGrace - 1); len(got) != 0 {
		t.Fatal("closed while the client may still come back")
	}
	if got := f.r.tick(1); len(got) != 1 {
		t.Fatal("never closed")
	}
}

func TestADrippingLineEnds(t *testing.T) {
	c := testConfig()
	c.MaxOpenBytes = 1 << 20 // not what ends it
	f := newFeeder(c)
	for i := 1; ; i++ {
		f.piece("a", i, false, "")
		if len(f.r.tick(time.Second)) == 1 {
			return
		}
		if f.r.clock > 2*f.r.cfg.PartialMaxAge {
			t.Fatal("open for ever")
		}
	}
}

func TestStateRefusesWhatItDoesNotKnow(t *testing.T) {
	good := appendState(nil, []*ghost{{key: "k", end: 9, steps: []step{{1, 5}}}})
	for n := 1; n < len(good); n++ {
		if n == 1 {
			continue // an empty list of ghosts
		}
		if _, err := parseState(good[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(good))
		}
	}
	if _, err := parseState([]byte{2}); err == nil {
		t.Error("a later version was accepted")
	}
	if got := fmt.Sprintf("%x", good); got != "01016b0905" {
		t.Errorf("version 1 of the state is now %s", got)
	}
}

func FuzzState(f *testing.F) {
	f.Add(appendState(nil, []*ghost{{key: "k", end: 9, steps: []step{{1, 5}}}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		ghosts, err := parseState(p)
		if err != nil || len(p) == 0 {
			return
		}
		again, err := parseState(appendState(nil, ghosts))
		if err != nil || len(again) != len(ghosts) {
			t.Fatalf("%d ghosts became %d, %v", len(ghosts), len(again), err)
		}
	})
}

func FuzzPayload(f *testing.F) {
	f.Add(appendArrival(nil, arrival{time: 5, tag: []byte("t"), record: []byte{0x80}}))
	f.Add(closeMark("c/p"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if a, err := parseArrival(p); err == nil {
			if again, err := parseArrival(appendArrival(nil, a)); err != nil || !bytes.Equal(again.record, a.record) || !bytes.Equal(again.tag, a.tag) {
				t.Fatalf("%x does not survive: %v", p, err)
			}
		}
		if key, err := parseCloseMark(p); err == nil && !bytes.Equal(closeMark(key), p) {
			t.Fatalf("%x does not survive", p)
		}
	})
}

func TestPayloadFormatOne(t *testing.T) {
	got := fmt.Sprintf("%x", appendArrival(nil, arrival{time: 0x0102030405060708, tag: []byte("ab"), record: []byte{0x81}}))
	if want := "01010203040506070802616281"; got != want {
		t.Errorf("an arrival is now %s, was %s", got, want)
	}
	if got, want := fmt.Sprintf("%x", closeMark("ab")), "026162"; got != want {
		t.Errorf("a close marker is now %s, was %s", got, want)
	}
}
