package stream

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// minRecordText is less than any record takes in an answer: the names of its
// members alone are longer.
const minRecordText = 64

// readWhole reads a body of a known size into one buffer of that size; one of an
// unknown size (-1) may have limit bytes.
func readWhole(r io.Reader, size, limit int64) ([]byte, error) {
	if size >= 0 {
		body := make([]byte, size)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("the answer has more than %d bytes", limit)
	}
	return body, err
}

// parseAnswer reads the JSON of a GetRecords answer. The data of the records is
// decoded in place: it lies in body, which belongs to out from now on. Partition
// keys, the encryption and all of a child but its id are left out: nobody here asks
// for them.
func parseAnswer(body []byte, out *kinesis.GetRecordsOutput) error {
	s := scanner{text: body}
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "Records":
			return s.array(func() error { return s.record(out) })
		case "NextShardIterator":
			return s.optionalString(&out.NextShardIterator)
		case "MillisBehindLatest":
			number, err := s.number()
			if err != nil || number == nil {
				return err
			}
			n, err := strconv.ParseInt(string(number), 10, 64)
			out.MillisBehindLatest = &n
			return err
		case "ChildShards":
			return s.array(func() error { return s.child(&out.ChildShards) })
		}
		_, err := s.value()
		return err
	})
	if err != nil {
		return fmt.Errorf("at byte %d: %w", s.at, err)
	}
	if s.space(); s.at != len(s.text) {
		return fmt.Errorf("at byte %d: something behind the answer", s.at)
	}
	return nil
}

// record reads one record.
func (s *scanner) record(out *kinesis.GetRecordsOutput) error {
	var r types.Record
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "SequenceNumber":
			return s.optionalString(&r.SequenceNumber)
		case "Data":
			data, err := s.data()
			r.Data = data
			return err
		case "ApproximateArrivalTimestamp":
			number, err := s.number()
			if err != nil || number == nil {
				return err
			}
			arrival, err := parseArrival(number)
			r.ApproximateArrivalTimestamp = &arrival
			return err
		}
		_, err := s.value()
		return err
	})
	if err != nil {
		return err
	}
	if len(out.Records) == maxReadRecords {
		return errors.New("more records than were asked for")
	}
	if out.Records == nil {
		// Most answers are of records of one size.
		out.Records = make([]types.Record, 0, min(len(s.text)/max(s.at, 1)+1, maxReadRecords))
	}
	out.Records = append(out.Records, r)
	return nil
}

// child reads one of the shards that follow a closed one.
func (s *scanner) child(into *[]types.ChildShard) error {
	var c types.ChildShard
	err := s.object(func(name []byte) error {
		if string(name) == "ShardId" {
			return s.optionalString(&c.ShardId)
		}
		_, err := s.value()
		return err
	})
	*into = append(*into, c)
	return err
}

// parseArrival reads seconds since the epoch with the SDK's rounding, without its
// detour over big.Float: sinks name what they write by this time, and it must be the
// same in every version and on every processor. So a time that nanoseconds in an int64
// do not reach (the year 2262) is an error: the SDK's overflows there.
func parseArrival(number []byte) (time.Time, error) {
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil {
		return time.Time{}, err
	}
	ms := seconds * 1000
	if math.Abs(ms) >= math.MaxInt64/1e6 {
		return time.Time{}, fmt.Errorf("a record arrived at %s seconds, which is no time", number)
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}

// scanner reads JSON from a buffer it may write into.
type scanner struct {
	text  []byte
	at    int
	depth int
}

var (
	errSyntax = errors.New("not the JSON that was expected")
	null      = []byte("null")
)

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// take passes over c and reports whether it was there.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// isNull passes over a null.
func (s *scanner) isNull() bool {
	s.space()
	if !bytes.HasPrefix(s.text[s.at:], null) {
		return false
	}
	s.at += len(null)
	return true
}

// object calls member behind each name, to read the value. A null is an object
// without members.
func (s *scanner) object(member func(name []byte) error) error {
	if s.isNull() {
		return nil
	}
	if !s.take('{') {
		return errSyntax
	}
	if s.take('}') {
		return nil
	}
	for {
		name, err := s.string()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return errSyntax
		}
		if err := member(name); err != nil {
			return err
		}
		switch {
		case s.take(','):
		case s.take('}'):
			return nil
		default:
			return errSyntax
		}
	}
}

