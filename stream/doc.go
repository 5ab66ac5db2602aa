// Package stream writes records to and reads records from Amazon Kinesis Data
// Streams.
//
// Words: a record has one sequence number and is never split; a range is a run
// of consecutive records of one shard, both ends included; publish means to
// store in the stream; lag is the time behind the tip.
//
// A [Producer] groups the records of many lanes into PutRecords requests and
// retries only what failed. It keeps the order of a lane because a lane publishes
// one record at a time. It delivers at least once: a request whose answer was
// lost is sent again.
//
// A [Source] is a stream as one worker reads it, and opens a [Reader] per shard. A
// Reader polls its shard and hands out one decoded record per call, in the order of
// the sequence numbers, each once in the Reader's life. It never skips what it
// cannot decode: that travels as rejects in the [Batch]. While its owner works on
// one answer the next is fetched; the answers of all Readers together stay within
// ReaderConfig.ReadBytes. Readers of several groups share a shard's rates by giving
// way when they are throttled. A stream that was deleted and created anew under its
// name is never read as the old one: [ErrRecreated].
//
// Files, in the way of a record: source.go, flight.go (one call), boarding.go and
// room.go (its memory), parse.go (its answer), page.go (the records until they are
// handed out), reader_call.go, reader_pace.go (when to call), reader.go;
// identity.go tells streams apart.
//
// A [Subscriber] does the same by enhanced fan-out: the service pushes, over a
// subscription of five minutes at most, and what it does not push is polled. A
// [FanOut] is the registered consumer that its Subscribers share.
//
// All retry by themselves whatever a retry can mend, with the SDK's own retries
// off, so that one layer decides. What no retry mends is marked [Permanent].
// Limits of the service named in this package are those of
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
// and of the API reference of the call in question.
package stream
