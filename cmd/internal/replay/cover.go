package replay

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tributary/sinks/lake"
	"tributary/stream"
)

// unit is a range of the lake of which rows come again: those of records behind Above.
type unit struct {
	lake.Written
	above stream.SequenceNumber
}

// holding is what a lake holds of some time, shard by shard.
type holding struct {
	units []unit
	// gaps tell what is missing between ranges.
	gaps []string
	// begins is when the lake's first record arrived; zero: it has some of before.
	begins time.Time

	shard  []lake.Written // of one shard, being gathered
	from   time.Time
	older  bool // it has records of before
	counts Counts
}

// Counts sum up ranges.
type Counts struct {
	Ranges  int   `json:"ranges"`
	Objects int   `json:"objects"`
	Rows    int64 `json:"rows"`
	Bytes   int64 `json:"bytes"`
}

// add takes what Ranges tells.
func (h *holding) add(r lake.Written) {
	if len(h.shard) > 0 && h.shard[0].Shard != r.Shard {
		h.end()
	}
	h.shard = append(h.shard, r)
	if h.older = h.older || r.ArrivalFirst.Before(h.from); h.older {
		h.begins = time.Time{}
	} else if h.begins.IsZero() || r.ArrivalFirst.Before(h.begins) {
		h.begins = r.ArrivalFirst
	}
}

// end chooses the ranges of a shard that make up its records, each once. Where a reset
// has made a group deliver records again, ranges of several generations hold them: a
// generation is followed for as long as it goes on, since what it passed over as sent
// twice may lie before its beginning in another.
func (h *holding) end() {
	all := h.shard
	h.shard = nil
	slices.SortStableFunc(all, func(a, b lake.Written) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Generation, b.Generation))
	})
	var at *lake.Written
	for {
		for at != nil && len(all) > 0 && all[0].Last.Compare(at.Last) <= 0 {
			all = all[1:]
		}
		next := follow(all, at)
		if next == nil {
			return
		}
		h.link(at, next)
		if !next.ArrivalLast.Before(h.from) {
			u := unit{Written: *next}
			if at != nil {
				u.above = at.Last
			}
			h.units = append(h.units, u)
			h.counts.add(u.Written)
		}
		at = next
	}
}

// follow gives the range to go on with behind another; nil if there is none.
func follow(all []lake.Written, at *lake.Written) (next *lake.Written) {
	for i := range all {
		r := &all[i]
		if at != nil && r.Last.Compare(at.Last) <= 0 {
			continue
		}
		if at != nil && r.Generation == at.Generation && r.After == at.Last {
			return r
		}
		if next == nil {
			next = r
		}
	}
	return next
}

// link tells what is missing before a range.
func (h *holding) link(at, next *lake.Written) {
	const gap = "shard %s: records before %s (arrived %s) are in no range"
	switch {
	case next.Truncated:
		h.gaps = append(h.gaps, fmt.Sprintf("shard %s: of the range from %s (arrived %s) the stream had forgotten a part", next.Shard, next.First, stamp(next.ArrivalFirst)))
	case at == nil && next.After != "" && next.ArrivalFirst.After(h.from),
		at != nil && next.First.Compare(at.Last) > 0 && (next.After == "" || next.After.Compare(at.Last) > 0):
		h.gaps = append(h.gaps, fmt.Sprintf(gap, next.Shard, next.First, stamp(next.ArrivalFirst)))
	}
}

func (c *Counts) add(r lake.Written) {
	c.Ranges++
	c.Objects += r.Objects
	c.Rows += r.Rows
	c.Bytes += r.Bytes
}
