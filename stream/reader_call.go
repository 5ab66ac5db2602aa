package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// call asks for more records, once. It returns an error only if the caller has to
// decide; anything a later call may mend sets callAt and is shown.
func (r *Reader) call(ctx context.Context) error {
	attempt, cancel := context.WithTimeout(ctx, r.cfg.AttemptTimeout)
	defer cancel()
	began := time.Now()
	out, err := r.ask(attempt)
	switch {
	case err == nil:
		if len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			r.tip = began
		}
		r.accept(out)
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("read %s: %w", r.shard, ctx.Err())
	case isMissing(err):
		return Permanent(fmt.Errorf("read %s of %s: %w", r.shard, r.ref, err))
	case IsPermanent(err):
		return fmt.Errorf("read %s of %s: %w", r.shard, r.ref, err)
	}
	r.trouble(err)
	return nil
}

// ask makes GetRecords, and GetShardIterator before it if there is no iterator.
func (r *Reader) ask(ctx context.Context) (*kinesis.GetRecordsOutput, error) {
	if r.iterator == "" {
		if err := r.locate(ctx); err != nil {
			return nil, err
		}
	}
	in := &kinesis.GetRecordsInput{ShardIterator: aws.String(r.iterator), StreamARN: r.ref.arn(), Limit: aws.Int32(r.limit())}
	r.metrics.requests.Inc()
	began := time.Now()
	r.callAt = began.Add(r.cfg.PollMin)
	out, err := r.api.GetRecords(ctx, in, singleAttempt)
	r.metrics.seconds.Observe(time.Since(began).Seconds())
	if err == nil {
		for i := range out.Records {
			if !SequenceNumber(aws.ToString(out.Records[i].SequenceNumber)).isNumber() {
				err = errors.New("a record without sequence number")
			}
		}
	}
	if err != nil {
		if reasonOf(err) == reasonExpired || isInvalid(err) {
			r.iterator = "" // five minutes old, or of a service that restarted
		}
		return nil, fmt.Errorf("get records: %w", err)
	}
	return out, nil
}

// locate gets an iterator at the place where reading goes on.
func (r *Reader) locate(ctx context.Context) error {
	out, err := r.api.GetShardIterator(ctx, r.from.input(r.ref, r.shard), singleAttempt)
	if err == nil && aws.ToString(out.ShardIterator) == "" {
		err = errors.New("an answer without iterator")
	}
	if err != nil {
		err = fmt.Errorf("get shard iterator at %s: %w", r.from, err)
		// A sequence number of another stream or shard: no later call will know it, and
		// only the caller knows what to do instead. A time is refused while it lies in
		// the service's future, which passes.
		if r.from.sequence != "" && isInvalid(err) {
			err = Permanent(err)
		}
		return err
	}
	r.iterator = *out.ShardIterator
	if r.from.kind == types.ShardIteratorTypeLatest {
		r.from = AtTime(latestTime(out))
	}
	return nil
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

// accept takes an answer over.
func (r *Reader) accept(out *kinesis.GetRecordsOutput) {
	if r.failures > 1 {
		r.log.Info("reading again", "failures", r.failures)
	}
	r.failures = 0
	r.answered = time.Now()
	r.atAnswer = time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond
	r.held = out.Records
	r.size = 0
	for i := range out.Records {
		r.size += int64(len(out.Records[i].Data))
	}
	r.metrics.held.Set(float64(r.size))
	if n := len(out.Records); n > 0 {
		r.mean = max(1, r.size/int64(n))
		r.newest = arrivalOf(&out.Records[n-1])
		r.lag(arrivalOf(&out.Records[0]))
	} else {
		r.setBehind(r.atAnswer)
	}
	r.iterator = aws.ToString(out.NextShardIterator)
	if r.iterator == "" {
		r.ended = true
		for _, child := range out.ChildShards {
			r.children = append(r.children, ShardID(aws.ToString(child.ShardId)))
		}
	}
	r.pace(len(out.Records) == 0 && r.atAnswer == 0)
}

// firstRecords are asked for while nothing is known of their size: full records
// of our own make 8 MiB then.
const firstRecords = 32

// limit is how many records of the size of the last ones fill an answer.
func (r *Reader) limit() int32 {
	if r.mean == 0 {
		return int32(min(firstRecords, r.cfg.MaxRecords))
	}
	return int32(max(1, min(r.cfg.AnswerBytes/r.mean, int64(r.cfg.MaxRecords))))
}

// pace waits longer and longer at the tip of a quiet shard. An empty answer away
// from the tip says nothing: the iterator walks through a stretch without
// records.
func (r *Reader) pace(quiet bool) {
	if !quiet {
		r.quiet = r.cfg.PollMin
		return // ask has set callAt
	}
	r.callAt = r.callAt.Add(r.quiet - r.cfg.PollMin)
	r.quiet = min(2*r.quiet, r.cfg.PollInterval)
}

// trouble plans the next call after a failed one.
func (r *Reader) trouble(err error) {
	now := time.Now()
	reason := reasonOf(err)
	r.failures++
	r.callAt = now.Add(backoff{r.cfg.BackoffMin, r.cfg.BackoffMax}.after(r.failures))
	if reason == reasonThrottled {
		// After a large answer the shard refuses everybody until its bytes are paid for
		// at 2 MiB/s: 5 s after 10 MiB.
		paid := r.answered.Add(time.Duration(float64(r.size) / shardReadRate * float64(time.Second)))
		if paid.After(r.callAt) {
			r.callAt = paid
		}
	}
	r.metrics.troubles[reason].Inc()
	if !r.answered.IsZero() {
		r.setBehind(r.atAnswer + now.Sub(r.answered))
	}
	if reason == reasonExpired {
		r.log.Debug("iterator expired, going on", "position", r.from.String())
		return
	}
	r.warner.warn("shard not read, asking again", now, "stream", r.ref.String(), "reason", reason, "failures", r.failures, "err", err)
}
