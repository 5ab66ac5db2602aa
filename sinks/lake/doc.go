// Package lake writes events to S3 as Parquet, each event once.
//
// Words: a range is a run of records of one shard; a partition is what of a
// range falls into one kind and hour; an object is one partition's file; the
// range manifest lists a range's objects and ends its flush.
//
// # Contract
//
// Flush is idempotent in (range, plan). The plan is text that holds everything
// that decides names and rows; a replay by another process, with other settings
// for memory, writes the same names and rows. Names derive from the range:
//
//	<prefix>/kind=<kind>/dt=<YYYY-MM-DD>/hour=<HH>/<shard>-<first sequence>.parquet
//	<prefix>/_ranges/<shard>/<first sequence, 64 digits>.json
//
// After a reset of the shard both end in ".g<generation>" before the extension.
// Every object is created with If-None-Match: *, so nothing is ever overwritten.
// An answer of 412 means that somebody was here before, most often this very
// flush with its answer lost: the object's metadata and footer are compared, and
// the same range with the same number of rows counts as done. Anything else is a
// permanent error that names the object. A range marked truncated leaves alone
// what is there.
//
// An object is not trusted until its footer, read back from S3, says that each
// column holds a value for each row. The manifest comes after the last object,
// for empty ranges too: a range with a manifest is complete.
//
// # Rows
//
// Partitions go by event time in UTC, or by arrival when both are farther apart
// than the plan's window. Rows are sorted by service, time, sequence number and
// index. Each kind has a table of its own, see Tables: columns for what most lines
// have, and a map of everything else, last. The row tells the line: package
// schema/columns says how, and what stands in line_bytes where it cannot. Text of
// metadata that is not UTF-8 gets U+FFFD for what is wrong.
//
// # Versions
//
// One format number counts tables, names, manifests and plan together. Format 1 had
// the line in one column; a range that was pending before an upgrade is delivered
// in it afterwards. Whoever raises the number goes on reading plans of the lower
// ones. Fields may be added to a manifest.
//
// # Memory
//
// A sink keeps records as they came, compressed, and where each of their rows
// belongs; the engine bounds that by Size. A flush decodes records again, two
// thirds of Config.EncodeBytes at a time, and encodes one partition at a time; all
// sinks together share EncodeBytes.
package lake
