package kinesis

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// decodePutRecords reads a request. Nearly all bytes that reach the service are the Data of PutRecords, and encoding/json reads them
// several times over; the plain form in which clients write them is therefore read here. Whatever is not in that form, right or
// wrong, is left to encoding/json: it alone decides what is accepted and what the error says.
func decodePutRecords(body []byte) (putRecordsInput, error) {
	p := plainJSON{rest: body, arena: make([]byte, 0, base64.StdEncoding.DecodedLen(len(body)))}
	if in, ok := p.request(); ok {
		return in, nil
	}
	var in putRecordsInput
	err := decode(body, &in)
	return in, err
}

// plainJSON reads JSON without escapes. Its methods return false where the input is anything else.
type plainJSON struct {
	rest  []byte
	arena []byte // holds all decoded data; never grows, so that slices of it stay right
}

func (p *plainJSON) request() (in putRecordsInput, ok bool) {
	ok = p.object(func(key string) bool {
		switch {
		case key == "StreamName" && in.StreamName == "":
			return p.text(&in.StreamName)
		case key == "StreamARN" && in.StreamARN == "":
			return p.text(&in.StreamARN)
		case key == "Records" && in.Records == nil:
			return p.entries(&in.Records)
		}
		return false
	})
	p.space()
	return in, ok && len(p.rest) == 0
}

func (p *plainJSON) entries(out *[]putEntry) bool {
	if !p.take('[') {
		return false
	}
	*out = make([]putEntry, 0, 64)
	for {
		var e putEntry
		// A second value for the same key is left to encoding/json, which knows which one counts.
		ok := p.object(func(key string) bool {
			switch {
			case key == "Data" && e.Data == nil:
				return p.base64(&e.Data)
			case key == "PartitionKey" && e.PartitionKey == nil:
				e.PartitionKey = new(string)
				return p.text(e.PartitionKey)
			case key == "ExplicitHashKey" && e.ExplicitHashKey == nil:
				e.ExplicitHashKey = new(string)
				return p.text(e.ExplicitHashKey)
			}
			return false
		})
		if !ok {
			return false
		}
		*out = append(*out, e)
		if p.take(']') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

// object calls member with each key; member reads the value.
func (p *plainJSON) object(member func(key string) bool) bool {
	if !p.take('{') {
		return false
	}
	for {
		var key string
		if !p.text(&key) || !p.take(':') || !member(key) {
			return false
		}
		if p.take('}') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

func (p *plainJSON) space() { p.rest = bytes.TrimLeft(p.rest, " \t\r\n") }

func (p *plainJSON) take(c byte) bool {
	p.space()
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// quoted returns what stands between two quotes, whatever it is.
func (p *plainJSON) quoted() ([]byte, bool) {
	if !p.take('"') {
		return nil, false
	}
	end := bytes.IndexByte(p.rest, '"')
	if end < 0 {
		return nil, false
	}
	text := p.rest[:end]
	p.rest = p.rest[end+1:]
	return text, true
}

func (p *plainJSON) text(out *string) bool {
	text, ok := p.quoted()
	if !ok || !utf8.Valid(text) {
		return false
	}
	for _, c := range text {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	*out = string(text)
	return true
}

func (p *plainJSON) base64(out *[]byte) bool {
	text, ok := p.quoted()
	// Decode skips line ends, which may not stand in a JSON string as they are.
	if !ok || bytes.ContainsAny(text, "\r\n") {
		return false
	}
	room := p.arena[len(p.arena):cap(p.arena)]
	if base64.StdEncoding.DecodedLen(len(text)) > len(room) {
		return false
	}
	n, err := base64.StdEncoding.Decode(room, text)
	if err != nil {
		return false
	}
	*out = room[:n:n]
	p.arena = p.arena[:len(p.arena)+n]
	return true
}
