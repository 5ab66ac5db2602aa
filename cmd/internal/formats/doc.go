// Package formats holds bytes that released versions wrote and the proof that
// this one reads them. It is made of tests only.
//
// A version directory, testdata/v<n>, is what one version left behind:
//
//	records/     records of the stream, and beside each what it decodes to
//	spool.tgz    a forwarder's spool as kill -9 left it, and published.json: the
//	             events that a forwarder started over it publishes
//	data.tgz     the data directory of "tributary local": a stream with a split
//	             shard, lease and state table, a lake with rejects, its worker
//	             dead in the middle of a flush
//	tables.json  the items in those tables; leases.json: the leases in words
//	lake.json    the objects in that lake, with their metadata and rows
//	resumed.json what a group started over it adds to the lake; resumed_all.json:
//	             the same when the pending range's objects are not there
//	vmware.json  a lease table as vmware-go-kcl-v2 leaves it, and taken.json: the
//	             rows of a group that takes it over
//	shape.txt    names, fields and magics of everything that is written
//
// # Contract
//
// Every test walks all version directories: what was written once is read for
// ever. A version directory is frozen: it is made by
//
//	go test ./cmd/internal/formats -run TestFreeze -freeze v2
//
// which refuses a directory that is there. TestTheShapeIsFrozen fails when
// today's writers produce something that the newest directory does not describe.
// What older versions skip or leave alone (a field of a record, a manifest or a
// reject, an attribute or item of the tables) then needs a new directory only.
// Everything else needs a new version number of its format too, so that older
// versions refuse it, and the old one is still read.
package formats
