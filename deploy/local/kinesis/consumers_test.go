package kinesis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

var streamARN = aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/logs")

func (w *world) register(consumer string) (*types.Consumer, error) {
	out, err := w.RegisterStreamConsumer(w.t.Context(), &client.RegisterStreamConsumerInput{StreamARN: streamARN, ConsumerName: &consumer})
	if err != nil {
		return nil, err
	}
	return out.Consumer, nil
}

// consumer registers a consumer and waits until it is ACTIVE, by the clock that moves only when told to.
func (w *world) consumer(name string) (arn *string) {
	w.t.Helper()
	c, err := w.register(name)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clock.advance(100 * time.Millisecond)
	return c.ConsumerARN
}

func (w *world) describeConsumer(in client.DescribeStreamConsumerInput) (*types.ConsumerDescription, error) {
	out, err := w.DescribeStreamConsumer(w.t.Context(), &in)
	if err != nil {
		return nil, err
	}
	return out.ConsumerDescription, nil
}

func (w *world) deregister(arn *string) error {
	_, err := w.DeregisterStreamConsumer(w.t.Context(), &client.DeregisterStreamConsumerInput{ConsumerARN: arn})
	return err
}

func TestAConsumerIsCreatedAndThenActiveAndSurvivesARestart(t *testing.T) {
	w := open(t)
	w.create(1)
	made, err := w.register("lake")
	if err != nil || *made.ConsumerName != "lake" || made.ConsumerStatus != types.ConsumerStatusCreating || !made.ConsumerCreationTimestamp.Equal(w.clock.now()) {
		t.Fatalf("registered %+v, %v", made, err)
	}
	w.reopen()
	for _, wantStatus := range []types.ConsumerStatus{types.ConsumerStatusCreating, types.ConsumerStatusActive} {
		for how, in := range map[string]client.DescribeStreamConsumerInput{
			"by ARN":  {ConsumerARN: made.ConsumerARN},
			"by name": {StreamARN: streamARN, ConsumerName: aws.String("lake")},
			"by all":  {StreamARN: streamARN, ConsumerName: aws.String("lake"), ConsumerARN: made.ConsumerARN},
		} {
			got, err := w.describeConsumer(in)
			if err != nil || *got.ConsumerARN != *made.ConsumerARN || *got.StreamARN != *streamARN || got.ConsumerStatus != wantStatus {
				t.Errorf("%s: described as %+v, %v; want %s", how, got, err, wantStatus)
			}
		}
		w.clock.advance(100 * time.Millisecond)
	}
	if n := *w.describe().ConsumerCount; n != 1 {
		t.Errorf("the stream counts %d consumers", n)
	}
}

func TestAConsumerMadeAnewHasAnotherARN(t *testing.T) {
	w := open(t)
	w.create(1)
	first := w.consumer("lake")
	w.clock.advance(-100 * time.Millisecond) // within the same millisecond
	if err := w.deregister(first); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.deregister(first), "ResourceNotFoundException")
	w.reopen()
	second := w.consumer("lake")
	if *first == *second {
		t.Errorf("both are %s", *first)
	}
	_, err := w.describeConsumer(client.DescribeStreamConsumerInput{ConsumerARN: first})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestConsumersThatCannotBeAreRefused(t *testing.T) {
	w := open(t)
	w.create(1)
	arn := w.consumer("lake")
	_, err := w.register("lake")
	wantCode(t, err, "ResourceInUseException")
	_, err = w.register("la/ke")
	wantCode(t, err, "ValidationException")
	_, err = w.RegisterStreamConsumer(t.Context(), &client.RegisterStreamConsumerInput{StreamARN: aws.String(*streamARN + "s"), ConsumerName: aws.String("x")})
	wantCode(t, err, "ResourceNotFoundException")
	_, err = w.RegisterStreamConsumer(t.Context(), &client.RegisterStreamConsumerInput{StreamARN: streamARN, ConsumerName: aws.String("x"), Tags: map[string]string{"a": "b"}})
	wantCode(t, err, "ValidationException")
	for code, in := range map[string]client.DescribeStreamConsumerInput{
		"ValidationException":       {ConsumerARN: streamARN},
		"InvalidArgumentException":  {ConsumerARN: arn, ConsumerName: aws.String("other")},
		"ResourceNotFoundException": {StreamARN: streamARN, ConsumerName: aws.String("other")},
	} {
		_, err := w.describeConsumer(in)
		wantCode(t, err, code)
	}
	_, err = w.describeConsumer(client.DescribeStreamConsumerInput{StreamARN: streamARN})
	wantCode(t, err, "InvalidArgumentException")
}

