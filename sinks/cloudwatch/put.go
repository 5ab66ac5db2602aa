package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// API is what is asked of a CloudWatch Logs client. Its own retries are not used: a
// flush that failed is called again.
type API interface {
	PutLogEvents(context.Context, *cloudwatchlogs.PutLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutLogEventsOutput, error)
	CreateLogGroup(context.Context, *cloudwatchlogs.CreateLogGroupInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogGroupOutput, error)
	CreateLogStream(context.Context, *cloudwatchlogs.CreateLogStreamInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.CreateLogStreamOutput, error)
	PutRetentionPolicy(context.Context, *cloudwatchlogs.PutRetentionPolicyInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.PutRetentionPolicyOutput, error)
	GetLogEvents(context.Context, *cloudwatchlogs.GetLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error)
}

// once keeps the client from repeating a request: with two layers that do, the
// time-out of an attempt would cover several.
func once(o *cloudwatchlogs.Options) { o.Retryer = aws.NopRetryer{} }

// trouble is the closed set of what befalls calls; it labels a metric.
type trouble string

const (
	throttled   trouble = "throttled"
	denied      trouble = "denied"
	missing     trouble = "missing"
	exists      trouble = "exists"
	invalid     trouble = "invalid"
	refused     trouble = "refused"
	credentials trouble = "credentials"
	unavailable trouble = "unavailable"
	unreachable trouble = "unreachable"
)

// own tells troubles that a log stream has for itself from those that all have.
func (t trouble) own() bool {
	return t == denied || t == missing || t == invalid || t == refused
}

// callError is a call that failed.
type callError struct {
	action   string // such as PutLogEvents
	resource string
	trouble  trouble
	code     string // the service's, empty if it did not answer
	err      error
}

func (e *callError) Error() string {
	if e.trouble == denied {
		return fmt.Sprintf("logs:%s on %s is not allowed: %v", e.action, e.resource, e.err)
	}
	return fmt.Sprintf("%s for %s: %v", e.action, e.resource, e.err)
}

func (e *callError) Unwrap() error { return e.err }

func (e *callError) is(t trouble) bool { return e != nil && e.trouble == t }

// call makes one request, bounded by the attempt's time-out.
func (c *CloudWatch) call(ctx context.Context, action, resource string, do func(context.Context) error) *callError {
	attempt, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	err := do(attempt)
	if err == nil {
		return nil
	}
	e := &callError{action: action, resource: resource, err: err}
	e.trouble, e.code = troubleOf(err)
	if ctx.Err() == nil {
		c.metrics.failures.WithLabelValues(action, string(e.trouble)).Inc()
	}
	return e
}

// troubleOf reads the service's answer.
func troubleOf(err error) (t trouble, code string) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	status := 0
	if answer := (*smithyhttp.ResponseError)(nil); errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	switch code {
	case "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded":
		return throttled, code
	case "ResourceNotFoundException":
		return missing, code
	case "ResourceAlreadyExistsException":
		return exists, code
	case "InvalidParameterException":
		return invalid, code
	case "ServiceUnavailableException", "ServiceUnavailable", "InternalFailure", "InternalServerError", "OperationAbortedException":
		return unavailable, code
	case "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken", "InvalidSignatureException",
		"SignatureDoesNotMatch", "IncompleteSignatureException", "MissingAuthenticationTokenException", "RequestExpired":
		return credentials, code
	}
	switch {
	case strings.HasPrefix(code, "AccessDenied") || status == http.StatusForbidden || status == http.StatusUnauthorized:
		return denied, code
	case status == http.StatusTooManyRequests:
		return throttled, code
	case status >= http.StatusInternalServerError:
		return unavailable, code
	case status >= http.StatusBadRequest || code != "":
		return refused, code
	}
	if timeout := (net.Error)(nil); errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return unreachable, "a time-out"
	}
	return unreachable, "no answer"
}

// plainCode makes a label of what a server calls an error.
func plainCode(code string) string {
	other := func(r rune) bool { return !nameRune(r) && r != ' ' }
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, other) {
		return "an unknown answer"
	}
	return code
}

func resource(k key) string { return "log group " + k.group + ", stream " + string(k.shard) }

// put sends a batch once, and once more when the log stream had to be made.
func (c *CloudWatch) put(ctx context.Context, k key, b *batch) (*types.RejectedLogEventsInfo, error) {
	info, err := c.putOnce(ctx, k, b)
	if !err.is(missing) {
		return info, asError(err)
	}
	if err := c.create(ctx, k); err != nil {
		return nil, err
	}
	info, err = c.putOnce(ctx, k, b)
	return info, asError(err)
}

// asError keeps a nil pointer from becoming an error.
func asError(e *callError) error {
	if e == nil {
		return nil
	}
	return e
}

func (c *CloudWatch) putOnce(ctx context.Context, k key, b *batch) (*types.RejectedLogEventsInfo, *callError) {
	if err := c.puts.wait(ctx); err != nil {
		return nil, &callError{"PutLogEvents", resource(k), unreachable, "no time", err}
	}
	began := time.Now()
	var out *cloudwatchlogs.PutLogEventsOutput
	err := c.call(ctx, "PutLogEvents", resource(k), func(ctx context.Context) (err error) {
		out, err = c.api.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
			LogGroupName: &k.group, LogStreamName: (*string)(&k.shard), LogEvents: b.events,
		}, once)
		return err
	})
	c.metrics.puts.Inc()
	switch {
	case err == nil:
		c.puts.passed()
		return out.RejectedLogEventsInfo, nil
	case err.code == "DataAlreadyAcceptedException":
		return nil, nil // of servers older than the documentation
	case err.is(throttled):
		c.puts.throttled(began)
	}
	return nil, err
}
