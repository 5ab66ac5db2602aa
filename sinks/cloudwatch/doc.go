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
// there keeps its class, key and retention. A process that dies between making a group
// and setting its retention leaves one that keeps its events for ever.
//
// Events from a level on also go to the group of that name with /errors behind it.
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
// reports those that failed; called again it sends only what was not accepted. The
// service keeps what is sent twice: an answer that was lost doubles its batch.
//
// What the service refuses for its age, what it calls invalid, and what a parked log
// stream should have taken, is kept as rejects before Flush returns nil: each event as
// a record of its own, with its origin, to be replayed.
//
// A log stream is parked when it has failed for Config.ParkAfter and the failure is its
// own: the service answers and says no, or others are accepted meanwhile. When the
// service is down, or the credentials are no good, nothing is parked. A parked log stream is tried once by each flush.
//
// # Doubled lines
//
// A group without two phases flushes far more often than it checkpoints, so a worker
// that takes a shard over does not know what was delivered beyond the checkpoint. A
// sink that is told so (Recall, Inherit) looks into each log stream that it is about to
// write, over the span of its events' times, and leaves out what is there:
//
//	found  how often a message with its time is in the log stream
//	seen   how often it has come up to now: recalled, left out or sent
//
// An event is left out if found > seen, that is, if the log stream holds more of its
// like than have come before it; in either case it is then one of the seen.
//
// This never loses a line. Let the events of one message and time be numbered in the
// order of the shard, those before the checkpoint first. The i-th is left out only
// where the log stream was read to hold i of them or more, and one that is sent adds
// one; so behind the i-th there are i. Everything that can go wrong adds to the copies,
// or to seen, or takes from found: an answer that was lost, a put that comes through
// late, an event that is not visible yet, a recalled event that rules or the service
// kept out, a look that ended early. Each can double a line and none can lose one. What
// would is an event missing from seen. So nothing is left out any more once more would
// have to be remembered than ReadBack.Bytes; and an event whose twin may have come
// before the first recalled record is sent: one whose time lies less than a second
// behind the first arrival that was shown. What is taken for granted is that no line
// carries a time that is more than a second ahead of its arrival and has a twin, equal
// to the letter and the millisecond, that arrives more than ten seconds later and has
// not been delivered.
//
// The doubt about a log stream ends when a look finds nothing, for a shard is delivered
// in its order; not in the first seconds, though, in which what is there may not be
// visible. It ends for all when a record was flushed that arrived after the takeover.
// Past the budget of calls and time, and where reading is not allowed or the group's
// class does not have it, lines are sent twice.
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
// all of it has to be mended. While in doubt a sink remembers ReadBack.Bytes, and of the
// flush at hand 72 bytes for each message beyond that.
package cloudwatch
