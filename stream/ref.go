package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Ref names a stream by its name or its ARN, never both. An ARN reaches streams
// of other accounts.
type Ref struct {
	Name string `koanf:"name" json:"name,omitempty"`
	ARN  string `koanf:"arn" json:"arn,omitempty"`
}

// Validate reports whether exactly one of name and ARN is set.
func (r Ref) Validate() error {
	switch {
	case r.Name == "" && r.ARN == "":
		return errors.New("stream: set its name or its arn")
	case r.Name != "" && r.ARN != "":
		return errors.New("stream: set its name or its arn, not both")
	case r.ARN != "" && !strings.HasPrefix(r.ARN, "arn:"):
		return fmt.Errorf("stream: %q is not an ARN", r.ARN)
	}
	return nil
}

// String is the name or the ARN.
func (r Ref) String() string {
	if r.ARN != "" {
		return r.ARN
	}
	return r.Name
}

func (r Ref) name() *string { return optional(r.Name) }
func (r Ref) arn() *string  { return optional(r.ARN) }

// optional leaves a parameter out of a request: Kinesis refuses empty strings.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// Description is what callers need to know of a stream before they use it.
type Description struct {
	ARN     string
	Name    string
	Created time.Time // tells a stream from a later one of the same name
	Status  string    // CREATING, ACTIVE, UPDATING or DELETING
	Shards  int       // open ones
	// Retention is how long the stream keeps a record; 0: the service did not say.
	Retention time.Duration
	// MaxRecordBytes is the largest record, data and partition key together.
	MaxRecordBytes int64
	// Automatic is true when the service spreads records by itself and ignores
	// partition keys. Lanes have no order on such a stream: callers refuse it.
	Automatic bool
}

// defaultRecordBytes is the largest record of a stream that was not told
// otherwise by UpdateMaxRecordSize.
const defaultRecordBytes = 1 << 20

type describeAPI interface {
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
}

// Describe asks the service about a stream. A stream that does not exist, or a
// name that cannot exist, is a Permanent error.
func Describe(ctx context.Context, api describeAPI, ref Ref) (Description, error) {
	if err := ref.Validate(); err != nil {
		return Description{}, err
	}
	out, err := api.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: ref.name(), StreamARN: ref.arn()})
	if err != nil {
		err = fmt.Errorf("describe stream %s: %w", ref, err)
		if isMissing(err) || isInvalid(err) {
			err = Permanent(err)
		}
		return Description{}, err
	}
	s := out.StreamDescriptionSummary
	if s == nil || s.StreamCreationTimestamp == nil {
		return Description{}, fmt.Errorf("describe stream %s: incomplete answer", ref)
	}
	d := Description{
		ARN:            aws.ToString(s.StreamARN),
		Name:           aws.ToString(s.StreamName),
		Created:        s.StreamCreationTimestamp.UTC(),
		Status:         string(s.StreamStatus),
		Shards:         int(aws.ToInt32(s.OpenShardCount)),
		Retention:      time.Duration(aws.ToInt32(s.RetentionPeriodHours)) * time.Hour,
		MaxRecordBytes: defaultRecordBytes,
		Automatic:      s.RecordDistributionStrategy == types.RecordDistributionStrategyAuto,
	}
	if kib := aws.ToInt32(s.MaxRecordSizeInKiB); kib > 0 {
		d.MaxRecordBytes = int64(kib) << 10
	}
	return d, nil
}
