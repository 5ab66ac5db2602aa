// Package forwarder is the pipeline of one instance: Forward server → spool →
// rejoining → classification and rules → lanes → Kinesis.
//
// The way of a line. The server hands requests to intake, which gives each entry
// its lane, appends it to the spool, and returns when it is durable: that is the
// ack. The pump reads the spool in order, rejoins the pieces of cut lines,
// classifies, edits by rules, and puts events on their lanes. A lane packs events
// into records and publishes one record at a time. The tracker learns what is
// stored and moves the spool's cursor.
//
// Words. A piece is one entry of a cut line. A line is open from its first piece
// until the piece or the close marker that completes it. A ghost is a line that
// was delivered before a restart but whose later pieces are read again. A reject is an
// event that the stream refuses for good and that was set aside; see stream/refused.
//
// Two properties carry everything else:
//
//   - Events leave a lane in the order of their offsets, and an event's offset is
//     that of the entry that completed it. Consumers drop what is at or below the
//     highest offset they have seen, so an event emitted late under an old offset
//     would be lost.
//   - Reading again decides as the first reading did. Everything that decides
//     (pieces, close markers, caps) comes from the spool's order alone; only the
//     decision to append a close marker comes from a clock, and the marker
//     records it. Rules are from outside: where they change between two readings, a
//     line delivered before the change stays as it was, and of one that was being
//     delivered in parts the later parts are those of the line by the new rules.
package forwarder
