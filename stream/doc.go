// Package stream writes records to and reads records from Amazon Kinesis Data
// Streams.
//
// Words: a record has one sequence number and is never split; a range is a run
// of consecutive records of one shard, both ends included; publish means to
// store in the stream.
package stream
