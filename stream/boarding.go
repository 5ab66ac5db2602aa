package stream

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// recordBytes is what a record takes beside its data: structs and strings.
const recordBytes = 160

// boarding is the room of one call: reserved before it is made, set to what is
// needed as soon as the answer's header says so, handed to the page.
type boarding struct {
	room *room
	held int64
	most int64 // records in it
	body int64 // of the answer's body, if it was taken apart here
}

// protocol puts the decoding of this call's answer here; see answerProtocol.
func (b *boarding) protocol(o *kinesis.Options) {
	if o.Protocol != nil {
		o.Protocol = answerProtocol{o.Protocol, b}
	}
}

// noRoom says that an answer is larger than what was reserved for it, and that the
// difference was not free.
type noRoom struct{ need int64 }

func (e *noRoom) Error() string {
	return fmt.Sprintf("the answer takes %d bytes, more than expected", e.need)
}

// resize sets what is held to n.
func (b *boarding) resize(n int64) error {
	switch {
	case n < b.held:
		b.room.give(b.held - n)
	case n > b.held && !b.room.grow(n-b.held):
		return &noRoom{n}
	}
	b.held = n
	return nil
}

// unload makes the page, which takes the room over.
func (b *boarding) unload(records []types.Record, data int64) *page {
	// Never more than was reserved: the header announced the body, and recordBytes is
	// part of maxAnswerBytes.
	bytes := min(b.held, max(b.body, data)+int64(len(records))*recordBytes)
	b.room.give(b.held - bytes)
	b.held = 0
	return newPage(b.room, records, bytes)
}

// leave gives back what no page took over.
func (b *boarding) leave() {
	if b.held > 0 {
		b.room.give(b.held)
	}
}

// answerProtocol is the client's protocol, but for the answers of GetRecords. The
// SDK reads a body into a buffer that doubles as it grows, makes strings of it and
// bytes of these: 70 MiB for an answer of 10. Here the room is known before the
// body is read, and the records stay in the one buffer it is read into.
type answerProtocol struct {
	smithyhttp.ClientProtocol
	*boarding
}

// DeserializeResponse reads the answer.
func (p answerProtocol) DeserializeResponse(ctx context.Context, op *smithy.OperationSchema, registry *smithy.TypeRegistry, resp *smithyhttp.Response, into smithy.Deserializable) error {
	out, ok := into.(*kinesis.GetRecordsOutput)
	if !ok || resp.StatusCode != 200 {
		return p.ClientProtocol.DeserializeResponse(ctx, op, registry, resp, into)
	}
	size := resp.ContentLength
	if size >= 0 {
		// The records' structs come on top. There are fewer than the body has room for.
		if err := p.resize(size + min(size/minRecordText, p.most)*recordBytes); err != nil {
			return err
		}
	}
	body, err := readWhole(resp.Body, size, maxAnswerBytes)
	if err != nil {
		return &smithy.DeserializationError{Err: fmt.Errorf("read answer: %w", err)}
	}
	p.body = int64(cap(body))
	if err := parseAnswer(body, out); err != nil {
		return &smithy.DeserializationError{Err: fmt.Errorf("parse answer: %w", err)}
	}
	return nil
}
