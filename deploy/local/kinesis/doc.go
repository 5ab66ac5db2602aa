// Package kinesis is an embedded stand-in for Amazon Kinesis Data Streams: the operations Tributary uses, with the service's own
// rules, over plain HTTP and a directory.
//
// What it promises:
//
//   - A record is routed by the MD5 of its partition key (or its explicit hash key) to the open shard that owns the hash.
//     Sequence numbers grow over the whole stream; a child shard's are greater than all of its parent's.
//   - A record is written to its shard's file before it is answered. It survives kill -9 of the process; what the kernel had not
//     yet written is lost in a power cut. A torn tail is cut off at the next open. Streams, shards and retention survive both.
//   - Memory is bounded by Options.InFlightBytes plus a sparse index: one entry of 24 bytes per 64 KiB of records.
//   - Operations and parameters it does not support are refused by name. Nothing is ignored.
//
// Where it differs from the service: streams are ACTIVE as soon as they are answered and splits are done at once; only provisioned
// streams exist; arrival times never go backwards within a shard.
//
// Words: shard, sequence number, iterator as the service uses them. A number is a sequence number's last 20 digits, which count
// the stream's records; a position is the number of the next record to read; the horizon is the time before which records have
// expired.
//
// The rules follow the API reference (https://docs.aws.amazon.com/kinesis/latest/APIReference/) as of the 2026 service model.
package kinesis
