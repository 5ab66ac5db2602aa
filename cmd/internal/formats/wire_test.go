package formats

import (
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

const recordHeader = "\xF5TRB\x01"

// message is what is inside a record's frame.
func message(t *testing.T, record []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(nil)
	must(t, err)
	defer z.Close()
	plain, err := z.DecodeAll(record[len(recordHeader):], nil)
	must(t, err)
	return plain
}

// frame makes a record of a message.
func frame(t *testing.T, message []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(1))
	must(t, err)
	defer z.Close()
	return z.EncodeAll(message, []byte(recordHeader))
}

// withoutKind leaves the column of kinds out of a message.
func withoutKind(t *testing.T, message []byte) (out []byte) {
	t.Helper()
	for len(message) > 0 {
		number, _, n := protowire.ConsumeField(message)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		if number != 7 {
			out = append(out, message[:n]...)
		}
		message = message[n:]
	}
	return out
}

// withDictionary makes a record's frame name dictionary 7 (RFC 8878, 3.1.1.1).
func withDictionary(record []byte) []byte {
	at := len(recordHeader) + 4
	out := append([]byte{}, record[:at+1]...)
	out[at] |= 1 // a dictionary id of one byte follows
	return append(append(out, 7), record[at+1:]...)
}
