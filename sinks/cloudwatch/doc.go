// Package cloudwatch sends events to CloudWatch Logs, at least once.
//
// Words: a group and a log stream are the service's; a message is what one log event
// of the service holds: a line, or a part of a long one. A refused event goes to the
// rejects; a parked log stream is one that failed for so long that its events do.
//
// # Names
//
// The log group is made of the event's service and kind by a template, the log stream
// is the shard: its lease holder is the only writer, so that workers never share one.
// Bytes of a service that a name cannot have become #XX, a name too long ends in a
// hash. Groups and log streams are made when a put finds them missing; a group that is
// there keeps its class, key and retention.
//
// # Messages
//
// A message is the line's bytes. Only what the service would refuse or spoil is
// changed, and counted: bytes that are no UTF-8 become U+FFFD, an empty line a space.
// A line longer than a message is sent in parts,
//
//	[part 2/3 5f0c27d0b1a4e693] …
//
// cut between characters, all with one id, which is the same in every read. What is
// left without these headers, put together, is the line. A line that the forwarder cut
// has such a header of the forwarder's own id and numbers.
//
// # Contract
//
// A log stream gets its events in the order of their times, and of the shard within a
// millisecond, flush by flush. A flush sends to every log stream that it can, then
// reports those that failed; called again it sends only what was not accepted. There
// is no server that removes what was sent twice: an answer that was lost, or a process
// that died before its checkpoint, doubles lines.
//
// What the service refuses for its age, what it calls invalid, and what a parked log
// stream should have taken, is kept as rejects before Flush returns nil: each event as
// a record of its own, with its origin, to be replayed.
//
// A log stream is parked when it has failed for Config.ParkAfter and the failure is its
// own: the service answers and says no, or others are accepted meanwhile. When the
// service is down nothing is parked. A parked log stream is tried once by each flush.
//
// # Versions
//
// One format number counts names, messages and plan together. Whoever raises it goes
// on reading plans of the lower ones.
//
// # Memory
//
// A sink keeps the lines as they were decoded, which the engine bounds by Size. All
// shards together have Config.RenderBytes of batches in hand; a line longer than a
// message is rendered as a whole beside that, 8 MiB at most, or three times that when
// all of it has to be mended.
package cloudwatch
