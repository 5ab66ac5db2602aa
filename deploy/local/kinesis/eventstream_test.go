package kinesis

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/smithy-go/eventstream"
)

func TestMessagesAreTheOnesThatOthersRead(t *testing.T) {
	tests := map[string]struct {
		headers []byte
		payload string
		want    map[string]string
	}{
		"initial response": {initialHeaders, "{}", map[string]string{":message-type": "event", ":event-type": "initial-response"}},
		"event":            {eventHeaders, `{"Records":[]}`, map[string]string{":message-type": "event", ":event-type": "SubscribeToShardEvent", ":content-type": "application/x-amz-json-1.1"}},
		"exception":        {exceptionHeaders("ResourceInUseException"), `{"message":"x"}`, map[string]string{":message-type": "exception", ":exception-type": "ResourceInUseException"}},
		"no payload":       {eventHeaders, "", nil},
		"a large payload":  {eventHeaders, strings.Repeat("x", 3<<20), nil},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			before, behind := enclose(test.headers, []byte(test.payload))
			read := bytes.NewReader(append(append(before, test.payload...), behind...))
			m, err := eventstream.NewDecoder().Decode(read, nil)
			if err != nil || string(m.Payload) != test.payload || read.Len() != 0 {
				t.Fatalf("%d of %d bytes of payload, %d bytes are left, %v", len(m.Payload), len(test.payload), read.Len(), err)
			}
			for name, want := range test.want {
				if got := m.Headers.Get(name); got == nil || got.String() != want {
					t.Errorf("header %s is %v, want %s", name, got, want)
				}
			}
		})
	}
}
