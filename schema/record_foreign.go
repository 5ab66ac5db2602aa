package schema

import (
	"bytes"
	"time"
)

// foreignOrigin is the origin of all events of other producers: nothing is known.
var foreignOrigin = &Origin{}

// foreign collects what the record of another producer holds.
type foreign struct {
	arrival int64
	events  []Event
	rejects []Reject
	index   uint32
	size    int64
}

// decodeForeign decodes a copy of data by read, which reports false when it
// stopped because the bound was reached. Then the whole record is to be
// rejected: half of it as events and half as a reject could not be told apart
// from the whole by whoever replays the reject.
func decodeForeign(data []byte, arrival time.Time, read func(*foreign, []byte) bool) (Batch, []Reject, int64, string) {
	f := &foreign{arrival: arrival.UnixNano()}
	if len(data) > MaxDecoded || !read(f, bytes.Clone(data)) {
		return Batch{}, nil, 0, reasonTooLarge
	}
	return Batch{Events: f.events}, f.rejects, f.size, ""
}

func (f *foreign) event(line []byte) bool {
	e := Event{Time: f.arrival, Origin: foreignOrigin, Line: line[:len(line):len(line)], Index: f.index}
	f.index++
	if f.size += int64(EventSize(&e)); f.size > MaxDecoded {
		return false
	}
	f.events = append(f.events, e)
	return true
}

func (f *foreign) reject(reason string, data []byte) bool {
	r := Reject{Index: f.index, Reason: reason, Data: data[:len(data):len(data)]}
	f.index++
	if f.size += int64(len(data) + rejectCharge); f.size > MaxDecoded {
		return false
	}
	f.rejects = append(f.rejects, r)
	return true
}

// beginsObject reports whether p is taken as JSON: its first byte that is not
// white space is an opening brace.
func beginsObject(p []byte) bool {
	i := skipSpace(p, 0)
	return i < len(p) && p[i] == '{'
}

// lines reads a payload that begins with an object: one event per line, or one
// event altogether when the object is spread over several lines.
func (f *foreign) lines(p []byte) bool {
	if object, ok := spreadObject(p); ok {
		return f.event(object)
	}
	for len(p) > 0 {
		line := p
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, p = p[:i], p[i+1:]
		} else {
			p = nil
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if skipSpace(line, 0) < len(line) && !f.event(line) {
			return false
		}
	}
	return true
}

// spreadObject returns p without surrounding white space when it is one JSON
// object of several lines.
func spreadObject(p []byte) ([]byte, bool) {
	p = bytes.Trim(p, " \t\r\n")
	first := bytes.IndexByte(p, '\n')
	// A first line that is an object of its own decides for JSON lines without
	// a look at the rest.
	if first < 0 || WalkObject(p[:first], nil) == nil || WalkObject(p, nil) != nil {
		return nil, false
	}
	return p, true
}
