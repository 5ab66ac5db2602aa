package consumers

import (
	"context"
	"sync"
	"time"

	"tributary/stream"
)

// budget keeps what a worker has decoded within WorkerBytes: what its sinks hold,
// and the records on their way there. Room for a record is made before it is
// decoded. When there is none, the largest sink flushes and the rest wait; a sink
// whose flush fails is passed over, and dropped when nobody else holds anything to
// give back; a replay cannot be cut, so it goes on as soon as the others hold
// nothing.
//
// There is no deadlock: whoever holds bytes either waits here, where it learns
// that it is to flush, or reads, where it asks wanted at least once per poll, or
// flushes, which ends with less held, in failing or in drop. A reserve lasts while a
// record is decoded and appended, and through the flush that must come before it.
type budget struct {
	bound int64

	mu       sync.Mutex
	holders  map[stream.ShardID]*holder
	size     int64         // of all holders
	reserved int64         // by all holders
	waiting  int           // in admit
	changed  chan struct{} // closed when bytes came back
	pressed  time.Time     // somebody waited at this time
	starved  time.Time     // and found nobody healthy to flush
}

type holder struct {
	size               int64 // of the sink, and of rejects not yet stored
	reserve            int64 // for the record being taken
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

// admit reserves need bytes for the next record of a shard, or waits at most
// patience for room.
func (b *budget) admit(ctx context.Context, id stream.ShardID, need int64) verdict {
	b.mu.Lock()
	h := b.holder(id)
	total := b.size + b.reserved
	if total == 0 || total+need <= b.bound {
		b.set(h, h.size, need)
		b.mu.Unlock()
		return admitted
	}
	// When only reserves are in the way, most of what they hold comes back in
	// milliseconds: nobody has to flush early for that.
	first := false
	if b.size+need > b.bound {
		largest := b.largest()
		if h.replaying && largest == "" {
			b.set(h, h.size, need)
			b.mu.Unlock()
			return admitted
		}
		b.pressed = time.Now()
		if largest == "" {
			b.starved = b.pressed
		}
		first = largest == id && !h.replaying
	}
	changed := b.changed
	b.waiting++
	b.mu.Unlock()
	if !first {
		wait, cancel := context.WithTimeout(ctx, patience)
		select {
		case <-changed:
		case <-wait.Done():
		}
		cancel()
	}
	b.mu.Lock()
	b.waiting--
	b.mu.Unlock()
	if first {
		return flushFirst
	}
	return askAgain
}

// reserve sets what a shard needs for the record it is about to append.
func (b *budget) reserve(id stream.ShardID, need int64) {
	b.update(id, func(h *holder) { h.reserve = need })
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

// hold sets what a shard holds, the record it took included.
func (b *budget) hold(id stream.ShardID, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.holder(id)
	less := size < h.size+h.reserve
	b.set(h, size, 0)
	if less {
		b.wake()
	}
}

// drop forgets a shard and gives back what it held.
func (b *budget) drop(id stream.ShardID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h, ok := b.holders[id]; ok {
		b.set(h, 0, 0)
		delete(b.holders, id)
	}
	b.wake()
}

func (b *budget) update(id stream.ShardID, change func(*holder)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.holder(id)
	before, after := *h, *h
	change(&after)
	h.failing, h.replaying = after.failing, after.replaying
	b.set(h, after.size, after.reserve)
	if after.size+after.reserve < before.size+before.reserve || after.failing != before.failing {
		b.wake()
	}
}

// bytes is what is held and reserved.
func (b *budget) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size + b.reserved
}

func (b *budget) set(h *holder, size, reserve int64) {
	b.size += size - h.size
	b.reserved += reserve - h.reserve
	h.size, h.reserve = size, reserve
}

func (b *budget) wake() {
	if b.waiting == 0 {
		return
	}
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
