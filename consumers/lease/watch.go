package lease

import (
	"maps"
	"time"

	"tributary/stream"
)

// Watch judges from repeated sights of the table which leases have run out. It
// looks at its own monotonic clock only: a lease is expired once its owner,
// counter and timeout text were seen unchanged for the lease's duration. Not safe
// for concurrent use. The zero Watch is ready.
//
// Sights may be a moment old, as Glance's are: an item seen in an earlier state
// only makes the judgement more patient, and Acquire names the state it was
// judged by.
type Watch struct {
	sights  map[stream.ShardID]sight
	leaving map[string]time.Time // since when
}

// leavingFor is how long a worker that was seen going is not reckoned with. Workers
// drain in less; one that was misjudged counts again after that.
const leavingFor = 30 * time.Second

type sight struct {
	owner, timeout string
	counter        uint64
	since          time.Time // the three are as they are
	claim          string
	claimed        time.Time // the claim is as it is
}

// Observe takes what List or Glance returned. readAt is the moment before the
// reading began or later; later only makes the judgement more patient.
func (w *Watch) Observe(items []Item, readAt time.Time) {
	next := make(map[stream.ShardID]sight, len(items))
	for _, i := range items {
		s := sight{owner: i.Owner, timeout: i.Timeout, counter: i.Counter, since: readAt, claim: i.Claim, claimed: readAt}
		if old, ok := w.sights[i.Shard]; ok {
			if old.owner == s.owner && old.timeout == s.timeout && old.counter == s.counter {
				s.since = old.since
			}
			if old.claim == s.claim {
				s.claimed = old.claimed
			}
			w.departure(old, i, readAt)
		}
		next[i.Shard] = s
	}
	w.sights = next
	maps.DeleteFunc(w.leaving, func(_ string, since time.Time) bool { return readAt.Sub(since) > leavingFor })
}

// departure notes who gave up a lease that nobody had asked for. Only a worker
// that stops does so, or one whose shard is at its end.
func (w *Watch) departure(old sight, now Item, readAt time.Time) {
	switch {
	case old.owner == now.Owner:
	case now.Owner != "": // taken by one that came, or came back under its name
		delete(w.leaving, now.Owner)
	case old.claim == "" && now.Claim == "" && now.Checkpoint != ShardEnd:
		if w.leaving == nil {
			w.leaving = make(map[string]time.Time)
		}
		w.leaving[old.owner] = readAt
	}
}

// Leaving reports whether a worker was seen giving up leases of its own accord a
// short while ago.
func (w *Watch) Leaving(worker string) bool {
	_, ok := w.leaving[worker]
	return ok
}

// Free reports whether anyone may take the item: it has no owner, or its owner
// was silent for the longer of its own duration and atLeast.
func (w *Watch) Free(i Item, atLeast time.Duration, now time.Time) bool {
	return i.Owner == "" || w.Remaining(i, atLeast, now) <= 0
}

// Remaining is how long an owned item has to stay as it is until it is free.
func (w *Watch) Remaining(i Item, atLeast time.Duration, now time.Time) time.Duration {
	return max(atLeast, i.Duration) - w.Unchanged(i, now)
}

// Unchanged is for how long the item was seen as it is, claims apart.
func (w *Watch) Unchanged(i Item, now time.Time) time.Duration {
	s, ok := w.sights[i.Shard]
	if !ok || s.owner != i.Owner || s.counter != i.Counter || s.timeout != i.Timeout {
		return 0
	}
	return now.Sub(s.since)
}

// Claimed is for how long the item's claim was seen.
func (w *Watch) Claimed(i Item, now time.Time) time.Duration {
	s, ok := w.sights[i.Shard]
	if !ok || i.Claim == "" || s.claim != i.Claim {
		return 0
	}
	return now.Sub(s.claimed)
}
