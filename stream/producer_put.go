package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// group is what travels in one request.
type group struct {
	members []*publication
	bytes   int64
}

func (g *group) full(records int) bool {
	return len(g.members) >= records || len(g.members) == 1 && g.members[0].schedule.alone
}

func (g *group) fits(pub *publication, room int64) bool {
	return len(g.members) == 0 || !pub.schedule.alone && g.bytes+pub.record.size() <= room
}

// failure is why a record is not known to be stored.
type failure struct {
	reason  string
	err     error // Permanent when no retry helps
	whole   bool  // the request failed, not one record in it
	suspect bool  // the record's content may be what the service refuses
}

// answer is the outcome of one request, one place per member: nil means stored.
type answer struct {
	group
	failures []*failure
}

// put sends one request, once.
func (p *Producer) put(ctx context.Context, g group) answer {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AttemptTimeout)
	defer cancel()
	in := &kinesis.PutRecordsInput{StreamName: p.ref.name(), StreamARN: p.ref.arn()}
	in.Records = make([]types.PutRecordsRequestEntry, len(g.members))
	for i, pub := range g.members {
		in.Records[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String(pub.record.Key), Data: pub.record.Data}
	}
	p.metrics.requests.Inc()
	began := time.Now()
	out, err := p.api.PutRecords(ctx, in, singleAttempt)
	p.metrics.seconds.Observe(time.Since(began).Seconds())
	p.called.Store(time.Now().UnixNano())

	a := answer{group: g, failures: make([]*failure, len(g.members))}
	if err == nil && len(out.Records) != len(g.members) {
		err = fmt.Errorf("answer for %d records to a request of %d", len(out.Records), len(g.members))
	}
	if err != nil {
		f := requestFailure(fmt.Errorf("put records: %w", err), g)
		for i := range a.failures {
			a.failures[i] = f
		}
		return a
	}
	for i := range out.Records {
		a.failures[i] = recordFailure(&out.Records[i])
	}
	return a
}

// requestFailure judges an error that concerns the whole request.
func requestFailure(err error, g group) *failure {
	f := &failure{reason: reasonOf(err), err: err, whole: true}
	var answer *smithyhttp.ResponseError
	tooLarge := errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusRequestEntityTooLarge
	if !isInvalid(err) && !tooLarge {
		return f
	}
	f.suspect = true
	// One bad record fails its whole group. Only when it travelled alone is the
	// refusal its own, and only if it speaks of the record: a wrong stream name is
	// refused with the same code, and somebody mends that. A request that is too large
	// with one record is so for good, unless every stream takes its like.
	if len(g.members) == 1 && (isInvalid(err) && namesRecord(err) || tooLarge && g.bytes > defaultRecordBytes) {
		f.err = Permanent(err)
	}
	return f
}

// namesRecord looks for what the service says of a record: "Value at
// 'records.1.member.data' failed to satisfy constraint", "Record size …",
// "partitionKey …".
func namesRecord(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	text := strings.ToLower(api.ErrorMessage())
	return strings.Contains(text, "record") || strings.Contains(text, "partitionkey") || strings.Contains(text, "partition key")
}

// recordFailure judges one place of an answer, nil if the record is stored.
func recordFailure(r *types.PutRecordsResultEntry) *failure {
	code := aws.ToString(r.ErrorCode)
	switch {
	case code != "":
		return &failure{reason: reasonOfCode(code), err: fmt.Errorf("put records: %s: %s", code, aws.ToString(r.ErrorMessage))}
	case aws.ToString(r.SequenceNumber) == "":
		return &failure{reason: reasonOther, err: errors.New("put records: a record without sequence number and without error")}
	}
	return nil
}
