package contract_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

var logGroupCases = []logsCase{
	{"a log group is described as it was created, and its events do not expire", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l).describe()
		if g.RetentionInDays != nil || g.LogGroupClass != types.LogGroupClassStandard || !strings.HasSuffix(*g.Arn, ":log-group:"+*g.LogGroupName+":*") ||
			*g.Arn != *g.LogGroupArn+":*" {
			c.Errorf("got %+v", g)
		}
	}},
	{"a log group keeps its retention until that is deleted", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.retain(30)
		c.Equal("retention", *g.describe().RetentionInDays, 30)
		_, err := g.DeleteRetentionPolicy(c.Context(), &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: g.name})
		c.Must("delete retention policy", err)
		if days := g.describe().RetentionInDays; days != nil {
			c.Errorf("retention %d after its deletion", *days)
		}
	}},
	// "Possible values are: 1, 3, 5, 7, 14, 30, 60, …, and 3653."
	{"a retention of 2 days is not valid", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		_, err := g.PutRetentionPolicy(c.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: g.name, RetentionInDays: aws.Int32(2)})
		c.Code("put retention policy", err, "InvalidParameterException")
	}},
	{"a log group and a log stream that exist are not made again", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		_, err := g.CreateLogGroup(c.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: g.name})
		c.Code("create log group", err, "ResourceAlreadyExistsException")
		_, err = g.CreateLogStream(c.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: g.name, LogStreamName: g.stream})
		c.Code("create log stream", err, "ResourceAlreadyExistsException")
	}},
	{"what does not exist is not found", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		_, err := g.put("none", g.logLine(0, "x"))
		c.Code("put log events", err, "ResourceNotFoundException")
		_, err = g.GetLogEvents(c.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: g.name, LogStreamName: aws.String("none")})
		c.Code("get log events", err, "ResourceNotFoundException")
		g.name = aws.String(c.Name())
		_, err = g.put(*g.stream, g.logLine(0, "x"))
		c.Code("put log events", err, "ResourceNotFoundException")
		_, err = g.CreateLogStream(c.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: g.name, LogStreamName: g.stream})
		c.Code("create log stream", err, "ResourceNotFoundException")
		_, err = g.DeleteLogGroup(c.Context(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: g.name})
		c.Code("delete log group", err, "ResourceNotFoundException")
	}},
	// "Don't use ':' (colon) or '*' (asterisk) characters." "Log group names consist of the following characters: …"
	{"names have only the characters that are documented", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		for _, name := range []string{"a:b", "a*b", strings.Repeat("x", 513)} {
			_, err := g.CreateLogStream(c.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: g.name, LogStreamName: &name})
			c.Code("create log stream "+name, err, "InvalidParameterException")
		}
		_, err := g.CreateLogGroup(c.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("a b")})
		c.Code("create log group", err, "InvalidParameterException")
	}},
	{"log streams are listed by name, by prefix and by pages", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.createStream("b")
		g.createStream("a")
		list := func(in cloudwatchlogs.DescribeLogStreamsInput) (names []string) {
			for in.LogGroupName = g.name; ; {
				out, err := g.DescribeLogStreams(c.Context(), &in)
				c.Must("describe log streams", err)
				for _, s := range out.LogStreams {
					names = append(names, *s.LogStreamName)
				}
				if in.NextToken = out.NextToken; in.NextToken == nil {
					return names
				}
			}
		}
		c.Equal("all", list(cloudwatchlogs.DescribeLogStreamsInput{Limit: aws.Int32(1)}), []string{"a", "b", *g.stream})
		c.Equal("descending", list(cloudwatchlogs.DescribeLogStreamsInput{Descending: aws.Bool(true)}), []string{*g.stream, "b", "a"})
		c.Equal("by prefix", list(cloudwatchlogs.DescribeLogStreamsInput{LogStreamNamePrefix: aws.String("b")}), []string{"b"})
	}},
	// "If you order the results by event time, you cannot specify the logStreamNamePrefix parameter."
	{"log streams are not listed by event time and prefix", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		_, err := g.DescribeLogStreams(c.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g.name, OrderBy: types.OrderByLastEventTime,
			LogStreamNamePrefix: aws.String("a")})
		c.Code("describe log streams", err, "InvalidParameterException")
	}},
	{"a deleted log stream made anew is empty", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		g.mustPut(*g.stream, g.logLine(0, "old"))
		_, err := g.DeleteLogStream(c.Context(), &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: g.name, LogStreamName: g.stream})
		c.Must("delete log stream", err)
		_, err = g.put(*g.stream, g.logLine(0, "x"))
		c.Code("put log events", err, "ResourceNotFoundException")
		g.createStream(*g.stream)
		g.mustPut(*g.stream, g.logLine(0, "new"))
		g.until("events", []string{"new"}, func() []string { return g.read(10) })
	}},
}
