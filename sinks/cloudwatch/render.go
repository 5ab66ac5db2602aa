package cloudwatch

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"tributary/schema"
	"tributary/stream"
)

// noOrigin stands for a missing one.
var noOrigin schema.Origin

// changes is what rendering had to change of a line.
type changes uint8

const (
	mended changes = 1 << iota // bytes that are no UTF-8 became U+FFFD
	filled                     // nothing became a space
)

// message appends what an event is sent as: its line verbatim, or with metadata about
// it. The same event gives the same bytes in every read.
func (p *readyPlan) message(dst []byte, b *stream.Batch, e *schema.Event) ([]byte, changes) {
	from, changed := len(dst), changes(0)
	if p.metadata {
		dst = appendObject(dst, b, e)
	} else {
		dst = appendLine(dst, e)
	}
	if !utf8.Valid(dst[from:]) {
		dst = append(dst[:from], bytes.ToValidUTF8(dst[from:], []byte("\uFFFD"))...)
		changed |= mended
	}
	if len(dst) == from { // the service refuses empty messages
		dst = append(dst, ' ')
		changed |= filled
	}
	return dst, changed
}

// appendLine appends the line, behind the header of its part if a forwarder cut it.
func appendLine(dst []byte, e *schema.Event) []byte {
	if e.Part.Number > 0 {
		dst = appendHeader(dst, int(e.Part.Number), int(e.Part.Count), [8]byte(e.Part.Line[:8]))
	}
	return append(dst, e.Line...)
}

// appendObject appends a JSON object with one more member, or an object around any
// other line.
func appendObject(dst []byte, b *stream.Batch, e *schema.Event) []byte {
	if e.Part.Number == 0 && schema.WalkObject(e.Line, nil) == nil {
		end := bytes.LastIndexByte(e.Line, '}')
		inside := bytes.TrimRight(e.Line[:end], " \t\r\n")
		dst = append(dst, inside...)
		if inside[len(inside)-1] != '{' || len(bytes.TrimLeft(inside, " \t\r\n")) > 1 {
			dst = append(dst, ',')
		}
		dst = appendMetadata(dst, b, e)
		return append(dst, e.Line[end:]...)
	}
	dst = append(dst, `{"message":`...)
	dst = appendText(dst, appendLine(nil, e))
	dst = append(dst, ',')
	dst = appendMetadata(dst, b, e)
	return append(dst, '}')
}

func appendMetadata(dst []byte, b *stream.Batch, e *schema.Event) []byte {
	o := e.Origin
	if o == nil {
		o = &noOrigin
	}
	dst = append(dst, `"_tributary":{`...)
	for _, m := range [...]struct{ name, value string }{
		{"container_id", o.ContainerID}, {"container_name", o.ContainerName}, {"host", o.Host}, {"source", o.Source}, {"tag", o.Tag},
		{"shard", string(b.Shard)}, {"sequence", string(b.Sequence)},
	} {
		if m.value == "" {
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, m.name...)
		dst = append(dst, `":`...)
		dst = appendText(dst, m.value)
		dst = append(dst, ',')
	}
	dst = append(dst, `"index":`...)
	dst = strconv.AppendUint(dst, uint64(e.Index), 10)
	if e.Flags&schema.FlagIncomplete != 0 {
		dst = append(dst, `,"incomplete":true`...)
	}
	return append(dst, '}')
}

// appendText appends a JSON string. Bytes that are no UTF-8 stay: message mends them.
func appendText[T string | []byte](dst []byte, text T) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
