package lake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// trailerBytes end every Parquet file: the footer's length and "PAR1".
const trailerBytes = 8

// footerBytes is the length of footer and trailer that a file ends with.
func footerBytes(tail []byte) (int64, error) {
	if len(tail) < trailerBytes || string(tail[len(tail)-4:]) != "PAR1" {
		return 0, errors.New("it does not end like a Parquet file")
	}
	return int64(binary.LittleEndian.Uint32(tail[len(tail)-trailerBytes:])) + trailerBytes, nil
}

// checkFooter compares the footer of a file of size bytes, of which tail are the
// last, with what was written into it. The Parquet library has had faults that
// lost values and reported success; the counts in the footer tell.
func (l *layout) checkFooter(tail []byte, size int64, want tally) error {
	file, err := parquet.OpenFile(&tailReader{tail, size}, size,
		parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("read footer: %w", err)
	}
	var got tally
	for i, group := range file.Metadata().RowGroups {
		if len(group.Columns) != l.leaves {
			return fmt.Errorf("row group %d has %d columns, not %d", i, len(group.Columns), l.leaves)
		}
		held := func(leaf int) int64 { return group.Columns[leaf].MetaData.NumValues }
		for c, leaf := range l.leaf {
			if n := held(leaf); n != group.NumRows && l.table[c].Type != Map {
				return fmt.Errorf("row group %d, column %s holds %d values for %d rows", i, l.table[c].Name, n, group.NumRows)
			}
		}
		keys, values := held(l.entries), held(l.entries+1)
		if keys != values {
			return fmt.Errorf("row group %d holds %d keys and %d values of attributes", i, keys, values)
		}
		got.entries += keys
		got.rows += group.NumRows
	}
	if got.rows != file.NumRows() || got != want {
		return fmt.Errorf("it holds %d rows (%d in the sum) and %d attributes, not %d and %d",
			file.NumRows(), got.rows, got.entries, want.rows, want.entries)
	}
	return nil
}

// tailReader reads a file of which only the end is at hand.
type tailReader struct {
	tail []byte
	size int64
}

func (r *tailReader) ReadAt(p []byte, off int64) (int, error) {
	from := off - (r.size - int64(len(r.tail)))
	if from < 0 || from > int64(len(r.tail)) {
		return 0, fmt.Errorf("byte %d is not among the last %d", off, len(r.tail))
	}
	n := copy(p, r.tail[from:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
