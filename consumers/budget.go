package consumers

import (
	"context"
	"sync"
	"time"

	"tributary/stream"
)

// budget keeps the sinks of a worker within WorkerBytes. When a record does not
// fit, the largest sink flushes and the rest wait; a sink whose flush fails is
// passed over, and dropped when nobody else holds anything to give back; a replay
// cannot be cut, so it goes on as soon as the others hold nothing.
//
// There is no deadlock: whoever holds bytes either waits here, where it learns
// that it is to flush, or reads, where it asks wanted at least once per poll, or
// flushes, which ends in giveBack, failing or drop.
type budget struct {
	bound int64

	mu      sync.Mutex
	holders map[stream.ShardID]*holder
	changed chan struct{} // closed when bytes came back
	pressed time.Time     // somebody waited at this time
	starved time.Time     // and found nobody healthy to flush
}

type holder struct {
	size               int64
	failing, replaying bool
}

// pressure is how long one who waits counts as still waiting; it asks again
// every patience.
const (
	patience = time.Second
	pressure = 2 * patience
)

func newBudget(bound int64) *budget {
	return &budget{bound: bound, holders: make(map[stream.ShardID]*holder), changed: make(chan struct{})}
}

// verdict is the answer to a shard that wants to append.
type verdict int

const (
	admitted   verdict = iota // the bytes are reserved
	flushFirst                // this shard is the largest
	askAgain                  // there was no room for a while
)

// admit reserves need bytes for a shard, or waits at most patience for room.
func (b *budget) admit(ctx context.Context, id stream.ShardID, need int64) verdict {
	b.mu.Lock()
	h := b.holder(id)
	total, largest := b.total(), b.largest()
	if total == 0 || total+need <= b.bound || h.replaying && largest == "" {
		h.size += need
		b.mu.Unlock()
		return admitted
	}
	now := time.Now()
	b.pressed = now
	if largest == "" {
		b.starved = now
	}
	changed := b.changed
	b.mu.Unlock()
	if largest == id && !h.replaying {
		return flushFirst
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-changed:
	case <-wait.Done():
	}
	return askAgain
}

// wanted reports whether a shard is the one that must flush for others.
func (b *budget) wanted(id stream.ShardID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.pressed) < pressure && !b.pressed.IsZero() && b.largest() == id
}

// evicted reports whether a shard whose flush fails must drop its sink, because
// healthy ones wait and only failing ones hold bytes.
func (b *budget) evicted(id stream.ShardID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.starved.IsZero() || time.Since(b.starved) >= pressure {
		return false
	}
	return b.pick(func(h *holder) bool { return h.failing }) == id
}

// hold sets what a shard holds.
func (b *budget) hold(id stream.ShardID, size int64) {
	b.update(id, func(h *holder) { h.size = size })
}

// drop forgets a shard and gives back what it held.
func (b *budget) drop(id stream.ShardID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.holders, id)
	b.wake()
}

func (b *budget) update(id stream.ShardID, change func(*holder)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.holder(id)
	before := *h
	change(h)
	if h.size < before.size || h.failing != before.failing {
		b.wake()
	}
}

func (b *budget) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total()
}

func (b *budget) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *budget) holder(id stream.ShardID) *holder {
	h, ok := b.holders[id]
	if !ok {
		h = &holder{}
		b.holders[id] = h
	}
	return h
}

func (b *budget) total() (sum int64) {
	for _, h := range b.holders {
		sum += h.size
	}
	return sum
}

// largest is the healthy shard with most bytes, flushing or not; "" if none.
func (b *budget) largest() stream.ShardID {
	return b.pick(func(h *holder) bool { return !h.failing && !h.replaying })
}

func (b *budget) pick(fit func(*holder) bool) (found stream.ShardID) {
	var size int64
	for id, h := range b.holders {
		if fit(h) && (h.size > size || h.size == size && size > 0 && id < found) {
			found, size = id, h.size
		}
	}
	return found
}
