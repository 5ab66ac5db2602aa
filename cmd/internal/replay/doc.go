// Package replay delivers the events of some time again, into another target of the
// same kind.
//
// Words: the time is that of arrival in the stream; from belongs to it, to does not.
// The seam parts it: what arrived before the seam comes from the lake, what arrived
// at it or later from the stream. The archive is what is known of replays, beside the
// rejects in S3.
//
// # Stream
//
// The stream's part is read by a consumer group of the replay's name, that of the
// group it repeats with a hash of group, times and target. It has tables of its own,
// so any number of processes share it and any of them goes on after all have died.
// It gets what was addressed to the group that it repeats. Its shards have a
// generation made of that hash, part of names and ids: whatever else lies in the
// target is neither met nor hidden.
//
// # Lake
//
// The lake's part is taken range by range. A range's rows become events again and
// records of format v1, in the order of its objects, and those go to the same kind of
// sink as records of a shard "lake-<shard>", numbered by the range's first record and
// eight digits more. Names and ids follow from that, so a range that is delivered
// twice, by a process that has died or by two of them, is there once where its
// destination knows names or ids. What a row does not tell cannot come back: times
// below a microsecond, and the spelling of a line that was no text of its own (an
// equal one comes).
//
// # Seam
//
// A row knows when its record arrived, to the millisecond that the stream tells. So
// the seam parts rows and records alike, none is on both sides. It is chosen once and
// kept in the archive. As long as the stream holds all of the time, for an hour to come,
// all comes from there. Else the seam lies as late as the lake is complete: the stream
// holds everything behind it, the lake everything before. The stream's part is read
// from half an hour before it, to know again what producers send twice; what is sent
// again later than that, across the seam, comes twice.
//
// # What is kept
//
//	_tributary/replays/<name>/plan.json                     before anything is delivered
//	_tributary/replays/<name>/lake/<shard>/<first>.json     a range is delivered
//	_tributary/replays/<name>/stream.json                   the stream's part is delivered
//	_tributary/replays/<name>/done.json                     all is; the tables go behind it
//
// Each is written once. Whoever goes on finds what is left in them.
package replay