// array calls element for each of its elements, to read it.
func (s *scanner) array(element func() error) error {
	if s.isNull() {
		return nil
	}
	if !s.take('[') {
		return errSyntax
	}
	if s.take(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch {
		case s.take(','):
		case s.take(']'):
			return nil
		default:
			return errSyntax
		}
	}
}

// raw is the text between two quotation marks, escapes and all.
func (s *scanner) raw() (text []byte, escaped bool, err error) {
	if !s.take('"') {
		return nil, false, errSyntax
	}
	for from := s.at; ; {
		end := bytes.IndexByte(s.text[s.at:], '"')
		if end < 0 {
			return nil, false, errSyntax
		}
		s.at += end + 1
		text := s.text[from : s.at-1]
		back := len(text) - len(bytes.TrimRight(text, `\`))
		if back%2 == 0 {
			return text, bytes.IndexByte(text, '\\') >= 0, nil
		}
	}
}

func (s *scanner) string() ([]byte, error) {
	text, escaped, err := s.raw()
	if err != nil || !escaped {
		return text, err
	}
	var plain string
	if err := json.Unmarshal(append(append([]byte{'"'}, text...), '"'), &plain); err != nil {
		return nil, fmt.Errorf("bad string: %w", err)
	}
	return []byte(plain), nil
}

func (s *scanner) optionalString(into **string) error {
	if s.isNull() {
		return nil
	}
	text, err := s.string()
	*into = aws.String(string(text))
	return err
}

// data decodes base64 in place: three bytes for four, so that what is written
// never passes what is still to be read. The pieces go over a small buffer, because
// the decoder makes no promise about overlapping ones.
func (s *scanner) data() ([]byte, error) {
	if s.isNull() {
		return nil, nil
	}
	text, err := s.string()
	if err != nil {
		return nil, err
	}
	const piece = 4 << 10 // a multiple of 4
	var plain [piece / 4 * 3]byte
	data := text[:0]
	for len(text) > 0 {
		next := text[:min(piece, len(text))]
		text = text[len(next):]
		n, err := base64.StdEncoding.Decode(plain[:], next)
		if err != nil {
			return nil, fmt.Errorf("bad data: %w", err)
		}
		if n < len(next)/4*3 && len(text) > 0 {
			return nil, errors.New("bad data: padding in the middle")
		}
		data = append(data, plain[:n]...)
	}
	return data[:len(data):len(data)], nil
}

// number is the text of a number, nil for a null.
func (s *scanner) number() ([]byte, error) {
	if s.isNull() {
		return nil, nil
	}
	s.space()
	from := s.at
	for s.at < len(s.text) && bytes.IndexByte([]byte("+-.0123456789eE"), s.text[s.at]) >= 0 {
		s.at++
	}
	if s.at == from {
		return nil, errSyntax
	}
	return s.text[from:s.at], nil
}

// maxDepth bounds nesting in values that nobody reads.
const maxDepth = 32

// value passes over any value and returns its text.
func (s *scanner) value() (text []byte, err error) {
	s.space()
	from := s.at
	if s.depth++; s.depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	defer func() { s.depth-- }()
	if s.at == len(s.text) {
		return nil, errSyntax
	}
	switch s.text[s.at] {
	case '"':
		_, _, err = s.raw()
	case '{':
		err = s.object(func([]byte) error { _, err := s.value(); return err })
	case '[':
		err = s.array(func() error { _, err := s.value(); return err })
	case 't', 'f', 'n':
		err = errSyntax
		for _, word := range []string{"true", "false", "null"} {
			if bytes.HasPrefix(s.text[s.at:], []byte(word)) {
				s.at += len(word)
				err = nil
				break
			}
		}
	default:
		_, err = s.number()
	}
	return s.text[from:s.at], err
}
