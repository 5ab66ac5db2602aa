package dynamodb

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"tributary/deploy/local/disk"
)

// A journal is a magic line, then frames: length and CRC-32C of the payload,
// each four bytes little endian, then the payload, one entry as JSON. The first
// entry is the table's definition; the others are writes in their order.
const (
	journalMagic = "tributary dynamodb journal 1\n"
	frameHeader  = 8
	// maxFrame is above what an item of 400 KB takes when every byte of it is
	// escaped in JSON.
	maxFrame = 4 << 20
	// minCompaction keeps small journals from being rewritten over and over.
	minCompaction = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is one payload: exactly one field is set.
type entry struct {
	Table  *definition `json:"table,omitempty"`
	Put    item        `json:"put,omitempty"`
	Delete *string     `json:"delete,omitempty"`
}

// errCorrupt is damage that a crash while appending cannot have left.
var errCorrupt = errors.New("journal is damaged before its end")

// errTorn is what a crash while appending leaves; readJournal swallows it.
var errTorn = errors.New("journal ends within an entry")

// readJournal calls each for every whole entry and returns where the whole
// entries end. A torn or zeroed tail is not an error: it was never acknowledged.
func readJournal(r io.Reader, size int64, each func(entry) error) (end int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	magic := make([]byte, len(journalMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != journalMagic {
		return 0, fmt.Errorf("read journal: not a journal of version 1: starts with %q", magic)
	}
	end = int64(len(magic))
	for end < size {
		payload, err := readFrame(in, size-end)
		if errors.Is(err, errTorn) {
			return end, nil
		}
		if err != nil {
			return end, fmt.Errorf("read journal at offset %d: %w", end, err)
		}
		var e entry
		if err := json.Unmarshal(payload, &e); err != nil {
			return end, fmt.Errorf("read journal at offset %d: %w", end, err)
		}
		if err := each(e); err != nil {
			return end, fmt.Errorf("read journal at offset %d: %w", end, err)
		}
		end += frameHeader + int64(len(payload))
	}
	return end, nil
}

// readFrame reads one payload; left is the number of bytes to the end of the file.
func readFrame(in *bufio.Reader, left int64) ([]byte, error) {
	var header [frameHeader]byte
	if left < frameHeader {
		return nil, errTorn
	}
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	length, sum := int64(binary.LittleEndian.Uint32(header[:])), binary.LittleEndian.Uint32(header[4:])
	left -= frameHeader
	switch {
	case length == 0:
		// A power cut may leave a grown file whose last blocks were never written.
		return nil, onlyZeros(in)
	case length > maxFrame:
		return nil, errCorrupt
	case length > left:
		return nil, errTorn
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(in, payload); err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	if crc32.Checksum(payload, castagnoli) == sum {
		return payload, nil
	}
	if length == left {
		return nil, errTorn
	}
	return nil, errCorrupt
}

func onlyZeros(in *bufio.Reader) error {
	for {
		b, err := in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return errTorn
		case err != nil:
			return fmt.Errorf("read frame: %w", err)
		case b != 0:
			return errCorrupt
		}
	}
}

// appendFrame adds e's frame to buf.
func appendFrame(buf []byte, e entry) ([]byte, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode journal entry: %w", err)
	}
	if len(payload) > maxFrame {
		return nil, fmt.Errorf("encode journal entry: %d bytes, allowed are %d", len(payload), maxFrame)
	}
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(payload)))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(payload, castagnoli))
	return append(buf, payload...), nil
}

// journal is a table's file, open for appending. Its owner serialises calls.
type journal struct {
	path    string
	file    *os.File
	size    int64 // end of the last whole entry
	compact int64 // rewrite when size passes this
	broken  error // set when the file could not be brought back to size
}

// openJournal replays a journal, cuts a torn tail off and opens it for appending.
func openJournal(path string, each func(entry) error) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), file.Close())
	}
	end, err := readJournal(file, info.Size(), each)
	if err == nil && end < info.Size() {
		err = file.Truncate(end)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), file.Close())
	}
	return &journal{path: path, file: file, size: end, compact: max(minCompaction, 4*end)}, nil
}

// writeJournal writes a whole new journal in place of the one at path, or where
// none is: a crash leaves the old one or the new one. If it returns a journal
// that one is in place, even when the error says that its name is not synced.
func writeJournal(path string, entries func(yield func(entry) bool)) (*journal, error) {
	temp := path + ".tmp"
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write journal: %w", err)
	}
	size, err := writeEntries(file, entries)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write journal: %w", err), file.Close())
	}
	return &journal{path: path, file: file, size: size, compact: max(minCompaction, 4*size)}, disk.SyncDir(filepath.Dir(path))
}

func writeEntries(file *os.File, entries func(yield func(entry) bool)) (int64, error) {
	out := bufio.NewWriterSize(file, 64<<10)
	size, err := out.WriteString(journalMagic)
	total := int64(size)
	for e := range entries {
		var frame []byte
		if frame, err = appendFrame(nil, e); err != nil {
			return 0, err
		}
		if _, err = out.Write(frame); err != nil {
			break
		}
		total += int64(len(frame))
	}
	return total, errors.Join(err, out.Flush())
}

// append hands e to the operating system. After an error the entry is not in
// the journal: half an entry in the middle would make everything behind it
// unreadable, so the file is cut back, and if that fails too the journal takes
// no more writes until it is opened anew.
func (j *journal) append(e entry) error {
	if j.broken != nil {
		return j.broken
	}
	frame, err := appendFrame(nil, e)
	if err != nil {
		return err
	}
	if _, err := j.file.WriteAt(frame, j.size); err != nil {
		if cut := j.file.Truncate(j.size); cut != nil {
			j.broken = fmt.Errorf("journal %s holds half an entry: %w", j.path, cut)
		}
		return fmt.Errorf("append to journal: %w", err)
	}
	j.size += int64(len(frame))
	return nil
}
