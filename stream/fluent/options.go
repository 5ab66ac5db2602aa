package fluent

// ackHead begins an ack: {"ack": <chunk>}.
const ackHead = "\x81\xa3ack"

// options are what the last element of a request asks for.
type options struct {
	chunk []byte // the id as a msgpack value, the way the client sent it; nil: no ack asked
	gzip  bool
}

// chunkText is the id without its msgpack head.
func (o options) chunkText() string {
	b, _ := text(o.chunk)
	return string(b)
}

// parseOptions reads nil or a map, of bytes that a scanner has accepted. Unknown
// options are skipped; "size" is advisory and not read.
func parseOptions(b []byte) (options, error) {
	var o options
	h, _ := readHead(b)
	if h.kind == kindNil {
		return o, nil
	}
	if h.kind != kindMap {
		return o, refuse(reasonMalformed, "the options are not a map")
	}
	b = b[h.size:]
	for range h.items / 2 {
		n, _ := valueEnd(b)
		key, _ := text(b[:n])
		b = b[n:]
		n, _ = valueEnd(b)
		if err := o.set(key, b[:n]); err != nil {
			return o, err
		}
		b = b[n:]
	}
	return o, nil
}

func (o *options) set(key, value []byte) error {
	h, body, _, _ := cut(value)
	if h.kind == kindNil {
		return nil
	}
	switch string(key) {
	case "chunk":
		id, ok := text(value)
		if !ok || len(id) > maxChunkBytes {
			return refuse(reasonMalformed, "the chunk is not a string of up to %d bytes", maxChunkBytes)
		}
		o.chunk = value
	case "compressed":
		name, _ := text(value)
		switch string(name) {
		case "gzip":
			o.gzip = true
		case "text": // Fluentd's word for none
		default:
			return refuse(reasonCompression, "compressed is %.20q: only gzip is supported", name)
		}
	case "fluent_signal":
		logs := h.kind == kindUint && unsigned(value[0], body) == 0 || h.kind == kindInt && integer(value[0], body) == 0
		if !logs {
			return refuse(reasonSignal, "metrics and traces are not supported, only logs")
		}
	}
	return nil
}
