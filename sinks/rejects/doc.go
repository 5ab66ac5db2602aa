// Package rejects keeps in S3 what can never be delivered: input that no decoder
// understands and events that a destination refuses for good.
//
// One Put becomes one or more objects of JSON lines:
//
//	rejects/<group>/dt=<arrival's date>/<shard>-<first sequence>-<hash>.jsonl
//
// after a reset of the shard <shard>-g<generation>-<first sequence>. The hash is
// of the content. So the same items of a range always meet the same name and are
// stored once, while two parties that both reject something of one range, the
// engine and its sink, do not meet.
//
// # Format 1
//
// Each line is an object: version (1), shard, generation, sequence, index,
// arrival (RFC 3339, UTC), reason, to (only of what the group's destination refused:
// the group), data (base64 of the bytes as they came).
// Fields may be added; a changed meaning raises the version.
//
// # Replays
//
// A Replayer delivers rejects again, through the stream and hence to all groups of
// it. It leaves two manifests of each, also of format 1, both created only if they
// are not there:
//
//	rejects/_replays/<stream>/<shard>/<sequence, 64 digits>-<index, 10 digits>.begun.json
//	rejects/_replays/<stream>/<shard>/<sequence, 64 digits>-<index, 10 digits>.done.json
//
// Neither group nor generation is a part of these names: what two groups rejected at
// one place in the stream is one reject, and is delivered again once. An event that
// one group's destination refused (to, in its line) is that group's alone: its records
// are addressed to it, the others pass over them, and its manifests lie in a folder
// to=<group> of the stream's.
//
// Before the first manifest nothing has happened. Between the two the record may be
// in the stream or not; whoever comes next puts the very same bytes, which the first
// manifest holds, and groups drop what they have by epoch, lane and offset, as they
// do with a forwarder's. Behind the second nothing happens any more.
package rejects
