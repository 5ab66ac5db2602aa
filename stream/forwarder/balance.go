package forwarder

import (
	"context"
	"math"
	"time"
)

const (
	// laneRate is the compressed bytes per second that a lane is meant to carry: of the
	// 1 MiB/s that a shard takes two lanes that fall on it use 70 %.
	laneRate = 0.35 * (1 << 20)
	// laneSeconds is how long load must last: a burst goes into the spool.
	laneSeconds = 2
	// idleSeconds is how long lanes must have been too many before one closes.
	idleSeconds = 60
	// slowSeconds is how long one lane must have held up the others before it is
	// replaced, and the wait between two replacements: what is on its way to the old
	// one takes a while.
	slowSeconds = 3
	// laneLives bounds the lanes of one life, each of which costs a map entry here and
	// one in each consumer. Beyond it none is replaced any more.
	laneLives = 256
	// firstRatio is what app logs compress by, until it is known.
	firstRatio = 3
)

// balance opens lanes while more arrives than the open ones can carry, at most
// MaxLanes, closes them when they have been too many for long, and replaces one that
// holds up the others: random keys fall on shards unevenly, and a new one most likely
// falls on another. A lane is never moved: its key stays, and what arrived for it
// before goes out under that key.
//
// Arrival counts, not what is published: an entry's lane is decided when it arrives,
// and throttled lanes publish little just when more are needed. Only while nothing at
// all is stored nothing changes: other lanes would not help, and containers that move to
// one would overtake what waits of them.
func (f *run) balance(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	b := balancer{arrived: f.arrived.Load()}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		open := f.lanes.list()
		now := f.arrived.Load()
		need := min(int(math.Ceil(float64(now-b.arrived)/f.ratio()/laneRate)), f.cfg.MaxLanes)
		b.arrived = now
		before := b.published
		if _, b.published = f.totals(); b.published == before && f.tracker.undone() > 0 {
			b.last = f.pressures(open)
			continue
		}
		switch more, slow := b.judge(open, max(1, need), f.pressures(open)); {
		case more > 0:
			f.openLanes(ctx, more)
		case more < 0:
			f.closeLane(open[len(open)-1])
		case slow != 0:
			if f.openLanes(ctx, 1) {
				f.closeLane(slow)
			}
		}
	}
}

// openLanes reports whether it opened all it was asked for.
func (f *run) openLanes(ctx context.Context, n int) bool {
	for ; n > 0; n-- {
		if err := f.lanes.grow(ctx, f.spool); err != nil {
			if ctx.Err() == nil {
				f.log.Warn("lane not opened, load stays on the open ones", "err", err)
			}
			break
		}
	}
	f.showLanes("lanes opened")
	return n == 0
}

func (f *run) closeLane(lane uint32) {
	f.lanes.close(lane)
	f.showLanes("lane closed")
}

func (f *run) showLanes(message string) {
	open := len(f.lanes.list())
	f.metrics.lanes.Set(float64(open))
	f.log.Info(message, "lanes", open)
}

// pressure is what a lane has done since it was started.
type pressure struct {
	blocked   time.Duration // the pump waited for its room
	published int64         // bytes
}

// pressures are those of lanes of this life.
func (f *run) pressures(open []uint32) map[uint32]pressure {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[uint32]pressure, len(open))
	for _, n := range open {
		if l := f.running[laneName{f.spool.Epoch(), n}]; l != nil {
			out[n] = pressure{time.Duration(l.blocked.Load()), l.published.Load()}
		}
	}
	return out
}

// balancer remembers what it takes to judge the lanes, second by second.
type balancer struct {
	arrived          int64
	published        int64 // by all lanes
	busy, idle, slow int   // seconds in a row
	slowest          uint32
	last             map[uint32]pressure
}

// judge is asked once a second. It says how many lanes to open, -1 for one to close,
// or which one to replace; 0 is none.
func (b *balancer) judge(open []uint32, need int, now map[uint32]pressure) (more int, replace uint32) {
	before := b.last
	b.last = now
	if slowest := slowest(open, before, now); slowest != b.slowest {
		b.slowest, b.slow = slowest, 0
	}
	switch {
	case need > len(open):
		b.idle = 0
		if b.busy++; b.busy >= laneSeconds {
			b.busy = 0
			return need - len(open), 0
		}
		return 0, 0
	case need < len(open)-1: // one to spare
		b.idle++
	default:
		b.idle = 0
	}
	b.busy = 0
	if b.idle >= idleSeconds {
		b.idle = 0
		return -1, 0
	}
	if b.slowest != 0 && len(open) > 1 && open[len(open)-1] < laneLives {
		if b.slow++; b.slow >= slowSeconds {
			b.slow = 0
			return 0, b.slowest
		}
	}
	return 0, 0
}

// slowest is the lane that the pump has waited for during most of the last second,
// while others published: if none did, the stream is slow, not the lane. 0: there is
// none.
func slowest(open []uint32, before, now map[uint32]pressure) (lane uint32) {
	others := false
	for _, n := range open {
		if now[n].blocked-before[n].blocked > time.Second/2 {
			lane = n
		} else if now[n].published > before[n].published {
			others = true
		}
	}
	if !others {
		return 0
	}
	return lane
}

// ratio is the bytes that arrive per byte that is published, as seen so far.
func (f *run) ratio() float64 {
	raw, published := f.totals()
	if published == 0 {
		return firstRatio
	}
	return max(1, float64(raw)/float64(published))
}

// totals are those of all lanes, bytes decoded and in records.
func (f *run) totals() (raw, published int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.running {
		raw += l.raw.Load()
		published += l.published.Load()
	}
	return raw, published
}
