package filter_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/schema"
	"tributary/schema/filter"
)

func sample(rate float64, key ...string) filter.Rule {
	return filter.Rule{Action: filter.Sample, Rate: rate, Key: key}
}

// goldenKeys are those of 0 to 99 that a rate of 0.1 chooses, whatever the version.
const goldenKeys = "8 10 14 18 31 34 53 57 67 88 93"

func TestASampleChoosesTheSameKeysInEveryVersion(t *testing.T) {
	f := compile(t, sample(0.1, "trace_id"))
	var got []string
	for i := range 100 {
		if f.Judge(app(fmt.Sprintf(`{"trace_id":"%d"}`, i))).Send {
			got = append(got, strconv.Itoa(i))
		}
	}
	if s := strings.Join(got, " "); s != goldenKeys {
		t.Fatalf("got %s", s)
	}
}

func TestASampleGoesByWhatIsDocumented(t *testing.T) {
	f := compile(t, sample(0.3, "trace_id", "a.b"))
	epoch := schema.Epoch{1, 2, 3, 15: 255}
	line := func(line string) *schema.Event { return &schema.Event{Line: []byte(line), Offset: 77, Index: 3} }
	part := schema.Part{Line: [16]byte{9, 8, 7}, Number: 2, Count: 5}
	for _, x := range []struct {
		name string
		s    func(i uint64) *filter.Subject
		id   func(i uint64) []byte
	}{
		{"the text of a key",
			func(i uint64) *filter.Subject {
				return &filter.Subject{Epoch: epoch, Event: line(fmt.Sprintf(`{"trace_id":"\u0078%d","a.b":1}`, i))}
			},
			func(i uint64) []byte { return fmt.Append(nil, "x", i) }},
		{"a number that is the key",
			func(i uint64) *filter.Subject {
				return &filter.Subject{Epoch: epoch, Event: line(fmt.Sprintf(`{"trace_id":%d}`, i))}
			},
			func(i uint64) []byte { return fmt.Append(nil, i) }},
		{"the second key where the first is empty",
			func(i uint64) *filter.Subject {
				return &filter.Subject{Epoch: epoch, Event: line(fmt.Sprintf(`{"trace_id":"","a":{"b":%d}}`, i))}
			},
			func(i uint64) []byte { return fmt.Append(nil, i) }},
		{"the second key where the first is a list",
			func(i uint64) *filter.Subject {
				return &filter.Subject{Epoch: epoch, Event: line(fmt.Sprintf(`{"trace_id":[1],"a":{"b":%d}}`, i))}
			},
			func(i uint64) []byte { return fmt.Append(nil, i) }},
		{"the place of an event without a key",
			func(i uint64) *filter.Subject {
				e := line(`{"trace_id":null}`)
				e.Offset = i
				return &filter.Subject{Epoch: epoch, Lane: 4, Record: "not looked at", Event: e}
			},
			func(i uint64) []byte { return append(append(slices.Clone(epoch[:]), 0, 0, 0, 4), big(i)...) }},
		{"the place of another producer's event",
			func(i uint64) *filter.Subject {
				return &filter.Subject{Record: "4960" + strconv.FormatUint(i, 10), Event: line(`{}`)}
			},
			func(i uint64) []byte { return append([]byte("4960"+strconv.FormatUint(i, 10)), 0, 0, 0, 3) }},
		{"the line of a part",
			func(i uint64) *filter.Subject {
				e := line(`{"trace_id":"x"}`)
				e.Part = part
				e.Part.Line[15], e.Part.Line[14] = byte(i), byte(i>>8)
				e.Part.Number = uint32(i)%5 + 1
				return &filter.Subject{Epoch: epoch, Event: e}
			},
			func(i uint64) []byte {
				id := part.Line
				id[15], id[14] = byte(i), byte(i>>8)
				return id[:]
			}},
		{"the line of what has no place",
			func(i uint64) *filter.Subject { return &filter.Subject{Event: line(fmt.Sprint("line ", i))} },
			func(i uint64) []byte { return fmt.Append(nil, "line ", i) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			for i := range uint64(2000) {
				h := fnv.New64a()
				h.Write(x.id(i))
				want := float64(fmix64(h.Sum64())) < 0.3*math.Exp2(64)
				if got := f.Judge(x.s(i)).Send; got != want {
					t.Fatalf("%d: got %t", i, got)
				}
			}
		})
	}
}

func big(i uint64) (b []byte) {
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(i>>shift))
	}
	return b
}

// fmix64 is MurmurHash3's, as its author writes it.
func fmix64(k uint64) uint64 {
	k ^= k >> 33
	k *= 0xff51afd7ed558ccd
	k ^= k >> 33
	k *= 0xc4ceb9fe1a85ec53
	k ^= k >> 33
	return k
}

func TestASampleHasItsRate(t *testing.T) {
	for _, x := range []struct {
		keys string
		n    int
		rate float64
	}{
		{"%016x", 100_000, 0.1},
		{"%d", 10_000, 0.01},
		{"user-%d", 10_000, 0.5},
		{"0af7651916cd43dd8448eb21%08x", 10_000, 0.99},
	} {
		f, all, n := compile(t, sample(x.rate, "k")), 0, float64(x.n)
		for i := range x.n {
			if f.Judge(app(`{"k":"` + fmt.Sprintf(x.keys, i) + `"}`)).Send {
				all++
			}
		}
		if sigma := math.Sqrt(n * x.rate * (1 - x.rate)); math.Abs(float64(all)-n*x.rate) > 3*sigma {
			t.Errorf("%d of %d keys like %s at a rate of %v", all, x.n, x.keys, x.rate)
		}
	}
}

func TestEqualLinesHaveEachTheirOwnLuck(t *testing.T) {
	f, all := compile(t, sample(0.1)), 0
	const n = 10_000
	for i := range n {
		s := app(`{"path":"/health"}`)
		s.Epoch, s.Event.Offset = schema.Epoch{1}, uint64(i)
		if f.Judge(s).Send {
			all++
		}
	}
	if all < n/10-90 || all > n/10+90 {
		t.Fatalf("%d of %d", all, n)
	}
}

func TestAHigherRateChoosesAllThatALowerOneDoes(t *testing.T) {
	var last []bool
	for _, rate := range []float64{0, 1e-30, 0.01, 0.1, 0.5, math.Nextafter(1, 0), 1} {
		f := compile(t, sample(rate, "k"))
		var chosen []bool
		for i := range 2000 {
			chosen = append(chosen, f.Judge(app(fmt.Sprintf(`{"k":%d}`, i))).Send)
			if last != nil && last[i] && !chosen[i] {
				t.Fatalf("a rate of %v leaves %d out", rate, i)
			}
		}
		if all := slices.Contains(chosen, false); rate == 1 && all {
			t.Error("a rate of 1 leaves something out")
		}
		if any := slices.Contains(chosen, true); rate == 0 && any {
			t.Error("a rate of 0 chooses something")
		}
		last = chosen
	}
}
