package consumers

import (
	"container/list"

	"tributary/schema"
	"tributary/stream"
)

// marks is the de-duplication map of one shard: the highest offset seen of each
// lane. What it holds and what it evicts depends on the records alone, in their
// order. A replay by another process starts from the stored map and must drop
// exactly what the first pass dropped, or the rows of a range would differ.
type marks struct {
	limit int
	at    map[laneKey]*list.Element
	order list.List // of *mark; least recently seen first
}

type laneKey struct {
	epoch schema.Epoch
	lane  uint32
}

type mark struct {
	laneKey
	offset uint64
}

func newMarks(limit int) *marks {
	return &marks{limit: limit, at: make(map[laneKey]*list.Element)}
}

// drop removes from b the events that were seen before and returns how many.
// Events of other producers have no offsets and all stay.
func (m *marks) drop(b *stream.Batch) int {
	if b.Epoch.IsZero() || len(b.Events) == 0 {
		return 0
	}
	key := laneKey{b.Epoch, b.Lane}
	known, seen := m.offset(key)
	kept := b.Events[:0]
	for _, e := range b.Events {
		if seen && e.Offset <= known {
			continue
		}
		known, seen = e.Offset, true
		kept = append(kept, e)
	}
	dropped := len(b.Events) - len(kept)
	clear(b.Events[len(kept):]) // lines nobody will read any more
	b.Events = kept
	m.raise(key, known)
	return dropped
}

func (m *marks) offset(key laneKey) (uint64, bool) {
	if e, ok := m.at[key]; ok {
		return e.Value.(*mark).offset, true
	}
	return 0, false
}

// raise makes key the most recently seen and evicts the least recently seen.
func (m *marks) raise(key laneKey, offset uint64) {
	if e, ok := m.at[key]; ok {
		k := e.Value.(*mark)
		k.offset = max(k.offset, offset)
		m.order.MoveToBack(e)
		return
	}
	m.at[key] = m.order.PushBack(&mark{key, offset})
	for len(m.at) > m.limit {
		oldest := m.order.Remove(m.order.Front()).(*mark)
		delete(m.at, oldest.laneKey)
	}
}

// list returns the entries, least recently seen first.
func (m *marks) list() []mark {
	entries := make([]mark, 0, len(m.at))
	for e := m.order.Front(); e != nil; e = e.Next() {
		entries = append(entries, *e.Value.(*mark))
	}
	return entries
}

// mergeMarks is what a child starts with: the maximum of its parents. They are
// interleaved from the least recent on, so that eviction spares the recent of both.
func mergeMarks(limit int, parents ...*marks) *marks {
	var lists [][]mark
	longest := 0
	for _, p := range parents {
		lists = append(lists, p.list())
		longest = max(longest, len(p.at))
	}
	merged := newMarks(limit)
	for rank := longest; rank > 0; rank-- {
		for _, l := range lists {
			if rank <= len(l) {
				k := l[len(l)-rank]
				merged.raise(k.laneKey, k.offset)
			}
		}
	}
	return merged
}
