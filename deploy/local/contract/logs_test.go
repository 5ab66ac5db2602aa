package contract_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
)

type logsCase = testCase[*cloudwatchlogs.Client]

// No server that others wrote keeps the limits (moto gives the indices of rejected events wrong and misses four limits, gopherstack has
// none), so the cases quote the documentation: unless they say otherwise, that of the operation in
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/.
var logsSuite = suite[*cloudwatchlogs.Client]{
	service: "Logs",
	client: func(_ *testing.T, cfg aws.Config) *cloudwatchlogs.Client {
		return cloudwatchlogs.NewFromConfig(cfg)
	},
	servers: []server{localServer, awsServer},
	cases:   slices.Concat(logGroupCases, putEventsCases, logReadCases),
}

func TestLogs(t *testing.T) { logsSuite.run(t) }

// A logGroup is one that a case made for itself, with one stream. Its methods end the case when a call fails.
type logGroup struct {
	*check
	*cloudwatchlogs.Client
	name, stream *string
	now          int64
}

func newLogGroup(c *check, client *cloudwatchlogs.Client) logGroup {
	return newLogGroupAs(c, client, cloudwatchlogs.CreateLogGroupInput{})
}

// newLogGroupAs makes the group that in says, which need not name it. It is deleted when the case ends.
func newLogGroupAs(c *check, client *cloudwatchlogs.Client, in cloudwatchlogs.CreateLogGroupInput) logGroup {
	g := logGroup{c, client, aws.String(c.Name()), aws.String("shardId-000000000000"), time.Now().UnixMilli()}
	in.LogGroupName = g.name
	_, err := client.CreateLogGroup(c.Context(), &in)
	c.Must("create log group", err)
	c.Cleanup(func(ctx context.Context) { // what fails here has failed in the case, or the group is gone
		_, _ = client.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: g.name})
	})
	g.createStream(*g.stream)
	return g
}

func (g logGroup) createStream(name string) {
	_, err := g.CreateLogStream(g.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: g.name, LogStreamName: &name})
	g.Must("create log stream", err)
}

func (g logGroup) retain(days int32) {
	_, err := g.PutRetentionPolicy(g.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: g.name, RetentionInDays: &days})
	g.Must("put retention policy", err)
}

func (g logGroup) describe() types.LogGroup {
	out, err := g.DescribeLogGroups(g.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: g.name})
	g.Must("describe log groups", err)
	for _, found := range out.LogGroups {
		if *found.LogGroupName == *g.name {
			return found
		}
	}
	g.Fatalf("log group %s is not listed", *g.name)
	return types.LogGroup{}
}

// logLine is an event at this time beside the case's beginning.
func (g logGroup) logLine(beside time.Duration, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(g.now + beside.Milliseconds()), Message: &message}
}

// put lets the service see what the client would refuse by itself.
func (g logGroup) put(stream string, events ...types.InputLogEvent) (*cloudwatchlogs.PutLogEventsOutput, error) {
	return g.PutLogEvents(g.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: g.name, LogStreamName: &stream, LogEvents: events},
		func(o *cloudwatchlogs.Options) {
			o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
				_, err := s.Initialize.Remove("OperationInputValidation")
				return err
			})
		})
}

func (g logGroup) mustPut(stream string, events ...types.InputLogEvent) {
	out, err := g.put(stream, events...)
	g.Must("put log events", err)
	g.Equal("rejected", indices(out.RejectedLogEventsInfo), "none")
}

// indices reads "too old before, expired before, too new from".
func indices(r *types.RejectedLogEventsInfo) string {
	if r == nil {
		return "none"
	}
	text := func(i *int32) string {
		if i == nil {
			return "-"
		}
		return fmt.Sprint(*i)
	}
	return strings.Join([]string{text(r.TooOldLogEventEndIndex), text(r.ExpiredLogEventEndIndex), text(r.TooNewLogEventStartIndex)}, " ")
}

// until reads again and again: what was put is seen after a while.
func (g logGroup) until(what string, want []string, read func() []string) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		got := read()
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		if len(got) > len(want) || g.Context().Err() != nil {
			g.Fatalf("%s: got %v, want %v", what, got, want)
		}
		g.Sleep(wait)
	}
}

// read gives the messages of all pages from the head.
func (g logGroup) read(limit int32) (messages []string) {
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogStreamName: g.stream, StartFromHead: aws.Bool(true), Limit: &limit}
	for {
		out, err := g.GetLogEvents(g.Context(), in)
		g.Must("get log events", err)
		for _, e := range out.Events {
			messages = append(messages, *e.Message)
		}
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			return messages
		}
		in.NextToken = out.NextForwardToken
	}
}

// search gives "stream: message" of all pages.
func (g logGroup) search(in cloudwatchlogs.FilterLogEventsInput) (found []string) {
	in.LogGroupName = g.name
	for {
		out, err := g.FilterLogEvents(g.Context(), &in)
		g.Must("filter log events", err)
		for _, e := range out.Events {
			found = append(found, *e.LogStreamName+": "+*e.Message)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return found
		}
	}
}
