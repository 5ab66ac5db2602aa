// Package dynamodb is an embedded stand-in for Amazon DynamoDB: the operations
// and expression shapes a lease table needs, over the service's own wire
// protocol (X-Amz-Target DynamoDB_20120810.*, JSON 1.0), kept in a directory.
//
// What it does, it does as the service does: conditional writes are atomic
// under concurrency, expressions are parsed and type-checked, unused or
// undefined placeholders and reserved words are refused, items are held to
// 400 KB, scans page by Limit and by 1 MB and come in no useful order. What it
// does not do is refused with a ValidationException (or
// UnknownOperationException) that names the thing; no parameter is ignored.
//
// A whole table lives in memory: lease tables are small (one item per shard and
// a few state items). On disk each table is one append-only journal. A write is
// in the journal, that is, handed to the operating system, before it is
// answered: it survives kill -9 of the process; it is not synced, so it may not
// survive a power cut. A torn last entry is cut off at Open; damage in the
// middle of a journal makes Open fail, because what follows would be lost.
//
// Faults are injected through a fault.Set under the service name "dynamodb".
// Besides the faults every service knows, the action "stale" answers a read
// that did not ask for ConsistentRead from the state before the last writes.
package dynamodb
