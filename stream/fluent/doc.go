// Package fluent speaks the Forward protocol. Server takes events from Docker's
// fluentd log driver, Fluent Bit, Fluentd and the fluent-logger libraries, over
// TCP and unix sockets, and hands them to a Store. Client is the other side: it
// sends chunks of entries, and again until they are acked.
//
// Words: a request is one message of the protocol, in one of its modes; an entry
// is one [time, record] pair of a request; a record is the msgpack map of an
// event (not to be mixed up with a Kinesis record, which this package does not
// know); a chunk is the id by which a client asks for an ack.
//
// # Contract of the server
//
// Every event of a request reaches the Store, in order, with the record's bytes
// as they came. Docker's pieces of cut lines are events like all others. A
// request is acked after Store returned nil for it and never before; an ack
// repeats the client's chunk byte for byte. All requests that lie complete in a
// connection's buffer go to one Store call and are acked by one write. While
// Store blocks, nothing is read from that connection: that is the backpressure.
//
// # What is not as it should be
//
// Two rules, which lose nothing:
//
//   - Bytes that are not a well-formed request (not msgpack, not an array of the
//     right shape, too large, too deep, damaged gzip, a metrics or traces signal,
//     JSON, TLS where none is spoken) close the connection without an ack. It is counted by reason and
//     logged. Requests that stand complete before the fault are still stored and
//     acked. A client that asks for acks keeps what was not acked.
//   - An entry of a well-formed request that is not [time, map] becomes an event
//     whose record is {"malformed_entry": <the entry, unchanged>}, timed by its
//     arrival, and is counted. A time that is nil or zero means arrival, as in
//     Fluentd, and is not a fault.
//
// # Who may speak
//
// A tls:// address speaks TLS 1.2 or later, and may ask for client certificates. With
// a shared key a client has to prove that it knows it (HELO, PING, PONG), and has the
// server's proof, on all addresses but unix and loopback (or on all). Until it has, it
// costs no more than its TLS and 4 KiB. Keys, passwords and digests are never logged.
//
// # Contract of the client
//
// A chunk is done when its ack has come. Several are under way on one connection
// and are acked in any order. When the connection breaks, says something that is
// no ack of theirs, or is silent for too long, all that is not acked goes out again on
// a new one: in the order in which it was handed over, under the same ids. A
// server that remembers ids stores each once, and in that order too, even while
// its side of the old connection is still storing: whichever connection brings a
// chunk first has brought the chunks before it, or they were acked. The
// client holds at most MaxPendingBytes.
//
// # Memory of the server
//
// A connection owns a buffer of ReadBufferBytes once its client is greeted. What a
// larger, compressed or event-rich request takes beyond it is borrowed from a budget
// shared by all connections and given back after Store. TotalBufferBytes bounds the
// sum. A client that is silent with borrowed memory while others wait for some is cut
// off.
//
// Protocol: https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
// and -v1.5.
package fluent