func TestAStreamHasTwentyConsumersAndAnAccountCreatesFiveAtOnce(t *testing.T) {
	w := open(t)
	w.create(1)
	for i := range 20 {
		if i > 0 && i%5 == 0 {
			_, err := w.register("too-early")
			wantCode(t, err, "LimitExceededException")
			w.clock.advance(200 * time.Millisecond)
		}
		if _, err := w.register(fmt.Sprintf("c%02d", i)); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.advance(time.Second)
	_, err := w.register("one-too-many")
	wantCode(t, err, "LimitExceededException")
}

func TestConsumersAreListedPageByPage(t *testing.T) {
	w := open(t)
	w.create(1)
	var want, got []string
	for i := range 7 {
		want = append(want, fmt.Sprint("c", i))
		w.consumer(fmt.Sprint("c", 6-i))
	}
	pages := client.NewListStreamConsumersPaginator(w.Client, &client.ListStreamConsumersInput{StreamARN: streamARN, MaxResults: aws.Int32(3)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Consumers {
			got = append(got, *c.ConsumerName)
		}
	}
	equal(t, "consumers", got, want)
	first, err := w.ListStreamConsumers(t.Context(), &client.ListStreamConsumersInput{StreamARN: streamARN, MaxResults: aws.Int32(1), StreamCreationTimestamp: w.describe().StreamCreationTimestamp})
	if err != nil || len(first.Consumers) != 1 {
		t.Fatal(first, err)
	}
	w.clock.advance(301 * time.Second)
	_, err = w.ListStreamConsumers(t.Context(), &client.ListStreamConsumersInput{StreamARN: streamARN, NextToken: first.NextToken})
	wantCode(t, err, "ExpiredNextTokenException")
	_, err = w.ListStreamConsumers(t.Context(), &client.ListStreamConsumersInput{StreamARN: streamARN, StreamCreationTimestamp: aws.Time(w.clock.now())})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestAStreamWithConsumersIsDeletedOnlyOnDemand(t *testing.T) {
	w := open(t)
	w.create(1)
	w.consumer("lake")
	_, err := w.DeleteStream(t.Context(), &client.DeleteStreamInput{StreamName: name})
	wantCode(t, err, "ResourceInUseException")
	if _, err := w.DeleteStream(t.Context(), &client.DeleteStreamInput{StreamName: name, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
		t.Error(err)
	}
}

func TestConsumersMayBeAskedForSoOftenASecond(t *testing.T) {
	w := limited(t)
	w.create(1)
	arn := w.consumer("lake")
	tests := map[string]struct {
		times int
		call  func() error
	}{
		"describe": {20, func() error {
			_, err := w.describeConsumer(client.DescribeStreamConsumerInput{ConsumerARN: arn})
			return err
		}},
		"list": {5, func() error {
			_, err := w.ListStreamConsumers(t.Context(), &client.ListStreamConsumersInput{StreamARN: streamARN})
			return err
		}},
		"register and deregister": {4, func() error { // one was registered
			c, err := w.register("other")
			if err != nil {
				return err
			}
			return w.deregister(c.ConsumerARN)
		}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			for range test.times {
				if err := test.call(); err != nil {
					t.Fatal(err)
				}
			}
			wantCode(t, test.call(), "LimitExceededException")
		})
	}
}
