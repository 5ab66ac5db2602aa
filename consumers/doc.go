// Package consumers is the runtime of a consumer group: it shares the shards of
// a stream among workers by leases, reads each leased shard, drops what was
// already delivered, and decides when a sink flushes and what is checkpointed.
//
// Words: a range is a run of whole consecutive records; pending is the range
// about to be flushed with its plan; a map is the highest offset delivered of
// each lane; a shard is parked while a failure keeps it from being delivered.
//
// Order per shard: Next, drop duplicates, Append; and when a flush is due:
// prepare, rejects stored, Flush, map stored, checkpoint. Swapping any two loses
// or doubles events:
//
//   - A flush before prepare: the worker dies, its heir cuts other ranges, and the
//     same events get other names.
//   - A checkpoint before the flush or before the rejects are stored: the worker
//     dies in between, and nobody reads those records again.
//   - A checkpoint before its map: the heir finds none and drops no duplicates.
//   - A map stored while later records wait in the sink: the heir takes their
//     events for delivered.
//
// A group without two phases flushes more often than it writes checkpoints: its
// destination is worth a duplicate, not a write to the table for every flush. A lease
// says whether its last holder may have left something delivered beyond the
// checkpoint, and a sink that is an Heir can then look for it.
//
// Two contexts rule a shard. When reading ends, it takes no more records, flushes,
// checkpoints and gives the lease up. When held ends, because the lease is lost or
// the time to drain is over, nothing is made durable any more; what is pending
// stays so for the next holder.
//
// Files, in the way of a record: group.go (start of a worker), worker.go (the tick,
// taking, handing over and renewing leases), listing.go (the stream's shards),
// assign.go (who reads what, from where), shard.go (the loop), marks.go
// (de-duplication), budget.go (memory), flush.go, replay.go, revisit.go (what a life
// without two phases may have left); chores.go (what is not
// needed any more). What looks at a group from outside and resets it: admin.go,
// admin_list.go, admin_describe.go, admin_target.go, admin_reset.go.
package consumers
