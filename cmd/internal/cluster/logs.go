package cluster

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"golang.org/x/sync/errgroup"
)

// readers is how many log streams are read at a time. Workers that take over a shard
// read log streams too, within the same quota.
const readers = 2

// EachLogPage reads all log streams of the groups below /tributary/ from their heads
// and hands out their events, of several streams at once. It returns how many streams
// there are.
func (c *Cluster) EachLogPage(ctx context.Context, page func(group, stream string, events []types.OutputLogEvent) error) (streams int, err error) {
	client := cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + c.AWS), Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(readers)
	groups := cloudwatchlogs.NewDescribeLogGroupsPaginator(client, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/tributary/")})
	for groups.HasMorePages() {
		out, err := groups.NextPage(ctx)
		if err != nil {
			return 0, errors.Join(err, reading.Wait())
		}
		for _, g := range out.LogGroups {
			all := cloudwatchlogs.NewDescribeLogStreamsPaginator(client, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g.LogGroupName})
			for all.HasMorePages() {
				out, err := all.NextPage(ctx)
				if err != nil {
					return 0, errors.Join(err, reading.Wait())
				}
				for _, s := range out.LogStreams {
					streams++
					reading.Go(func() error { return eachPage(ctx, client, *g.LogGroupName, *s.LogStreamName, page) })
				}
			}
		}
	}
	return streams, reading.Wait()
}

// eachPage reads one log stream. A page may be empty while there is more.
func eachPage(ctx context.Context, client *cloudwatchlogs.Client, group, stream string, page func(group, stream string, events []types.OutputLogEvent) error) error {
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)}
	for {
		out, err := client.GetLogEvents(ctx, in)
		if err != nil {
			return err
		}
		if err := page(group, stream, out.Events); err != nil {
			return err
		}
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			return nil
		}
		in.NextToken = out.NextForwardToken
	}
}
