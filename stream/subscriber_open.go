package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// opening is one attempt to subscribe, on its way beside its Subscriber, which goes
// on polling.
type opening struct {
	cancel func()
	done   chan struct{} // closed when the rest is set
	sub    *subscription
	err    error
}

// open starts an attempt. Whoever calls it waits for done, or calls abandon.
func (f *FanOut) open(shard ShardID, from Position) *opening {
	ctx, cancel := context.WithCancelCause(context.Background())
	o := &opening{cancel: func() { cancel(nil) }, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		if o.sub, o.err = f.subscribe(ctx, cancel, shard, from); o.err != nil {
			cancel(nil)
		}
	}()
	return o
}

// abandon ends the attempt and what came of it.
func (o *opening) abandon() {
	o.cancel()
	<-o.done
	if o.sub != nil {
		o.sub.close()
	}
}

// subscribe registers if need be, waits until the shard may be subscribed to again,
// and does so. The subscription lasts as long as ctx, which cancel ends.
func (f *FanOut) subscribe(ctx context.Context, cancel context.CancelCauseFunc, shard ShardID, from Position) (*subscription, error) {
	arn, err := f.consumer(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, f.mayAt(shard)); err != nil {
		return nil, fmt.Errorf("wait to subscribe: %w", err)
	}
	in := &kinesis.SubscribeToShardInput{ConsumerARN: &arn, ShardId: aws.String(string(shard)), StartingPosition: from.starting()}
	taken := newIntake(ctx, f.src.room)
	timeout := time.AfterFunc(f.src.cfg.AttemptTimeout, func() { cancel(context.DeadlineExceeded) })
	out, err := f.api.SubscribeToShard(ctx, in, singleAttempt, taken.protocol)
	timeout.Stop()
	if err == nil {
		f.opened(shard)
		f.metrics.open.Inc()
		return &subscription{stream: out.GetStream(), intake: taken, cancel: func() { cancel(nil) }, ended: f.metrics.open.Dec}, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	switch {
	case isMissing(err):
		f.forget(arn) // the shard, the consumer or the stream is gone; look which
	case refusal(err):
		f.refuse(err)
		return nil, errNoFanOut
	}
	return nil, fmt.Errorf("subscribe at %s: %w", from, err)
}

// starting is the position for SubscribeToShard.
func (p Position) starting() *types.StartingPosition {
	at := &types.StartingPosition{Type: p.kind}
	switch p.kind {
	case types.ShardIteratorTypeAtTimestamp:
		at.Timestamp = aws.Time(p.time)
	case types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber:
		at.SequenceNumber = aws.String(string(p.sequence))
	}
	return at
}

// subscription is an open call whose events come.
type subscription struct {
	stream *kinesis.SubscribeToShardEventStream
	intake *intake
	cancel func()
	ended  func()
	next   Position // where its next event begins
}

// close ends the call and gives back all room.
func (s *subscription) close() {
	s.intake.close()
	s.cancel() // first: closing a body waits for a read under way
	_ = s.stream.Close()
	for range s.stream.Events() { // until the SDK's goroutine has ended
	}
	s.ended()
}

// err is why no more events come: nil when the service ended the call, as it does
// every five minutes.
func (s *subscription) err() error {
	if err := s.stream.Err(); err != nil {
		return fmt.Errorf("subscription: %w", err)
	}
	return nil
}
