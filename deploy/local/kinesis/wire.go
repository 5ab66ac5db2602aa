package kinesis

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"tributary/deploy/local/awsjson"
)

// An op serves one operation. puts marks those with large requests.
type op struct {
	puts  bool
	serve func(c *call, body []byte) ([]byte, error)
}

var operations = map[string]op{
	"CreateStream":                  {serve: small((*call).createStream)},
	"DeleteStream":                  {serve: small((*call).deleteStream)},
	"DescribeStreamSummary":         {serve: small((*call).describeStreamSummary)},
	"ListStreams":                   {serve: small((*call).listStreams)},
	"ListShards":                    {serve: small((*call).listShards)},
	"SplitShard":                    {serve: small((*call).splitShard)},
	"MergeShards":                   {serve: small((*call).mergeShards)},
	"UpdateShardCount":              {serve: small((*call).updateShardCount)},
	"UpdateMaxRecordSize":           {serve: small((*call).updateMaxRecordSize)},
	"IncreaseStreamRetentionPeriod": {serve: small((*call).increaseRetention)},
	"DecreaseStreamRetentionPeriod": {serve: small((*call).decreaseRetention)},
	"GetShardIterator":              {serve: small((*call).getShardIterator)},
	"GetRecords":                    {serve: (*call).getRecords},
	"RegisterStreamConsumer":        {serve: small((*call).registerStreamConsumer)},
	"DescribeStreamConsumer":        {serve: small((*call).describeStreamConsumer)},
	"ListStreamConsumers":           {serve: small((*call).listStreamConsumers)},
	"DeregisterStreamConsumer":      {serve: small((*call).deregisterStreamConsumer)},
	"SubscribeToShard":              {serve: small((*call).subscribeToShard)},
	"PutRecord":                     {puts: true, serve: small((*call).putRecord)},
	"PutRecords":                    {puts: true, serve: (*call).putRecords},
}

// none is the answer of operations that answer nothing.
type none struct{}

// small fits an operation with plain JSON on both sides.
func small[In, Out any](f func(*call, In) (Out, error)) func(*call, []byte) ([]byte, error) {
	return func(c *call, body []byte) ([]byte, error) {
		var in In
		if err := decode(body, &in); err != nil {
			return nil, err
		}
		out, err := f(c, in)
		if err != nil {
			return nil, err
		}
		if _, empty := any(out).(none); empty {
			return nil, nil
		}
		return json.Marshal(out)
	}
}

// decode refuses every parameter that In does not name: what is not implemented must not be ignored.
func decode(body []byte, in any) error { return awsjson.Decode(body, in, codeValidation) }

// A timestamp travels as seconds with a fraction; the service keeps milliseconds.
type timestamp int64

func (t timestamp) MarshalJSON() ([]byte, error) { return t.appendTo(nil), nil }

func (t timestamp) appendTo(dst []byte) []byte {
	ms := int64(t) % 1000
	dst = strconv.AppendInt(dst, int64(t)/1000, 10)
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

func (t *timestamp) UnmarshalJSON(text []byte) error {
	var seconds float64
	if err := json.Unmarshal(text, &seconds); err != nil {
		return err
	}
	if seconds < 0 || seconds > 1e11 {
		return fmt.Errorf("timestamp %s is not a time in seconds", text)
	}
	*t = timestamp(math.Round(seconds * 1000))
	return nil
}

func (t timestamp) String() string { return time.UnixMilli(int64(t)).UTC().Format(time.RFC3339Nano) }

// streamRef names a stream: by name, ARN, or both.
type streamRef struct {
	StreamName string
	StreamARN  string
}

var (
	streamNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
	streamARNs  = regexp.MustCompile(`^arn:aws[a-z-]*:kinesis:[^:]*:[^:]*:stream/([a-zA-Z0-9_.-]{1,128})$`)
)

func (ref streamRef) name() (string, error) {
	if ref.StreamARN == "" {
		if !streamNames.MatchString(ref.StreamName) {
			return "", validation("StreamName %q: want 1 to 128 of a-z, A-Z, 0-9, _, . and -, or a StreamARN", ref.StreamName)
		}
		return ref.StreamName, nil
	}
	match := streamARNs.FindStringSubmatch(ref.StreamARN)
	if match == nil {
		return "", validation("StreamARN %q is not the ARN of a stream", ref.StreamARN)
	}
	if ref.StreamName != "" && ref.StreamName != match[1] {
		return "", invalidArgument("StreamARN %q and StreamName %q name different streams", ref.StreamARN, ref.StreamName)
	}
	return match[1], nil
}

// accountID stands in messages and ARNs; any account and region is accepted in requests.
const accountID = "000000000000"

func arn(name string) string { return "arn:aws:kinesis:us-east-1:" + accountID + ":stream/" + name }

// stream finds the stream and holds its lock shared until the returned function is called.
func (c *call) stream(ref streamRef) (*stream, func(), error) {
	st, err := c.find(ref)
	if err != nil {
		return nil, nil, err
	}
	st.mu.RLock()
	if err := st.usable(); err != nil {
		st.mu.RUnlock()
		return nil, nil, err
	}
	return st, st.mu.RUnlock, nil
}

// change is stream for those who change it: alone.
func (c *call) change(ref streamRef) (*stream, func(), error) {
	st, err := c.find(ref)
	if err != nil {
		return nil, nil, err
	}
	st.mu.Lock()
	if err := st.usable(); err != nil {
		st.mu.Unlock()
		return nil, nil, err
	}
	return st, st.mu.Unlock, nil
}

func (c *call) find(ref streamRef) (*stream, error) {
	name, err := ref.name()
	if err != nil {
		return nil, err
	}
	st, err := c.svc.find(name)
	if err != nil {
		return nil, err
	}
	st.resizeOn(c.now)
	return st, nil
}

func (s *Service) find(name string) (*stream, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	st, ok := s.streams[name]
	if !ok {
		return nil, noStream(name)
	}
	return st, nil
}

var errClosed = errors.New("the local endpoint is closed")

func noStream(name string) error {
	return notFound("Stream %s under account %s not found.", name, accountID)
}
