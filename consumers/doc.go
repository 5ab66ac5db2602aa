// Package consumers is the runtime of a consumer group: it shares the shards of
// a stream among workers by leases, reads each leased shard, drops what was
// already delivered, and decides when a sink flushes and what is checkpointed.
//
// Order per shard: Next, Append, prepare, Flush, de-duplication map, checkpoint.
// Swapping any two loses or doubles events.
package consumers
