package stream

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// parseEvent reads the JSON of a SubscribeToShardEvent as parseAnswer reads an
// answer: the data of the records is decoded in place and lies in body.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShardEvent.html
func parseEvent(body []byte) (*types.SubscribeToShardEvent, error) {
	s := scanner{text: body}
	var event types.SubscribeToShardEvent
	var out kinesis.GetRecordsOutput
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "Records":
			return s.array(func() error { return s.record(&out) })
		case "ContinuationSequenceNumber":
			return s.optionalString(&event.ContinuationSequenceNumber)
		case "MillisBehindLatest":
			number, err := s.number()
			if err != nil || number == nil {
				return err
			}
			n, err := strconv.ParseInt(string(number), 10, 64)
			event.MillisBehindLatest = aws.Int64(n)
			return err
		case "ChildShards":
			return s.array(func() error { return s.child(&event.ChildShards) })
		}
		_, err := s.value()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", s.at, err)
	}
	if s.space(); s.at != len(s.text) {
		return nil, fmt.Errorf("at byte %d: something behind the event", s.at)
	}
	for i := range out.Records {
		if !SequenceNumber(aws.ToString(out.Records[i].SequenceNumber)).isNumber() {
			return nil, fmt.Errorf("record %d has no sequence number", i)
		}
	}
	if c := aws.ToString(event.ContinuationSequenceNumber); c != "" && !SequenceNumber(c).isNumber() {
		return nil, fmt.Errorf("the position %q is no sequence number", c)
	}
	event.Records = out.Records
	return &event, nil
}
