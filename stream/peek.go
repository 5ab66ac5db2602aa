package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A Sight is what lies at a position of a shard.
type Sight struct {
	// Next is the first record at the position, empty if there is none yet.
	Next    SequenceNumber
	Arrival time.Time // of Next
	// Behind is how far the position lies behind the tip, in time.
	Behind time.Duration
	// End is true when the shard is closed and holds nothing behind the position.
	End bool
}

const (
	// peekCalls bounds how often one Peek asks: an iterator may have to walk through
	// stretches without records, and others read the shard too.
	peekCalls = 40
	// peekPause leaves four of the five calls a second that a shard answers to those
	// who read it for their living.
	peekPause = time.Second
)

type peekAPI interface {
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Peek looks at the first record at a position. It takes one record out of the
// shard's read rate and asks at most once a second after the first answer, so that
// it may be used beside the shard's readers. A position the service refuses is a
// Permanent error.
func Peek(ctx context.Context, api peekAPI, ref Ref, shard ShardID, at Position) (Sight, error) {
	if err := errors.Join(ref.Validate(), at.validate()); err != nil {
		return Sight{}, fmt.Errorf("look into %s: %w", shard, err)
	}
	p := peek{api: api, ref: ref, shard: shard, at: at}
	for calls := 0; calls < peekCalls; calls++ {
		s, found, err := p.ask(ctx)
		switch {
		case err == nil && found:
			return s, nil
		case ctx.Err() != nil:
			return Sight{}, fmt.Errorf("look into %s: %w", shard, ctx.Err())
		case err != nil && (isMissing(err) || isInvalid(err) && reasonOf(err) != reasonExpired):
			return Sight{}, fmt.Errorf("look into %s at %s: %w", shard, at, Permanent(err))
		case err != nil && calls >= 4 && reasonOf(err) != reasonThrottled:
			return Sight{}, fmt.Errorf("look into %s at %s: %w", shard, at, err)
		}
		select {
		case <-ctx.Done():
			return Sight{}, fmt.Errorf("look into %s: %w", shard, ctx.Err())
		case <-time.After(peekPause):
		}
	}
	return Sight{}, fmt.Errorf("look into %s at %s: no answer in %d calls", shard, at, peekCalls)
}

// Clock is the service's time, without fractions of a second, hence never ahead
// of it. Positions by time are compared with that clock, not with this machine's.
func Clock(ctx context.Context, api describeAPI, ref Ref) (time.Time, error) {
	out, err := api.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: ref.name(), StreamARN: ref.arn()})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the time: %w", ref, err)
	}
	now, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok || now.IsZero() {
		return time.Time{}, fmt.Errorf("ask %s for the time: an answer without date", ref)
	}
	return now.UTC(), nil
}

type peek struct {
	api      peekAPI
	ref      Ref
	shard    ShardID
	at       Position
	iterator *string
}

// ask makes one step. It has found something unless the iterator only moved on.
func (p *peek) ask(ctx context.Context) (Sight, bool, error) {
	if p.iterator == nil {
		out, err := p.api.GetShardIterator(ctx, p.at.input(p.ref, p.shard), singleAttempt)
		if err != nil {
			return Sight{}, false, fmt.Errorf("get shard iterator: %w", err)
		}
		p.iterator = out.ShardIterator
	}
	out, err := p.api.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: p.iterator, StreamARN: p.ref.arn(), Limit: aws.Int32(1)}, singleAttempt)
	if err != nil {
		if reasonOf(err) == reasonExpired {
			p.iterator = nil
		}
		return Sight{}, false, fmt.Errorf("get records: %w", err)
	}
	s := Sight{Behind: time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond}
	if len(out.Records) > 0 {
		s.Next, s.Arrival = SequenceNumber(aws.ToString(out.Records[0].SequenceNumber)), arrivalOf(&out.Records[0])
		// The answer is about the place behind the record.
		s.Behind = max(s.Behind, time.Since(s.Arrival))
		return s, true, nil
	}
	p.iterator = out.NextShardIterator
	s.End = aws.ToString(p.iterator) == ""
	return s, s.End || s.Behind == 0, nil
}
