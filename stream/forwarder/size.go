package forwarder

const (
	// SmallRecordBytes is what one record may have on every stream, partition key included.
	SmallRecordBytes = 1 << 20
	// LargeRecordsBytes bounds the records above SmallRecordBytes that are on their way at
	// a time, over all lanes: one of the largest that Kinesis takes, or some of fewer bytes.
	// A line that finds no room goes in parts; it never waits for another lane's shard.
	LargeRecordsBytes = 10 << 20
)

// fits reports whether the stream takes the record. One above SmallRecordBytes holds its
// room until freed.
//
// In a lane of an earlier life none does: of a line that was being cut there, parts may
// be stored, and whole it would come beside them. Cut again it is the same parts, and
// behind the whole line they count as seen.
func (l *lane) fits(record []byte) bool {
	n := l.recordBytes(record)
	return n <= SmallRecordBytes || !l.past && n <= l.out.MaxRecordBytes() && l.encoders.room.TryAcquire(n)
}

func (l *lane) free(record []byte) {
	if n := l.recordBytes(record); n > SmallRecordBytes {
		l.encoders.room.Release(n)
	}
}

func (l *lane) recordBytes(record []byte) int64 { return int64(len(record) + len(l.key)) }
