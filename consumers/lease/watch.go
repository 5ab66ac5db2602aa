package lease

import (
	"time"

	"tributary/stream"
)

// Watch judges from repeated sights of the table which leases have run out. It
// looks at its own monotonic clock only: a lease is expired once its owner,
// counter and timeout text were seen unchanged for the lease's duration. Not safe
// for concurrent use. The zero Watch is ready.
type Watch struct {
	sights map[stream.ShardID]sight
}

type sight struct {
	owner, timeout string
	counter        uint64
	since          time.Time
}

// Observe takes what List returned. readAt is the moment before the reading began
// or later; later only makes the judgement more patient.
func (w *Watch) Observe(items []Item, readAt time.Time) {
	next := make(map[stream.ShardID]sight, len(items))
	for _, i := range items {
		s := sight{owner: i.Owner, timeout: i.Timeout, counter: i.Counter, since: readAt}
		if old, ok := w.sights[i.Shard]; ok {
			s.since = old.since
			if s != old {
				s.since = readAt
			}
		}
		next[i.Shard] = s
	}
	w.sights = next
}

// Free reports whether anyone may take the item: it has no owner, or its owner
// was silent for the longer of its own duration and atLeast.
func (w *Watch) Free(i Item, atLeast time.Duration, now time.Time) bool {
	if i.Owner == "" {
		return true
	}
	return w.Unchanged(i, now) >= max(atLeast, i.Duration)
}

// Unchanged is for how long the item was seen as it is.
func (w *Watch) Unchanged(i Item, now time.Time) time.Duration {
	s, ok := w.sights[i.Shard]
	if !ok || s.owner != i.Owner || s.counter != i.Counter || s.timeout != i.Timeout {
		return 0
	}
	return now.Sub(s.since)
}
