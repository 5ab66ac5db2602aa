package logtail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Client is what this package asks of CloudWatch Logs.
type Client interface {
	DescribeLogGroups(context.Context, *cloudwatchlogs.DescribeLogGroupsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogGroupsOutput, error)
	FilterLogEvents(context.Context, *cloudwatchlogs.FilterLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error)
}

// ErrRefused marks what a person has to change: a group that is not there, a right
// that is missing, a filter that the service does not understand.
var ErrRefused = errors.New("refused")

// refusal is an ErrRefused that reads as its reason alone.
type refusal struct{ reason string }

func (r refusal) Error() string        { return r.reason }
func (r refusal) Is(target error) bool { return target == ErrRefused }

func refuse(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }

// missing is a log group that does not exist.
type missing struct {
	name string
	many bool // it is a pattern
}

func (m missing) Error() string {
	if m.many {
		return "there is no log group " + m.name
	}
	return "log group " + m.name + " does not exist"
}

// singleAttempt turns the SDK's retries off: they would not keep to the pace.
func singleAttempt(o *cloudwatchlogs.Options) { o.Retryer = aws.NopRetryer{} }

const (
	backoffMin = 500 * time.Millisecond
	backoffMax = 10 * time.Second
)

// call makes one call at its turn, and again while there is hope.
func (r *Reader) call(ctx context.Context, action, resource string, try func(context.Context) error) error {
	var first time.Time
	for failures := 1; ; failures++ {
		if err := sleep(ctx, time.Until(r.next)); err != nil {
			return err
		}
		r.next = time.Now().Add(time.Duration(float64(time.Second) / r.cfg.CallsPerSecond))
		attempt, cancel := context.WithTimeout(ctx, r.cfg.AttemptTimeout)
		err := try(attempt)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if final := refusalOf(err, action, resource); final != nil {
			return final
		}
		now, wait := time.Now(), backoff(failures)
		if first.IsZero() {
			first = now
		}
		if failures == 2 { // one alone is nothing to tell
			r.log.Warn("a call failed, trying again", "operation", action, "group", resource, "err", err)
		}
		if !r.patient && now.Add(wait).Sub(first) > r.cfg.Patience {
			return fmt.Errorf("%s of %s, tried %d times: %w", action, resource, failures, err)
		}
		r.next = now.Add(wait)
	}
}

// backoff doubles; its upper half is random, so that people who look at the same
// trouble do not ask in step.
func backoff(failures int) time.Duration {
	d := min(backoffMin<<min(failures-1, 10), backoffMax)
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// refusalOf is what an answer that would stay the same means; nil if another try may
// help.
func refusalOf(err error, action, resource string) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return nil
	}
	_, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
	var answer *smithyhttp.ResponseError
	status := 0
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	switch {
	case throttled, api.ErrorFault() == smithy.FaultServer, status >= http.StatusInternalServerError,
		status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return nil
	}
	switch api.ErrorCode() {
	case "LimitExceededException", "OperationAbortedException", "RequestTimeout", "RequestTimeoutException":
		return nil
	case "ResourceNotFoundException":
		return missing{name: resource}
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation":
		return refuse("not allowed to call logs:%s on log group %s: %s", action, resource, api.ErrorMessage())
	}
	return refuse("logs:%s on log group %s is refused: %s: %s", action, resource, api.ErrorCode(), api.ErrorMessage())
}
