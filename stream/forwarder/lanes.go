package forwarder

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"sync/atomic"

	"tributary/stream/spool"
)

// laneSet is the open lanes of this life. Intake picks from it on many
// goroutines; one opens and closes them.
type laneSet struct {
	open atomic.Pointer[[]uint32]
}

// pick chooses a lane by rendezvous hashing: opening a lane moves only the
// containers that the new lane wins, all others keep their order.
func (s *laneSet) pick(key []byte) uint32 {
	open := s.list()
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
	now := append(slices.Clone(s.list()), n)
	s.open.Store(&now)
	return nil
}

// close ends the picking of a lane, of which there must be others: its containers go
// to these, and what it has drains under its key.
func (s *laneSet) close(lane uint32) {
	now := slices.DeleteFunc(slices.Clone(s.list()), func(n uint32) bool { return n == lane })
	s.open.Store(&now)
}

// list is in the order in which the lanes were opened.
func (s *laneSet) list() []uint32 {
	if open := s.open.Load(); open != nil {
		return *open
	}
	return nil
}
