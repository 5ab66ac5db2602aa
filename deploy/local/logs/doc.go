// Package logs is an embedded stand-in for Amazon CloudWatch Logs: the operations Tributary uses, with the service's own limits, over
// plain HTTP and a directory.
//
// What it promises:
//
//   - PutLogEvents enforces every documented limit. Events that are too old, too new or expired are told by their indices, the others
//     are stored; whatever else is wrong refuses the whole call. Nothing is deduplicated: a call made twice stores twice.
//   - An event is written to its stream's file before it is answered. It survives kill -9 of the process; what the kernel had not
//     yet written is lost in a power cut. A torn tail is cut off when the stream is next used. Groups, streams and retention survive both.
//   - Events are read in the order of their timestamps, whatever order they came in. They are seen Options.VisibilityDelay after they
//     were answered. A page may be empty although there is more: one call reads at most Options.ScanBytes.
//   - Memory is bounded by Options.InFlightBytes plus a sparse index: one entry of 32 bytes per 64 KiB of events, of the streams that
//     were used since the service was opened and of those whose group has a retention. A read copies the entries of its time range.
//   - Operations, parameters and filter patterns it does not support are refused by name. Nothing is ignored but what the
//     documentation says is: sequence tokens, and interleaved of FilterLogEvents.
//
// Where it differs from the service: what has expired is out of sight at once, and comes back when the retention is raised before its
// file is deleted (the service takes days over the deletion); stored bytes and the times of a stream's events are told at once; a KMS
// key is told again but neither looked up nor used. Of an event that is both too old and expired the documentation says nothing: it
// counts as too old. A page of GetLogEvents is in ascending order in both directions.
//
// Words: group, stream and event as the service uses them. A key is an event's place in the order of all events of a group: timestamp,
// arrival, stream, and the event's number in its stream. A boundary is the key of the first event behind a place between two events.
//
// The directory is made by the first group. It has a directory for each group and in it one for each stream; their names are the
// milliseconds in which they were made, for the service's names are longer than a file's may be.
//
// The rules follow the API reference (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/) as of the 2026 service model.
package logs
