package contract_test

import (
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var consumerCases = []kinesisCase{
	// "To get the description of a registered consumer, provide the ARN of the consumer. Alternatively, you can provide the ARN of the
	// data stream and the name you gave the consumer when you registered it. You may also provide all three parameters"
	{"a registered consumer becomes ACTIVE and is described by ARN and by name", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		made := s.register("lake")
		for _, in := range []kinesis.DescribeStreamConsumerInput{
			{ConsumerARN: made}, {StreamARN: s.arn(), ConsumerName: aws.String("lake")}, {ConsumerARN: made, StreamARN: s.arn(), ConsumerName: aws.String("lake")},
		} {
			out, err := k.DescribeStreamConsumer(c.Context(), &in)
			c.Must("describe consumer", err)
			got := out.ConsumerDescription
			if *got.ConsumerARN != *made || *got.ConsumerName != "lake" || *got.StreamARN != *s.arn() || got.ConsumerStatus != types.ConsumerStatusActive ||
				time.Since(*got.ConsumerCreationTimestamp).Abs() > 10*time.Minute {
				c.Errorf("got %+v", got)
			}
		}
		c.Equal("consumers", *s.describe().ConsumerCount, 1)
	}},
	// "For a given Kinesis data stream, each consumer must have a unique name."
	{"a consumer's name is in use when it exists", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.register("lake")
		_, err := k.RegisterStreamConsumer(c.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: s.arn(), ConsumerName: aws.String("lake")})
		c.Code("register again", err, "ResourceInUseException")
	}},
	// "consumer names don't have to be unique across data streams"
	{"two streams may have consumers of one name", func(c *check, k *kinesis.Client) {
		if a, b := newStream(c, k, 1).register("lake"), newStream(c, k, 1).register("lake"); *a == *b {
			c.Errorf("both are %s", *a)
		}
	}},
	{"a deregistered consumer is not found", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		made := s.register("lake")
		s.deregister(made)
		_, err := k.DescribeStreamConsumer(c.Context(), &kinesis.DescribeStreamConsumerInput{StreamARN: s.arn(), ConsumerName: aws.String("lake")})
		c.Code("describe", err, "ResourceNotFoundException")
		_, err = k.DeregisterStreamConsumer(c.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: made})
		c.Code("deregister again", err, "ResourceNotFoundException")
	}},
	// "If you delete a consumer and then create a new one with the same name, it won't have the same ARN. That's because consumer ARNs
	// contain the creation timestamp."
	{"a consumer made anew under the name has another ARN", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		first := s.register("lake")
		s.deregister(first)
		c.Sleep(time.Second)
		if second := s.register("lake"); *first == *second {
			c.Errorf("both are %s", *first)
		}
	}},
	{"consumers are listed page by page", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		for _, name := range []string{"c", "a", "b"} {
			s.register(name)
		}
		found := make(map[string]int)
		pages := kinesis.NewListStreamConsumersPaginator(k, &kinesis.ListStreamConsumersInput{StreamARN: s.arn(), MaxResults: aws.Int32(2)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(c.Context())
			c.Must("list consumers", err)
			for _, consumer := range out.Consumers {
				found[*consumer.ConsumerName]++
			}
		}
		c.Equal("consumers", found, map[string]int{"a": 1, "b": 1, "c": 1})
	}},
	// "If this parameter is unset (null) or if you set it to false, and the stream has registered consumers, the call to DeleteStream
	// fails with a ResourceInUseException."
	{"a stream with consumers is deleted only with EnforceConsumerDeletion", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		s.register("lake")
		_, err := k.DeleteStream(c.Context(), &kinesis.DeleteStreamInput{StreamName: s.name})
		c.Code("delete", err, "ResourceInUseException")
		_, err = k.DeleteStream(c.Context(), &kinesis.DeleteStreamInput{StreamName: s.name, EnforceConsumerDeletion: aws.Bool(true)})
		c.Must("delete", err)
	}},
	{"a stream that does not exist has no consumers", func(c *check, k *kinesis.Client) {
		s := newStream(c, k, 1)
		arn := aws.String(*s.arn() + "-not")
		_, err := k.RegisterStreamConsumer(c.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("lake")})
		c.Code("register", err, "ResourceNotFoundException")
		_, err = k.ListStreamConsumers(c.Context(), &kinesis.ListStreamConsumersInput{StreamARN: arn})
		c.Code("list", err, "ResourceNotFoundException")
	}},
}

func (s stream) arn() *string { return s.describe().StreamARN }

// register registers a consumer and waits until it is ACTIVE.
func (s stream) register(name string) (arn *string) {
	out, err := s.RegisterStreamConsumer(s.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: s.arn(), ConsumerName: &name})
	s.Must("register consumer", err)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		got, err := s.DescribeStreamConsumer(s.Context(), &kinesis.DescribeStreamConsumerInput{ConsumerARN: out.Consumer.ConsumerARN})
		s.Must("describe consumer", err)
		if got.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive {
			return out.Consumer.ConsumerARN
		}
		s.Sleep(wait)
	}
}

// deregister waits until the consumer is gone.
func (s stream) deregister(arn *string) {
	_, err := s.DeregisterStreamConsumer(s.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: arn})
	s.Must("deregister consumer", err)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		_, err := s.DescribeStreamConsumer(s.Context(), &kinesis.DescribeStreamConsumerInput{ConsumerARN: arn})
		if gone := (*types.ResourceNotFoundException)(nil); errors.As(err, &gone) {
			return
		}
		s.Must("describe consumer", err)
		s.Sleep(wait)
	}
}
