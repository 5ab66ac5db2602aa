package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/schemas"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/eventstream"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
	"github.com/prometheus/client_golang/prometheus"
)

// framed is a message of an event stream, with pairs of headers.
func framed(payload string, headers ...string) []byte {
	m := eventstream.Message{Payload: []byte(payload)}
	for i := 0; i < len(headers); i += 2 {
		m.Headers.Set(headers[i], eventstream.StringValue(headers[i+1]))
	}
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func framedEvent(payload string) []byte {
	return framed(payload, ":message-type", "event", ":event-type", "SubscribeToShardEvent", ":content-type", "application/json")
}

func newTestIntake(bound int64) *intake {
	gauge := func() prometheus.Gauge { return prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"}) }
	return newIntake(context.Background(), newRoom(bound, gauge(), gauge()))
}

// read reads one message as a subscription does, and gives the records back to the
// event.
func (i *intake) read(r io.Reader) (*types.SubscribeToShardEvent, error) {
	p := eventProtocol{awsjson.New11(schemas.Kinesis_20131202), i}
	out, err := p.DeserializeEventMessage(schemas.SubscribeToShardEventStream, kinesis.TypeRegistry, r)
	if err != nil {
		return nil, err
	}
	event, ok := out.(*types.SubscribeToShardEvent)
	if !ok {
		return nil, fmt.Errorf("a %T", out)
	}
	if l := i.take(); l.page != nil {
		for record, ok := l.page.next(); ok; record, ok = l.page.next() {
			event.Records = append(event.Records, record)
		}
		l.free()
	}
	return event, nil
}

// eventBySDK is how the SDK reads a message.
func eventBySDK(message []byte) (*types.SubscribeToShardEvent, error) {
	out, err := awsjson.New11(schemas.Kinesis_20131202).DeserializeEventMessage(schemas.SubscribeToShardEventStream, kinesis.TypeRegistry, bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	event, ok := out.(*types.SubscribeToShardEvent)
	if !ok {
		return nil, fmt.Errorf("a %T", out)
	}
	return event, nil
}

func digestOfEvent(e *types.SubscribeToShardEvent) string {
	var b strings.Builder
	for i := range e.Records {
		r := &e.Records[i]
		fmt.Fprintf(&b, "%s %v %q\n", aws.ToString(r.SequenceNumber), arrivalOf(r), r.Data)
	}
	fmt.Fprintf(&b, "%q %d %q", aws.ToString(e.ContinuationSequenceNumber), aws.ToInt64(e.MillisBehindLatest), idsOf(e.ChildShards))
	return b.String()
}

var events = map[string]string{
	"a heartbeat":    `{"ContinuationSequenceNumber":"49","MillisBehindLatest":0,"Records":[]}`,
	"records":        `{"Records":[{"SequenceNumber":"49","ApproximateArrivalTimestamp":1.700000000123E9,"PartitionKey":"a","Data":"aGVsbG8="},{"SequenceNumber":"50","ApproximateArrivalTimestamp":1.7E9,"PartitionKey":"b","Data":""}],"ContinuationSequenceNumber":"50","MillisBehindLatest":7}`,
	"a shard's end":  `{"Records":[],"MillisBehindLatest":0,"ChildShards":[{"ShardId":"shardId-1","ParentShards":["shardId-0"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}]}`,
	"what is added":  `{"ContinuationSequenceNumber":"1","New":{"a":[1,null]},"MillisBehindLatest":0,"Records":[]}`,
	"a large record": `{"Records":[{"SequenceNumber":"1","ApproximateArrivalTimestamp":1.7E9,"PartitionKey":"a","Data":"` + strings.Repeat("QUJD", 30_000) + `"}],"ContinuationSequenceNumber":"1","MillisBehindLatest":7}`,
}

func TestAnEventIsReadAsTheSDKReadsItAndGivesItsRoomBack(t *testing.T) {
	for name, body := range events {
		t.Run(name, func(t *testing.T) {
			want, err := eventBySDK(framedEvent(body))
			if err != nil {
				t.Fatal(err)
			}
			in := newTestIntake(maxAnswerBytes)
			got, err := in.read(bytes.NewReader(framedEvent(body)))
			if err != nil {
				t.Fatal(err)
			}
			if g, w := digestOfEvent(got), digestOfEvent(want); g != w {
				t.Errorf("read\n%.300s\nthe SDK\n%.300s", g, w)
			}
			if in.room.used != 0 {
				t.Errorf("%d bytes taken by nobody", in.room.used)
			}
		})
	}
}

func TestABrokenMessageIsAnErrorAndGivesItsRoomBack(t *testing.T) {
	good := framedEvent(events["records"])
	flipped := bytes.Clone(good)
	flipped[len(flipped)-20] ^= 1
	for name, message := range map[string][]byte{
		"cut off in its head":            good[:5],
		"cut off behind its head":        good[:prelude],
		"cut off in its payload":         good[:len(good)-30],
		"a flipped bit":                  flipped,
		"a length beyond all bounds":     {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
		"a length of nothing":            make([]byte, 16),
		"a record without a number":      framedEvent(`{"Records":[{"Data":"YQ=="}],"ContinuationSequenceNumber":"1"}`),
		"a time beyond 2262":             framedEvent(`{"Records":[{"SequenceNumber":"9","ApproximateArrivalTimestamp":13000000000.0}]}`),
		"a position that is no number":   framedEvent(`{"Records":[],"ContinuationSequenceNumber":"SHARD_END"}`),
		"no JSON":                        framedEvent(`soon`),
		"an event nobody knows":          framed(`{}`, ":message-type", "event", ":event-type", "Other"),
		"an error without a description": framed(``, ":message-type", "error"),
	} {
		t.Run(name, func(t *testing.T) {
			in := newTestIntake(maxAnswerBytes)
			if e, err := in.read(bytes.NewReader(message)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("event %v, error %v", e, err)
			}
			if in.room.used != 0 {
				t.Errorf("%d bytes taken by nobody", in.room.used)
			}
		})
	}
}

func TestAnExceptionIsTheOneTheServiceNamed(t *testing.T) {
	in := newTestIntake(maxAnswerBytes)
	_, err := in.read(bytes.NewReader(framed(`{"message":"taken over"}`, ":message-type", "exception", ":exception-type", "ResourceInUseException", ":content-type", "application/json")))
	var api smithy.APIError
	if !isInUse(err) || !errors.As(err, &api) || api.ErrorMessage() != "taken over" {
		t.Errorf("error %v", err)
	}
}

func FuzzSubscriptionMessage(f *testing.F) {
	for _, body := range events {
		f.Add(framedEvent(body))
	}
	f.Add(framed(`{"message":"taken over"}`, ":message-type", "exception", ":exception-type", "ResourceInUseException"))
	f.Fuzz(func(t *testing.T, message []byte) {
		in := newTestIntake(maxAnswerBytes)
		_, err := in.read(bytes.NewReader(message))
		if err != nil {
			in.close()
		}
		if in.room.used != 0 {
			t.Errorf("%d bytes taken by nobody, error %v", in.room.used, err)
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	for _, body := range events {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseEvent(bytes.Clone(body))
		if err != nil || !json.Valid(body) || !utf8.Valid(body) {
			return
		}
		want, err := eventBySDK(framedEvent(string(body)))
		if err == nil && strings.Count(string(body), `"Records"`) == 1 && digestOfEvent(got) != digestOfEvent(want) {
			t.Errorf("read\n%s\nthe SDK\n%s", digestOfEvent(got), digestOfEvent(want))
		}
	})
}
