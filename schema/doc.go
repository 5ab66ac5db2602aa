// Package schema holds what the rest of Tributary speaks about: the event, the
// record format that carries events through Kinesis, and the rules that decide
// kind, service and time of a line.
//
// It does no I/O, starts no goroutine and imports nothing of the project.
//
// # Words
//
// A line is the bytes one container wrote. An Event is a line with its time,
// Origin and Kind. A record is one Kinesis record; a Batch is what it decodes to:
// events of one lane in the order of their offsets, or the events of another
// producer. A Reject is a piece of a record, or all of it, that no decoder
// understands.
//
// # Records
//
// Encoder writes format v1: a magic, a version and a zstd frame over the message
// of record.proto. Decoder reads three formats, told apart by their first bytes:
//
//	F5 54 52 42 (magic)   format v1
//	F3 89 9A C2           an aggregate of the Kinesis Producer Library, each of
//	                      its user records being JSON as below
//	{ (after white space) one JSON object, over several lines too, or one event
//	                      per line; a line that is no JSON is an event as well
//
// Every byte of a record comes back, in a line or in a Reject; only what is
// around lines (newlines, blank lines, keys of an aggregate) does not. A v1
// record is decoded or rejected as a whole, a KPL aggregate per user record.
// Nothing that a record says of itself is believed before memory is taken for it:
// decoding stays within MaxDecoded and MaxOrigins, whatever was forged.
//
// Decoding depends on nothing but the record and its arrival. Whoever replays a
// range gets the same events, indexes and sizes.
//
// # Compatibility
//
// Every record of v1 stays readable (see testdata). A later encoder may add
// fields, which this decoder skips, and name a dictionary or a kind, which it
// rejects: the record is then in the reject store until the reader is renewed.
//
// # Rules
//
// Rules are data; Compile makes a Classifier of them, which finds all fields it
// needs in one pass of WalkObject. Rules in JSON keep their meaning, since the
// plan of a range that is still to be replayed may hold those of last month.
package schema
