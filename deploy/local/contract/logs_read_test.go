package contract_test

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

var logReadCases = []logsCase{
	{"events are read in the order of their timestamps, in pages, whatever order they came in", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		for _, first := range []int{2, 0, 1} {
			var events logLines
			for i := range 4 {
				n := first + 3*i
				events = append(events, g.logLine(time.Duration(n)*time.Millisecond, fmt.Sprint(n)))
			}
			g.mustPut(*g.stream, events...)
		}
		var want []string
		for n := range 12 {
			want = append(want, fmt.Sprint(n))
		}
		g.until("events", want, func() []string { return g.read(10_000) })
		c.Equal("by pages of 5", g.read(5), want)
	}},
	// "As long as the nextBackwardToken or nextForwardToken returned is NOT equal to the nextToken that you passed into the API call, there might
	// be more log events available. … The returned tokens are never null."
	{"a forward token stays the same at the end, until there is more", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.mustPut(*g.stream, g.logLine(0, "one"))
		g.until("events", []string{"one"}, func() []string { return g.read(10) })
		in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogStreamName: g.stream, StartFromHead: aws.Bool(true)}
		for {
			out, err := g.GetLogEvents(c.Context(), in)
			c.Must("get log events", err)
			if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
				break
			}
			in.NextToken = out.NextForwardToken
		}
		g.mustPut(*g.stream, g.logLine(time.Second, "two"))
		g.until("behind the end", []string{"two"}, func() (got []string) {
			out, err := g.GetLogEvents(c.Context(), in)
			c.Must("get log events", err)
			for _, e := range out.Events {
				got = append(got, *e.Message)
			}
			return got
		})
	}},
	// "If the value is false, the latest log events are returned first. The default value is false."
	{"without startFromHead the latest events come first, and the backward token leads to the others", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.mustPut(*g.stream, g.logLine(0, "one"), g.logLine(time.Second, "two"), g.logLine(2*time.Second, "three"))
		g.until("events", []string{"one", "two", "three"}, func() []string { return g.read(10) })
		in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogStreamName: g.stream, Limit: aws.Int32(1)}
		var got []string
		for {
			out, err := g.GetLogEvents(c.Context(), in)
			c.Must("get log events", err)
			for _, e := range out.Events {
				got = append(got, *e.Message)
			}
			if in.NextToken != nil && *in.NextToken == *out.NextBackwardToken {
				break
			}
			in.NextToken = out.NextBackwardToken
		}
		c.Equal("events", got, []string{"three", "two", "one"})
	}},
	// startTime: "Events with a timestamp equal to this time or later than this time are included." endTime: "Events with a timestamp equal to or
	// later than this time are not included."; of FilterLogEvents: "Events with a timestamp later than this time are not returned."
	{"a time range begins inclusive; its end is exclusive to GetLogEvents and inclusive to FilterLogEvents", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.mustPut(*g.stream, g.logLine(0, "0"), g.logLine(time.Second, "1"), g.logLine(2*time.Second, "2"))
		g.until("events", []string{"0", "1", "2"}, func() []string { return g.read(10) })
		start, end := aws.Int64(g.now), aws.Int64(g.now+1000)
		out, err := g.GetLogEvents(c.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogStreamName: g.stream, StartTime: start, EndTime: end,
			StartFromHead: aws.Bool(true)})
		c.Must("get log events", err)
		if len(out.Events) != 1 || *out.Events[0].Message != "0" {
			c.Errorf("got %d events, want the first", len(out.Events))
		}
		want := []string{*g.stream + ": 0", *g.stream + ": 1"}
		g.until("search", want, func() []string { return g.search(cloudwatchlogs.FilterLogEventsInput{StartTime: start, EndTime: end}) })
	}},
	// "The returned log events are sorted by event timestamp, the timestamp when the event was ingested by CloudWatch Logs, and the ID of the
	// PutLogEvents request."
	{"a search goes across streams in the order of time", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.createStream("b")
		g.mustPut("b", g.logLine(time.Second, "ERROR two"), g.logLine(3*time.Second, "ok four"))
		g.mustPut(*g.stream, g.logLine(0, "ERROR one"), g.logLine(2*time.Second, "ERROR three"))
		s := *g.stream + ": "
		all := []string{s + "ERROR one", "b: ERROR two", s + "ERROR three", "b: ok four"}
		g.until("all", all, func() []string { return g.search(cloudwatchlogs.FilterLogEventsInput{}) })
		c.Equal("a page each", g.search(cloudwatchlogs.FilterLogEventsInput{Limit: aws.Int32(1)}), all)
		c.Equal("a word", g.search(cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("ERROR")}), all[:3])
		c.Equal("two words", g.search(cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("ERROR two")}), all[1:2])
		c.Equal("one or another", g.search(cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("?one ?four")}), []string{all[0], all[3]})
		c.Equal("without", g.search(cloudwatchlogs.FilterLogEventsInput{FilterPattern: aws.String("ERROR -one")}), all[1:3])
		c.Equal("a stream", g.search(cloudwatchlogs.FilterLogEventsInput{LogStreamNames: []string{"b"}}), []string{all[1], all[3]})
		c.Equal("a prefix", g.search(cloudwatchlogs.FilterLogEventsInput{LogStreamNamePrefix: aws.String("shard")}), []string{all[0], all[2]})
	}},
	// "If you specify a value for both logStreamNamePrefix and logStreamNames, the action returns an InvalidParameterException error."
	{"a search takes names of streams or a prefix, not both", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		_, err := g.FilterLogEvents(c.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: g.name, LogStreamNames: []string{*g.stream}, LogStreamNamePrefix: g.stream})
		c.Code("filter log events", err, "InvalidParameterException")
	}},
	// "You must include either logGroupIdentifier or logGroupName, but not both."
	{"a log group is named once", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		_, err := g.GetLogEvents(c.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogGroupIdentifier: g.name, LogStreamName: g.stream})
		c.Code("get log events", err, "InvalidParameterException")
	}},
	// The service's words: "The log group … is of log-group-class INFREQUENT_ACCESS. FilterLogEvents is not supported for this log class."
	// (InvalidOperationException, as told in https://github.com/aws/karpenter-provider-aws/pull/9567)
	{"the class INFREQUENT_ACCESS is written and not read", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroupAs(c, l, cloudwatchlogs.CreateLogGroupInput{LogGroupClass: types.LogGroupClassInfrequentAccess})
		g.mustPut(*g.stream, g.logLine(0, "x"))
		_, err := g.GetLogEvents(c.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogStreamName: g.stream})
		c.Code("get log events", err, "InvalidOperationException")
		_, err = g.FilterLogEvents(c.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: g.name})
		c.Code("filter log events", err, "InvalidOperationException")
	}},
}
