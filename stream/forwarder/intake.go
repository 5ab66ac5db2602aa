package forwarder

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"tributary/stream/fluent"
	"tributary/stream/spool"
)

// intake fits fluent.Store: it gives each event its lane and appends it to the
// spool. Many connections call it.
type intake struct {
	spool   *spool.Spool
	limit   int64 // of one call's bytes in the spool, Config.PendingBytes there
	lanes   *laneSet
	arrived *atomic.Int64 // bytes, for the decision to open lanes
	metrics *metrics
	scratch sync.Pool // of *scratch
}

// scratch is memory for one call.
type scratch struct {
	heads   []byte
	entries []spool.Entry
	reqs    []spool.Request
}

// entryOverhead is more than an entry costs beside record and tag.
const entryOverhead = 64

var errExpands = errors.New("a request's events take more room in the spool than it holds pending")

// maxTag bounds the tag an event carries; ECS tags have some 100 bytes.
const maxTag = 1024

// Store returns when reqs are durable as the spool is configured. Waiting here is
// the backpressure: the connection is not read meanwhile.
func (in *intake) Store(ctx context.Context, conn uint64, reqs []fluent.Request) error {
	events, bytes, heads := 0, 0, 0 // counted first: a tag is repeated with each of its events
	for i := range reqs {
		events += len(reqs[i].Events)
		for j := range reqs[i].Events {
			head := min(len(reqs[i].Events[j].Tag), maxTag) + entryOverhead
			heads += head
			bytes += len(reqs[i].Events[j].Record) + head
		}
	}
	if int64(bytes) > in.limit {
		return errExpands
	}
	w, _ := in.scratch.Get().(*scratch)
	if w == nil {
		w = new(scratch)
	}
	w.heads = slices.Grow(w.heads[:0], heads) // entries point into it
	w.entries, w.reqs = slices.Grow(w.entries[:0], events), w.reqs[:0]
	for i := range reqs {
		first := len(w.entries)
		for j := range reqs[i].Events {
			e := &reqs[i].Events[j]
			start := len(w.heads)
			w.heads = appendHead(w.heads, arrival{time: e.Time, tag: e.Tag[:min(len(e.Tag), maxTag)]})
			w.entries = append(w.entries, spool.Entry{Lane: in.lanes.pick(laneKey(e.Record, conn)), Head: w.heads[start:], Payload: e.Record})
		}
		w.reqs = append(w.reqs, spool.Request{Chunk: reqs[i].Chunk, Entries: w.entries[first:]})
	}
	err := in.spool.Append(ctx, w.reqs) // it has copied the entries, also when it fails
	in.giveBack(w)
	if err != nil {
		return err
	}
	in.metrics.received.Add(float64(events))
	in.arrived.Add(int64(bytes))
	return nil
}

// maxScratch is the most bytes of heads kept for the next call: those of 2,000 events.
const maxScratch = 256 << 10

func (in *intake) giveBack(w *scratch) {
	if cap(w.heads) <= maxScratch {
		clear(w.reqs)    // of chunk ids
		clear(w.entries) // of a connection's bytes
		in.scratch.Put(w)
	}
}

// Closed does nothing: a container that ends in the middle of a line and one that
// merely reconnects look the same here. The partial timeout tells them apart.
func (in *intake) Closed(uint64) {}
