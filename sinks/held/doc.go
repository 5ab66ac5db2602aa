// Package held keeps records for a sink until their events are durable.
//
// A sink holds records as they came, compressed if a forwarder of ours sent them,
// and of each event a Row: where its line lies and whom it belongs to. A flush
// deals the rows out in pieces and loads the lines of one piece at a time, so that
// of what it writes only a part is ever in the clear. A record with rows in several
// pieces is decoded once for each of them. A Span is the part of it that sinks share
// which hold something else: what came since the last flush, and what range covers it.
package held
