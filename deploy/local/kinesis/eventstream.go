package kinesis

import (
	"encoding/binary"
	"hash/crc32"

	"tributary/deploy/local/awsjson"
)

// An event stream is a row of messages in the framing application/vnd.amazon.eventstream: the lengths of the message and of its
// headers and their CRC-32 (the prelude), headers, payload, and the CRC-32 of all of it
// (https://smithy.io/2.0/aws/amazon-eventstream.html).
const (
	eventStreamType = "application/vnd.amazon.eventstream"
	preludeBytes    = 12
	stringHeader    = 7 // the type of a header whose value is a string
)

var (
	initialHeaders = headers(":message-type", "event", ":event-type", "initial-response", ":content-type", awsjson.ContentType)
	eventHeaders   = headers(":message-type", "event", ":event-type", "SubscribeToShardEvent", ":content-type", awsjson.ContentType)
)

func exceptionHeaders(code string) []byte {
	return headers(":message-type", "exception", ":exception-type", code, ":content-type", awsjson.ContentType)
}

// headers writes names and values in turn.
func headers(pairs ...string) (out []byte) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(append(out, byte(len(pairs[i]))), pairs[i]...)
		out = append(out, stringHeader)
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(pairs[i+1]))), pairs[i+1]...)
	}
	return out
}

// enclose gives what stands before and behind the payload, which is not copied.
func enclose(headers, payload []byte) (before, behind []byte) {
	before = make([]byte, 0, preludeBytes+len(headers))
	before = binary.BigEndian.AppendUint32(before, uint32(preludeBytes+len(headers)+len(payload)+crc32.Size))
	before = binary.BigEndian.AppendUint32(before, uint32(len(headers)))
	before = binary.BigEndian.AppendUint32(before, crc32.ChecksumIEEE(before))
	before = append(before, headers...)
	sum := crc32.Update(crc32.ChecksumIEEE(before), crc32.IEEETable, payload)
	return before, binary.BigEndian.AppendUint32(nil, sum)
}
