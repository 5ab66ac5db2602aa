// Package kinesis is an embedded stand-in for Amazon Kinesis Data Streams: the operations Tributary uses, with the service's own
// rules, over plain HTTP and a directory.
//
// What it promises:
//
//   - A record is routed by the MD5 of its partition key (or its explicit hash key) to the open shard that owns the hash.
//     Sequence numbers grow over the whole stream; a child shard's are greater than all of its parent's.
//   - A record is written to its shard's file before it is answered. It survives kill -9 of the process; what the kernel had not
//     yet written is lost in a power cut. A torn tail is cut off at the next open. Streams, shards and retention survive both.
//   - Memory is bounded by Options.InFlightBytes plus a sparse index: one entry of 24 bytes per 64 KiB of records. A subscriber who takes
//     longer than 30 s over an event is cut off, for it holds the event's memory.
//   - UpdateShardCount is done by splits and merges, one each Options.ReshardStep, by the calls that name the stream. Between two of
//     them the process may die: the next call goes on. UpdateMaxRecordSize holds at once, for what is put from then on.
//   - SubscribeToShard pushes records as they come: at once after a pause, else every 200 ms, and every 5 s a position. Registered consumers
//     survive a restart; what is known of subscriptions does not.
//   - Operations and parameters it does not support are refused by name. Nothing is ignored.
//
// Where it differs from the service: streams are ACTIVE as soon as they are answered, and splits and merges are done at once
// (UpdateShardCount takes its time; after UpdateMaxRecordSize a stream is UPDATING for one Options.ReshardStep); only provisioned
// streams exist; arrival times never go backwards within a shard. An UpdateShardCount to the count there is, of which the
// documentation says nothing, makes the shards equal and counts as any other; deregistered consumers are gone at once.
//
// Words: shard, sequence number, iterator as the service uses them. A number is a sequence number's last 20 digits, which count
// the stream's records; a position is the number of the next record to read; the horizon is the time before which records have
// expired.
//
// The rules follow the API reference (https://docs.aws.amazon.com/kinesis/latest/APIReference/) as of the 2026 service model.
package kinesis
