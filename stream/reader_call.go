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

// fetch sends a flight for the answer behind what is held.
func (r *Reader) fetch() {
	limit := r.limit()
	r.coming = &flight{
		src: r.src, shard: r.shard, metrics: &r.metrics, callAt: r.pace.callAt,
		limit: limit, need: r.expect(limit), from: r.ahead, iterator: r.iterator,
	}
	r.coming.launch()
}

// firstMean is the size of a full record of our own, taken for the shard's while
// nothing is known of it.
const firstMean = 256 << 10

// limit is how many records of the size of the last ones fill an answer.
func (r *Reader) limit() int32 {
	return int32(max(1, min(r.src.cfg.AnswerBytes/r.mean, int64(r.src.cfg.MaxRecords))))
}

// expect is the room to reserve for the next answer: as base64 data takes 4/3, and
// half as much again is for records that are larger than the last ones, and for
// what comes with each. Where that is wrong the answer is refused unread, before it
// takes more, and asked for again. With all that an answer can take reserved each
// time, one or two readers would keep all others from calling.
func (r *Reader) expect(limit int32) int64 {
	if r.need > 0 {
		return maxAnswerBytes
	}
	return min(max(r.src.cfg.AnswerBytes, r.mean)*2+int64(limit)*2*recordBytes, maxAnswerBytes)
}

// wait waits for the flight's landing; false means that the deadline came first.
func (r *Reader) wait(ctx context.Context, deadline time.Time) (landed bool, err error) {
	select {
	case <-r.coming.done:
		return true, nil
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-r.coming.done:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("read %s: %w", r.shard, ctx.Err())
	}
}

// land takes over what the flight brought. It returns an error only if the caller
// has to decide; anything a later call may mend is planned and shown.
func (r *Reader) land() error {
	land := r.coming.landed
	r.coming = nil
	r.iterator, r.ahead, r.need = land.iterator, land.from, 0
	if r.from.kind == latest {
		r.from = land.from // fixed by the first iterator
	}
	switch err := land.err; {
	case err == nil:
		r.accept(&land)
	case errors.Is(err, ErrRecreated):
		return fmt.Errorf("read %s: %w", r.shard, err)
	case isMissing(err):
		return r.suspect(Permanent(err))
	case IsPermanent(err):
		return r.suspect(err)
	case land.need > 0:
		r.need = land.need
		r.pace.answered(land.began, land.need, false)
	default:
		r.trouble(err)
	}
	return nil
}

// suspect finds out whether the service knows this shard or position no more
// because the stream is another.
func (r *Reader) suspect(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.src.cfg.AttemptTimeout)
	defer cancel()
	if other := r.src.Confirm(ctx); errors.Is(other, ErrRecreated) {
		err = other
	}
	return fmt.Errorf("read %s of %s: %w", r.shard, r.src.ref, err)
}

// latestTime is a time at or before the moment at which the service made an
// iterator at the tip. Asking for LATEST again would lose records: the iterator is
// made; a record comes; the iterator expires before it was ever used to the tip;
// the second LATEST is behind the record. The service's clock is asked, because
// this machine's may be ahead of it. Its Date header has whole seconds and is
// written after the iterator was made, hence the second taken off: at worst
// records of the last two seconds before the tip are read as well.
func latestTime(out *kinesis.GetShardIteratorOutput) time.Time {
	now, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok || now.IsZero() {
		now = time.Now()
	}
	return now.Add(-time.Second)
}

// accept takes an answer over and asks for the next.
func (r *Reader) accept(land *landing) {
	if r.failures > 1 {
		r.log.Info("reading again", "failures", r.failures)
	}
	out := land.out
	first, last, ok := land.page.ends()
	if !ok {
		r.iterator = "" // taken back before anybody asked for it: read it again
		return
	}
	r.failures = 0
	r.answered = land.began
	r.atAnswer = time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond
	r.metrics.held.Set(float64(land.size))
	if last != nil {
		r.mean = max(1, land.size/int64(land.records))
		r.held = land.page
		r.ahead = After(SequenceNumber(*last.SequenceNumber))
		r.newest = arrivalOf(last)
		r.lag(arrivalOf(first))
	} else {
		land.page.free()
		r.setBehind(r.atAnswer)
		if r.atAnswer == 0 {
			r.tip = land.began
		}
	}
	r.iterator = aws.ToString(out.NextShardIterator)
	r.pace.answered(land.began, land.size, r.atAnswer == 0)
	if r.iterator == "" {
		r.ended, r.children = true, nil
		for _, child := range out.ChildShards {
			r.children = append(r.children, ShardID(aws.ToString(child.ShardId)))
		}
		return
	}
	if r.held != nil {
		r.fetch()
	}
}

// trouble plans the next call after a failed one.
func (r *Reader) trouble(err error) {
	now := time.Now()
	reason := reasonOf(err)
	r.failures++
	if reason == reasonThrottled {
		r.pace.throttled(now)
	} else {
		r.pace.failed(now, r.failures)
	}
	r.metrics.troubles[reason].Inc()
	if !r.answered.IsZero() {
		r.setBehind(r.atAnswer + now.Sub(r.answered))
	}
	if reason == reasonExpired {
		r.log.Debug("iterator expired, going on", "position", r.ahead.String())
		return
	}
	r.warner.warn("shard not read, asking again", now, "stream", r.src.ref.String(), "reason", reason, "failures", r.failures, "err", err)
}
