package kinesis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"

	"tributary/deploy/local/fault"
)

func TestFaultsBefallCallsAsTheClientSeesThem(t *testing.T) {
	tests := map[string]struct {
		rule   fault.Rule
		code   string // "": no answer of the service
		stored bool
	}{
		"throttle":                           {fault.Rule{Action: fault.Throttle}, "ProvisionedThroughputExceededException", false},
		"error":                              {fault.Rule{Action: fault.Error}, "InternalFailure", false},
		"a lost response leaves the record":  {fault.Rule{Action: fault.LoseResponse}, "", true},
		"a delay past the client's patience": {fault.Rule{Action: fault.Delay, Delay: time.Minute}, "", false},
		"a commit after the client gave up":  {fault.Rule{Action: fault.DelayCommit, Delay: time.Minute}, "", true},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			w := open(t)
			w.create(1)
			test.rule.Service, test.rule.Operation = "kinesis", "PutRecord"
			if err := w.faults.Replace([]fault.Rule{test.rule}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			_, err := w.PutRecord(ctx, &client.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte("x")})
			var api smithy.APIError
			if err == nil || errors.As(err, &api) != (test.code != "") || test.code != "" && api.ErrorCode() != test.code {
				t.Errorf("the client saw %v, want %q", err, test.code)
			}
			if test.rule.Action == fault.DelayCommit && len(w.read(shard0, horizon)) != 0 {
				t.Error("committed before the delay was over")
			}
			// A plain delay ends when the server sees that the client is gone. Hurried
			// before that, the call would happen.
			end := w.faults.Drain
			if test.rule.Action == fault.Delay {
				end = w.faults.Wait
			}
			if err := end(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(w.read(shard0, horizon)) == 1; got != test.stored {
				t.Errorf("stored: %t, want %t", got, test.stored)
			}
			if hits := w.faults.Rules()[0].Hits; hits != 1 {
				t.Errorf("%d hits", hits)
			}
		})
	}
}

func TestAShortDelayIsOnlyADelay(t *testing.T) {
	w := open(t)
	w.create(1)
	if err := w.faults.Replace([]fault.Rule{{Action: fault.Delay, Operation: "PutRecord", Delay: time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	w.put("k", "x")
	if got := w.read(shard0, horizon); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}
