package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

type consumerAPI interface {
	DescribeStreamConsumer(context.Context, *kinesis.DescribeStreamConsumerInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamConsumerOutput, error)
	RegisterStreamConsumer(context.Context, *kinesis.RegisterStreamConsumerInput, ...func(*kinesis.Options)) (*kinesis.RegisterStreamConsumerOutput, error)
}

const (
	// registerAttempts is how often registration is tried at a stretch. LimitExceeded
	// means 20 consumers, or five of them being created, or five calls a second in the
	// account: the last two pass within seconds.
	registerAttempts = 4
	// creating is how long a consumer may take to become ACTIVE, or to go.
	creating = time.Minute
)

// register finds the consumer or makes it, waits until it is ACTIVE, and makes sure
// that it is one of the stream that is meant: a consumer goes with its stream, and
// its ARN, which has the second of its creation, does not come back.
func (f *FanOut) register(ctx context.Context) (string, error) {
	wait := backoff{time.Second, 5 * time.Second}
	for failures := 1; ; failures++ {
		arn, err := f.registerOnce(ctx)
		if err == nil || refusal(err) || IsPermanent(err) || failures == registerAttempts {
			return arn, err
		}
		if err := pause(ctx, time.Now().Add(wait.after(failures))); err != nil {
			return "", fmt.Errorf("register consumer: %w", err)
		}
	}
}

func (f *FanOut) registerOnce(ctx context.Context) (string, error) {
	stream := f.src.ref.ARN
	if stream == "" {
		asking, cancel := context.WithTimeout(ctx, f.src.cfg.AttemptTimeout)
		defer cancel()
		d, err := Describe(asking, f.api, f.src.ref)
		if err != nil {
			return "", err
		}
		stream = d.ARN
	}
	wait := backoff{500 * time.Millisecond, 4 * time.Second} // 20 looks a second for the stream, and it may have many workers
	until := time.Now().Add(creating)
	for looks := 1; ; looks++ {
		arn, status, err := f.look(ctx, stream)
		switch {
		case err != nil:
			return "", err
		case status == types.ConsumerStatusActive:
			confirming, cancel := context.WithTimeout(ctx, f.src.cfg.AttemptTimeout)
			defer cancel()
			return arn, f.src.Confirm(confirming)
		case time.Now().After(until):
			return "", fmt.Errorf("consumer %s stays %s", f.name, status)
		}
		if err := pause(ctx, time.Now().Add(wait.after(looks))); err != nil {
			return "", fmt.Errorf("wait for consumer %s: %w", f.name, err)
		}
	}
}

// look asks for the consumer, and registers it when there is none. Another worker
// of the group may be faster: then the next look finds its consumer.
func (f *FanOut) look(ctx context.Context, stream string) (arn string, status types.ConsumerStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.src.cfg.AttemptTimeout)
	defer cancel()
	found, err := f.api.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: &stream, ConsumerName: &f.name}, singleAttempt)
	if err == nil {
		d := found.ConsumerDescription
		if d == nil || aws.ToString(d.ConsumerARN) == "" {
			return "", "", errors.New("describe consumer: incomplete answer")
		}
		return *d.ConsumerARN, d.ConsumerStatus, nil
	}
	if !isMissing(err) {
		return "", "", fmt.Errorf("describe consumer: %w", err)
	}
	_, err = f.api.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: &stream, ConsumerName: &f.name}, singleAttempt)
	if err != nil && !isInUse(err) {
		return "", "", fmt.Errorf("register consumer: %w", err)
	}
	return "", types.ConsumerStatusCreating, nil
}

// isInUse: another subscription, or another who registers.
func isInUse(err error) bool { return codeOf(err) == "ResourceInUseException" }

// refusal reports whether only a person can mend it: no permission, or an endpoint
// that knows no fan-out. Everything else may pass.
func refusal(err error) bool {
	switch codeOf(err) {
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "UnknownOperationException", "InvalidAction", "NotImplemented":
		return true
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.HTTPStatusCode() {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}
