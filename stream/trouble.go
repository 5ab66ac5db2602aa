package stream

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The closed set of reasons for which a call is made again.
const (
	reasonThrottled = "throttled"
	reasonInternal  = "internal"
	reasonTimeout   = "timeout"
	reasonExpired   = "expired"
	reasonOther     = "other"
)

// singleAttempt turns the SDK's retries off for one call. With both layers
// retrying, an attempt timeout would cover several attempts, and a throttled
// shard would be asked three times as often as the backoff says.
func singleAttempt(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }

// reasonOfCode sorts an error code, of a request or of one record in an answer.
func reasonOfCode(code string) string {
	switch code {
	case "ProvisionedThroughputExceededException", "KMSThrottlingException", "LimitExceededException",
		"ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException":
		return reasonThrottled
	case "InternalFailure", "InternalFailureException", "InternalServerError", "ServiceUnavailable", "ServiceUnavailableException":
		return reasonInternal
	case "ExpiredIteratorException":
		return reasonExpired
	case "RequestTimeout", "RequestTimeoutException":
		return reasonTimeout
	}
	return reasonOther
}

// reasonOf sorts the error of a whole call.
func reasonOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		if reason := reasonOfCode(api.ErrorCode()); reason != reasonOther {
			return reason
		}
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() >= http.StatusInternalServerError {
		return reasonInternal
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return reasonTimeout
	}
	return reasonOther
}

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// isMissing: the stream or the shard does not exist.
func isMissing(err error) bool { return codeOf(err) == "ResourceNotFoundException" }

// isInvalid: the service read the request and refuses its content.
func isInvalid(err error) bool {
	code := codeOf(err)
	return code == "ValidationException" || code == "InvalidArgumentException"
}

// backoff is the wait after so many failures in a row.
type backoff struct{ min, max time.Duration }

// after doubles from min to max. The upper half is random, so that a thousand
// forwarders which one full shard threw out do not come back in step.
func (b backoff) after(failures int) time.Duration {
	d := b.max
	if shift := failures - 1; shift < 32 && b.min<<shift>>shift == b.min {
		d = min(b.min<<shift, b.max)
	}
	return d/2 + rand.N(d/2+1)
}

// warnEvery is how often a trouble that goes on is logged.
const warnEvery = 10 * time.Second

// warner logs the first of many troubles at once and then one line every
// warnEvery with their number. One goroutine uses it.
type warner struct {
	log   *slog.Logger
	last  time.Time
	count int
}

func (w *warner) warn(msg string, now time.Time, attrs ...any) {
	w.count++
	if !w.last.IsZero() && now.Sub(w.last) < warnEvery {
		return
	}
	w.log.Warn(msg, append(attrs, "times", w.count)...)
	w.last, w.count = now, 0
}
