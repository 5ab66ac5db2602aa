package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/schemas"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/eventstream"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
)

// prelude is the two lengths and their checksum with which a message begins.
// https://smithy.io/2.0/aws/amazon-eventstream.html
const prelude = 12

// intake reads the events of one subscription. No byte of an event is read before
// there is room for it, so what is not read backs up to the service: a shard that
// nobody works on costs what it holds already, which room can take back, and the
// buffers of its connection.
//
// The SDK's goroutine calls protocol's methods; the others are for all.
type intake struct {
	room   *room
	ctx    context.Context // of the subscription: the SDK passes none to its protocol
	urgent chan struct{}   // one token while somebody waits for an event

	mu     sync.Mutex
	loads  []load    // of the events on their way through the SDK
	closed bool      // loads that come are freed
	asked  time.Time // of the last byte, or since a byte is asked for; zero while none is
}

func newIntake(ctx context.Context, m *room) *intake {
	return &intake{room: m, ctx: ctx, urgent: make(chan struct{}, 1)}
}

// hurry says that somebody waits: an event that nobody waits for takes only what
// is free.
func (i *intake) hurry() {
	select {
	case i.urgent <- struct{}{}:
	default:
	}
}

// board gets room for an event.
func (i *intake) board(need int64) error {
	if i.room.try(need) {
		return nil
	}
	select {
	case <-i.urgent:
		return i.room.reserve(i.ctx, need)
	case <-i.ctx.Done():
		return i.ctx.Err()
	}
}

// load is what an event brings: no page without records.
type load struct {
	page *page
	data int64 // bytes
}

func (l load) free() {
	if l.page != nil {
		l.page.free()
	}
}

// land keeps a load until its event has come through the SDK.
func (i *intake) land(l load) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		l.free()
		return
	}
	i.loads = append(i.loads, l)
}

// take is the load of the event that came through.
func (i *intake) take() load {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.loads[0]
	i.loads = i.loads[1:]
	return l
}

// close frees what nobody took, and what still comes.
func (i *intake) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	for _, l := range i.loads {
		l.free()
	}
	i.loads = nil
}

// listen notes the time from which silence counts; zero: it does not.
func (i *intake) listen(at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = at
}

// silence is how long the service has not sent a byte that was asked for.
func (i *intake) silence() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.asked.IsZero() {
		return 0
	}
	return time.Since(i.asked)
}

// protocol puts the decoding of this call's events here. The client's own protocol
// is of no use for them: all streams of a client share a buffer in it and overwrite
// one another's events (https://github.com/aws/smithy-go/issues/714).
func (i *intake) protocol(o *kinesis.Options) {
	o.Protocol = eventProtocol{awsjson.New11(schemas.Kinesis_20131202), i}
}

// eventProtocol is the client's protocol, but for the events of SubscribeToShard,
// of which the SDK would decode two ahead, whatever their size, with several copies
// of the data.
type eventProtocol struct {
	smithyhttp.ClientProtocol
	*intake
}

// DeserializeEventMessage reads the next message. Its records go to the intake, the
// rest of it through the SDK.
func (p eventProtocol) DeserializeEventMessage(schema *smithy.Schema, registry *smithy.TypeRegistry, r io.Reader) (smithy.Deserializable, error) {
	p.listen(time.Now())
	defer p.listen(time.Time{})
	var head [prelude]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err // io.EOF tells the SDK of an end between messages
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size > maxAnswerBytes {
		return nil, fmt.Errorf("read event: it has %d bytes, none has more than %d", size, int64(maxAnswerBytes))
	}
	need := size + bytes.MinRead + min(size/minRecordText, maxReadRecords)*recordBytes
	p.listen(time.Time{})
	if err := p.board(need); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	room := boarding{room: p.room, held: need}
	defer room.leave()
	p.listen(time.Now())
	// The SDK's decoder would grow its buffer when less than MinRead is free at the end.
	body := make([]byte, 0, size+bytes.MinRead)
	message, err := eventstream.NewDecoder().Decode(io.MultiReader(bytes.NewReader(head[:]), listening{r, p.intake}), body)
	if err != nil {
		return nil, fmt.Errorf("read event: %w", whole(err))
	}
	if kind := message.Headers.Get(eventstream.EventTypeHeader); kind == nil || kind.String() != "SubscribeToShardEvent" {
		var again bytes.Buffer
		if err := eventstream.NewEncoder().Encode(&again, message); err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		return p.ClientProtocol.DeserializeEventMessage(schema, registry, &again)
	}
	event, err := parseEvent(message.Payload)
	if err != nil {
		return nil, &smithy.DeserializationError{Err: fmt.Errorf("parse event: %w", err)}
	}
	p.unload(&room, event, int64(cap(body)))
	return event, nil
}

// whole: an end within a message is none, whatever the decoder calls it.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unload takes the records out of an event.
func (i *intake) unload(room *boarding, event *types.SubscribeToShardEvent, body int64) {
	var l load
	if len(event.Records) > 0 {
		for n := range event.Records {
			l.data += int64(len(event.Records[n].Data))
		}
		room.body = body
		l.page = room.unload(event.Records, l.data)
		event.Records = nil
	}
	i.land(l)
}

// listening notes when bytes come.
type listening struct {
	io.Reader
	*intake
}

func (l listening) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	l.listen(time.Now())
	return n, err
}
