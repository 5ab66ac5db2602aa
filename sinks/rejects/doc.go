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
// arrival (RFC 3339, UTC), reason, data (base64 of the bytes as they came).
// Fields may be added; a changed meaning raises the version.
package rejects
