package schema

import (
	"bytes"
	"crypto/md5"

	"google.golang.org/protobuf/encoding/protowire"
)

// An aggregate of the Kinesis Producer Library is its magic, a protobuf
// AggregatedRecord and the MD5 of that message (aggregation-format.md of
// awslabs/amazon-kinesis-producer). The hash keys inside are not compared with
// the shard's range, as the Java client does: after a split that would drop
// records which nobody sends again.
const kplMagic = "\xF3\x89\x9A\xC2"

// Field numbers of AggregatedRecord and its Record.
const (
	kplPartitionKeys = 1
	kplHashKeys      = 2
	kplRecords       = 3

	kplPartitionKeyIndex = 1
	kplHashKeyIndex      = 2
	kplData              = 3
)

// isAggregate asks for magic and checksum: the magic alone may begin anything.
func isAggregate(data []byte) bool {
	if len(data) <= len(kplMagic)+md5.Size || !bytes.HasPrefix(data, []byte(kplMagic)) {
		return false
	}
	end := len(data) - md5.Size
	sum := md5.Sum(data[len(kplMagic):end])
	return bytes.Equal(sum[:], data[end:])
}

// aggregate reads each user record as if it were a record of its own. A bad one
// is rejected and the rest goes on.
func (f *foreign) aggregate(data []byte) bool {
	message := data[len(kplMagic) : len(data)-md5.Size]
	partitionKeys, hashKeys := uint64(0), uint64(0)
	eachField(message, func(fd field) bool {
		switch fd.number {
		case kplPartitionKeys:
			partitionKeys++
		case kplHashKeys:
			hashKeys++
		}
		return true
	})
	done, within := 0, true
	whole := eachField(message, func(fd field) bool {
		if fd.number == kplRecords {
			if fd.typ != protowire.BytesType {
				return false
			}
			within = f.userRecord(fd.bytes, partitionKeys, hashKeys)
		}
		done = fd.end
		return within
	})
	if !whole && within {
		return f.reject(reasonKPL, message[done:])
	}
	return within
}

func (f *foreign) userRecord(encoded []byte, partitionKeys, hashKeys uint64) bool {
	var data []byte
	hasKey := false
	ok := eachField(encoded, func(fd field) bool {
		switch fd.number {
		case kplPartitionKeyIndex:
			hasKey = true
			return fd.typ == protowire.VarintType && fd.value < partitionKeys
		case kplHashKeyIndex:
			return fd.typ == protowire.VarintType && fd.value < hashKeys
		case kplData:
			data = fd.bytes
			return fd.typ == protowire.BytesType
		}
		return true
	})
	switch {
	case !ok || !hasKey || data == nil:
		return f.reject(reasonKPLRecord, encoded)
	case bytes.HasPrefix(data, []byte(magic)):
		return f.reject(reasonNestedV1, data)
	case isAggregate(data):
		return f.reject(reasonNestedKPL, data)
	case !beginsObject(data):
		return f.reject(reasonFormat, data)
	}
	return f.lines(data)
}
