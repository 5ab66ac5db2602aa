package forwarder

import (
	"testing"
	"time"
)

// second is what the balancer sees in one second.
type second struct {
	open    []uint32
	need    int
	blocked map[uint32]time.Duration // the pump waited for a lane
	still   []uint32                 // lanes that published nothing
}

func TestLanesFollowLoadAndOneThatHoldsUpTheOthersIsReplaced(t *testing.T) {
	times := func(n int, s second) (all []second) {
		for range n {
			all = append(all, s)
		}
		return all
	}
	full := func(lane uint32) map[uint32]time.Duration {
		return map[uint32]time.Duration{lane: 900 * time.Millisecond}
	}
	three := []uint32{1, 2, 3}
	for name, c := range map[string]struct {
		seconds []second
		more    int // at the last second; nothing before
		replace uint32
	}{
		"load for a second is a burst":                      {seconds: times(1, second{open: three, need: 5})},
		"load that lasts opens what it needs":               {seconds: times(2, second{open: three, need: 5}), more: 2},
		"one lane to spare stays":                           {seconds: times(300, second{open: three, need: 2})},
		"two to spare for a while stay":                     {seconds: times(59, second{open: three, need: 1})},
		"two to spare for long: one closes":                 {seconds: times(60, second{open: three, need: 1}), more: -1},
		"a lane that is waited for is replaced":             {seconds: times(3, second{open: three, need: 3, blocked: full(2)}), replace: 2},
		"not before it was for some seconds":                {seconds: times(2, second{open: three, need: 3, blocked: full(2)})},
		"not while nothing is published at all":             {seconds: times(60, second{open: three, need: 3, blocked: full(2), still: three})},
		"not the only one":                                  {seconds: times(60, second{open: []uint32{1}, need: 1, blocked: full(1)})},
		"not when it is another one each second":            {seconds: []second{{three, 3, full(1), nil}, {three, 3, full(2), nil}, {three, 3, full(1), nil}, {three, 3, full(2), nil}}},
		"not any more after many lives":                     {seconds: times(60, second{open: []uint32{254, 256}, need: 2, blocked: full(254)})},
		"load that needs more lanes comes before replacing": {seconds: times(2, second{open: three, need: 5, blocked: full(2)}), more: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, all := balancer{}, map[uint32]pressure{}
			for i, s := range c.seconds {
				now := map[uint32]pressure{}
				for _, n := range s.open {
					p := all[n]
					p.blocked += s.blocked[n]
					p.published += 1000
					for _, still := range s.still {
						if still == n {
							p.published -= 1000
						}
					}
					all[n], now[n] = p, p
				}
				more, replace := b.judge(s.open, s.need, now)
				wantMore, wantReplace := 0, uint32(0)
				if i == len(c.seconds)-1 {
					wantMore, wantReplace = c.more, c.replace
				}
				if more != wantMore || replace != wantReplace {
					t.Fatalf("second %d: opens %d, replaces %d; want %d, %d", i+1, more, replace, wantMore, wantReplace)
				}
			}
		})
	}
}
