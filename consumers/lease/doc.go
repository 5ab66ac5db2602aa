// Package lease keeps a consumer group's leases and positions in DynamoDB.
//
// Words: a lease is the right to read one shard: an owner and a counter. A
// checkpoint is the last sequence number known durable. Pending is the range
// about to be flushed, with its plan. A generation counts how often a shard's
// position was reset. A snapshot is the de-duplication map as of a checkpoint.
//
// Two tables. The lease table holds one item per shard under the attribute
// names, types and value formats of vmware-go-kcl-v2 (ShardID, AssignedTo,
// LeaseTimeout, Checkpoint, ParentShardId, ClaimRequest: all strings, owner
// absent when free), and attributes of our own beside them. That library writes
// whole items and so erases what it does not know; what must survive it lives in
// the second table, named <table>-state: the group itself, plans, snapshots, and
// of each shard its generation and, once it was reset, where it then begins.
//
// Contract. Every write of an owner is conditional on "I am the owner" and on
// the counter last seen, and increments the counter. So of two writes made from
// the same sight of an item exactly one lands, whatever is delayed on the way: a
// checkpoint that the network held back cannot undo a later one. A write whose
// answer is lost is settled by a consistent read before the next write of that
// lease begins. A worker that could not renew for a lease's duration, counted
// from before its last successful write was sent, has lost it and refuses to
// write. Others take a lease when they saw it unchanged for that duration on
// their own monotonic clock; no two wall clocks are compared.
//
// A holder reports its shard's state in its own item, with writes it makes anyway:
// a hint for people, by which nothing is decided. A reset takes an item from
// whoever holds it by the same conditions as any other write, in a generation above
// the item's; see Apply.
//
// Every item of ours has a Version. Attributes and items may be added to a version:
// what this program does not know it leaves alone. A changed meaning raises the
// version, and an item above its own is a permanent error: guessing at a position
// loses or doubles events.
//
// All calls are made once per attempt with AttemptTimeout; only writes of a held
// lease and Acquire retry by themselves, for as long as the lease lasts. Other
// errors are for the caller to retry: every call here may be repeated.
package lease
