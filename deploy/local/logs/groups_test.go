package logs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/logs"
)

func (w *world) groups(in client.DescribeLogGroupsInput) (all []types.LogGroup) {
	w.t.Helper()
	for {
		out, err := w.DescribeLogGroups(w.t.Context(), &in)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, out.LogGroups...)
		if in.NextToken = out.NextToken; out.NextToken == nil {
			return all
		}
	}
}

func (w *world) streams(in client.DescribeLogStreamsInput) (names []string) {
	w.t.Helper()
	in.LogGroupName = group
	for {
		out, err := w.DescribeLogStreams(w.t.Context(), &in)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range out.LogStreams {
			names = append(names, *s.LogStreamName)
		}
		if in.NextToken = out.NextToken; out.NextToken == nil {
			return names
		}
	}
}

func TestGroupsAreListedByNameAndPages(t *testing.T) {
	w := open(t)
	for _, name := range []string{"b/x", "a/x", "a/y", "c"} {
		in := &client.CreateLogGroupInput{LogGroupName: &name}
		if name == "a/y" {
			in.LogGroupClass, in.KmsKeyId = types.LogGroupClassInfrequentAccess, aws.String("arn:aws:kms:us-east-1:1:key/k")
		}
		if _, err := w.CreateLogGroup(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	w.reopen()
	for title, test := range map[string]struct {
		in   client.DescribeLogGroupsInput
		want []string
	}{
		"all":        {client.DescribeLogGroupsInput{}, []string{"a/x", "a/y", "b/x", "c"}},
		"one a page": {client.DescribeLogGroupsInput{Limit: aws.Int32(1)}, []string{"a/x", "a/y", "b/x", "c"}},
		"by prefix":  {client.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("a/")}, []string{"a/x", "a/y"}},
		"by pattern": {client.DescribeLogGroupsInput{LogGroupNamePattern: aws.String("/x")}, []string{"a/x", "b/x"}},
		"by class":   {client.DescribeLogGroupsInput{LogGroupClass: types.LogGroupClassInfrequentAccess}, []string{"a/y"}},
	} {
		var names []string
		for _, g := range w.groups(test.in) {
			names = append(names, *g.LogGroupName)
		}
		equal(t, title, names, test.want)
	}
	g := w.groups(client.DescribeLogGroupsInput{})[1]
	if *g.KmsKeyId != "arn:aws:kms:us-east-1:1:key/k" || g.LogGroupClass != types.LogGroupClassInfrequentAccess || g.RetentionInDays != nil ||
		*g.LogGroupArn != "arn:aws:logs:us-east-1:000000000000:log-group:a/y" || *g.Arn != *g.LogGroupArn+":*" {
		t.Errorf("got %+v", g)
	}
}

func TestNamesAndValuesAreHeldToTheirRules(t *testing.T) {
	w := open(t)
	w.create()
	ctx := t.Context()
	for _, name := range []string{"a b", "a:b", "a*", strings.Repeat("x", 513), "aws/x", "ü"} {
		_, err := w.CreateLogGroup(ctx, &client.CreateLogGroupInput{LogGroupName: &name})
		wantCode(t, err, "InvalidParameterException")
	}
	for _, name := range []string{"a:b", "a*b", strings.Repeat("ü", 513)} {
		_, err := w.CreateLogStream(ctx, &client.CreateLogStreamInput{LogGroupName: group, LogStreamName: &name})
		wantCode(t, err, "InvalidParameterException")
	}
	for _, name := range []string{strings.Repeat("ü", 512), "../..", "a/b"} {
		w.createStream(name)
	}
	_, err := w.CreateLogGroup(ctx, &client.CreateLogGroupInput{LogGroupName: group})
	wantCode(t, err, "ResourceAlreadyExistsException")
	_, err = w.CreateLogStream(ctx, &client.CreateLogStreamInput{LogGroupName: group, LogStreamName: stream})
	wantCode(t, err, "ResourceAlreadyExistsException")
	for _, days := range []int32{0, 2, 10_000} {
		_, err := w.PutRetentionPolicy(ctx, &client.PutRetentionPolicyInput{LogGroupName: group, RetentionInDays: &days})
		wantCode(t, err, "InvalidParameterException")
	}
	w.retain(3653)
	if _, err := w.DeleteRetentionPolicy(ctx, &client.DeleteRetentionPolicyInput{LogGroupName: group}); err != nil {
		t.Fatal(err)
	}
	if g := w.groups(client.DescribeLogGroupsInput{}); g[0].RetentionInDays != nil {
		t.Errorf("retention %d after its deletion", *g[0].RetentionInDays)
	}
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	w := open(t)
	w.create()
	ctx, none := t.Context(), aws.String("none")
	for title, call := range map[string]func() error{
		"delete group": func() error {
			_, err := w.DeleteLogGroup(ctx, &client.DeleteLogGroupInput{LogGroupName: none})
			return err
		},
		"put retention": func() error {
			_, err := w.PutRetentionPolicy(ctx, &client.PutRetentionPolicyInput{LogGroupName: none, RetentionInDays: aws.Int32(1)})
			return err
		},
		"create stream": func() error {
			_, err := w.CreateLogStream(ctx, &client.CreateLogStreamInput{LogGroupName: none, LogStreamName: none})
			return err
		},
		"delete stream": func() error {
			_, err := w.DeleteLogStream(ctx, &client.DeleteLogStreamInput{LogGroupName: group, LogStreamName: none})
			return err
		},
		"describe streams": func() error {
			_, err := w.DescribeLogStreams(ctx, &client.DescribeLogStreamsInput{LogGroupName: none})
			return err
		},
		"put": func() error { _, err := w.putInto("none", line(now, "x")); return err },
		"get": func() error {
			_, err := w.GetLogEvents(ctx, &client.GetLogEventsInput{LogGroupName: group, LogStreamName: none})
			return err
		},
		"filter": func() error {
			_, err := w.FilterLogEvents(ctx, &client.FilterLogEventsInput{LogGroupName: none})
			return err
		},
	} {
		t.Run(title, func(t *testing.T) { wantCode(t, call(), "ResourceNotFoundException") })
	}
}

func TestStreamsAreListedByNameOrByTheirLastEvent(t *testing.T) {
	w := open(t)
	w.create()
	for i, name := range []string{"a", "b", "c"} {
		w.createStream(name)
		if i > 0 {
			if _, err := w.putInto(name, line(now-int64(i), "x"), line(now+10-int64(i), "y")); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.reopen()
	s := *stream
	last := types.OrderByLastEventTime
	for title, test := range map[string]struct {
		in   client.DescribeLogStreamsInput
		want []string
	}{
		"all":                   {client.DescribeLogStreamsInput{}, []string{"a", "b", "c", s}},
		"one a page":            {client.DescribeLogStreamsInput{Limit: aws.Int32(1)}, []string{"a", "b", "c", s}},
		"descending":            {client.DescribeLogStreamsInput{Descending: aws.Bool(true), Limit: aws.Int32(3)}, []string{s, "c", "b", "a"}},
		"by prefix":             {client.DescribeLogStreamsInput{LogStreamNamePrefix: aws.String("s")}, []string{s}},
		"by last event":         {client.DescribeLogStreamsInput{OrderBy: last, Limit: aws.Int32(1)}, []string{"a", s, "c", "b"}},
		"by last event, newest": {client.DescribeLogStreamsInput{OrderBy: last, Descending: aws.Bool(true)}, []string{"b", "c", s, "a"}},
	} {
		equal(t, title, w.streams(test.in), test.want)
	}
	_, err := w.DescribeLogStreams(t.Context(), &client.DescribeLogStreamsInput{LogGroupName: group, OrderBy: last, LogStreamNamePrefix: aws.String("a")})
	wantCode(t, err, "InvalidParameterException")
	out, err := w.DescribeLogStreams(t.Context(), &client.DescribeLogStreamsInput{LogGroupIdentifier: aws.String("arn:aws:logs:us-east-1:1:log-group:" + *group + ":*"),
		LogStreamNamePrefix: aws.String("b")})
	if err != nil {
		t.Fatal(err)
	}
	if d := out.LogStreams[0]; *d.FirstEventTimestamp != now-1 || *d.LastEventTimestamp != now+9 || *d.LastIngestionTime != now {
		t.Errorf("got %+v", d)
	}
}

func TestRatesThrottleWithLimits(t *testing.T) {
	w := open(t, func(o *logs.Options) { o.Limits = true })
	w.create()
	search := func() error {
		_, err := w.FilterLogEvents(t.Context(), &client.FilterLogEventsInput{LogGroupName: group})
		return err
	}
	for range 5 {
		if err := search(); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, search(), "ThrottlingException")
	w.clock.advance(time.Second)
	if err := search(); err != nil {
		t.Error(err)
	}
	for i := range 49 {
		w.createStream(fmt.Sprint(i))
	}
	w.createStream("after a second there is room for one more")
	_, err := w.CreateLogStream(t.Context(), &client.CreateLogStreamInput{LogGroupName: group, LogStreamName: aws.String("fifty-first")})
	wantCode(t, err, "ThrottlingException")
}

func TestFaultsBefallCalls(t *testing.T) {
	for title, test := range map[string]struct {
		action fault.Action
		code   string // "": no answer of the service
		stored int
	}{
		"throttle":                         {fault.Throttle, "ThrottlingException", 0},
		"error":                            {fault.Error, "InternalFailure", 0},
		"a lost response leaves the event": {fault.LoseResponse, "", 1},
	} {
		t.Run(title, func(t *testing.T) {
			w := open(t)
			w.create()
			if err := w.faults.Replace([]fault.Rule{{Service: "logs", Operation: "PutLogEvents", Action: test.action}}); err != nil {
				t.Fatal(err)
			}
			_, err := w.putInto(*stream, line(now, "x"))
			if test.code != "" {
				wantCode(t, err, test.code)
			} else if err == nil {
				t.Error("the response was not lost")
			}
			if got := len(w.readAll()); got != test.stored {
				t.Errorf("%d stored, want %d", got, test.stored)
			}
		})
	}
}
