package forwarder

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"sync/atomic"
	"time"

	"tributary/stream/spool"
)

// laneSet is the open lanes of this life. Intake picks from it on many
// goroutines; only grow adds.
type laneSet struct {
	open atomic.Pointer[[]uint32]
}

// pick chooses a lane by rendezvous hashing: opening a lane moves only the
// containers that the new lane wins, all others keep their order.
func (s *laneSet) pick(key []byte) uint32 {
	open := *s.open.Load()
	h := fnv.New64a()
	h.Write(key)
	sum := h.Sum64()
	best, most := open[0], uint64(0)
	for _, n := range open {
		if w := mix(sum ^ (uint64(n)+1)*0x9e3779b97f4a7c15); w >= most {
			best, most = n, w
		}
	}
	return best
}

// mix is the finalizer of splitmix64: without it neighbouring lanes would win
// neighbouring hashes.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// grow opens one more lane. Its key is durable before anyone can pick it.
func (s *laneSet) grow(ctx context.Context, sp *spool.Spool) error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("make a partition key: %w", err)
	}
	n, err := sp.OpenLane(ctx, hex.EncodeToString(random[:]))
	if err != nil {
		return fmt.Errorf("open lane: %w", err)
	}
	var now []uint32
	if old := s.open.Load(); old != nil {
		now = append(now, *old...)
	}
	now = append(now, n)
	s.open.Store(&now)
	return nil
}

const (
	// laneRate is the compressed bytes per second at which a lane is nearly full:
	// 70 % of the 1 MiB/s that a shard takes.
	laneRate = 0.7 * (1 << 20)
	// laneSeconds is how long load must last: a burst goes into the spool.
	laneSeconds = 2
	// firstRatio is what app logs compress by, until it is known.
	firstRatio = 3
)

// growByLoad opens lanes while more arrives than the open ones can carry, at most
// MaxLanes. Arrival counts, not what is published: an entry's lane is decided when
// it arrives, and throttled lanes publish little just when more are needed.
func (f *run) growByLoad(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before, busy := f.arrived.Load(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := f.arrived.Load()
		need := min(int(math.Ceil(float64(now-before)/f.ratio()/laneRate)), f.cfg.MaxLanes)
		before = now
		open := len(*f.lanes.open.Load())
		if need <= open {
			busy = 0
			continue
		}
		if busy++; busy < laneSeconds {
			continue
		}
		busy = 0
		for ; open < need; open++ {
			if err := f.lanes.grow(ctx, f.spool); err != nil {
				if ctx.Err() == nil {
					f.log.Warn("lane not opened, load stays on the open ones", "err", err)
				}
				break
			}
		}
		f.metrics.lanes.Set(float64(open))
		f.log.Info("lanes opened", "lanes", open)
	}
}

// ratio is the bytes that arrive per byte that is published, as seen so far.
func (f *run) ratio() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var raw, published int64
	for _, l := range f.running {
		raw += l.raw.Load()
		published += l.published.Load()
	}
	if published == 0 {
		return firstRatio
	}
	return max(1, float64(raw)/float64(published))
}
