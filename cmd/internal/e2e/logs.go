package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"golang.org/x/sync/errgroup"
)

// Logs counts the lines that lie in log groups. What was read once may have got
// company before it, so each Refresh reads everything.
type Logs struct {
	client *cloudwatchlogs.Client
	line   func(n int) string

	mu      sync.Mutex
	counts  map[int]int    // number → events, of groups other than for errors
	errors  map[int]int    // number → events, of groups for errors
	equal   map[string]int // events of each text that is sent many times over
	streams int
	faults  []string
}

// NewLogs looks into the groups below /tributary/ for lines as line makes them.
func NewLogs(cfg aws.Config, line func(n int) string) *Logs {
	return &Logs{client: cloudwatchlogs.NewFromConfig(cfg), line: line}
}

// Counts is how many events each line has, as of the last Refresh.
func (l *Logs) Counts() map[int]int { return l.counts }

// Errors is the same of the groups that hold errors apart.
func (l *Logs) Errors() map[int]int { return l.errors }

// Equal tells how often each text is there that was sent many times over.
func (l *Logs) Equal() map[string]int { return l.equal }

// Streams is how many log streams there are.
func (l *Logs) Streams() int { return l.streams }

// Faults are the events that are no line as it was sent.
func (l *Logs) Faults() []string { return l.faults }

// Where knows nothing that Counts does not.
func (l *Logs) Where([]int) ([]string, error) { return nil, nil }

// Refresh reads all log streams.
func (l *Logs) Refresh() error {
	l.counts, l.errors, l.equal, l.faults, l.streams = map[int]int{}, map[int]int{}, map[string]int{}, nil, 0
	ctx := context.Background()
	var reading errgroup.Group
	reading.SetLimit(2)
	groups := cloudwatchlogs.NewDescribeLogGroupsPaginator(l.client, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/tributary/")})
	for groups.HasMorePages() {
		out, err := groups.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range out.LogGroups {
			streams := cloudwatchlogs.NewDescribeLogStreamsPaginator(l.client, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: g.LogGroupName})
			for streams.HasMorePages() {
				page, err := streams.NextPage(ctx)
				if err != nil {
					return err
				}
				for _, s := range page.LogStreams {
					l.streams++
					reading.Go(func() error { return l.read(ctx, *g.LogGroupName, *s.LogStreamName) })
				}
			}
		}
	}
	return reading.Wait()
}

// equalPrefix begins the lines that are equal on purpose.
const equalPrefix = "equal "

func (l *Logs) read(ctx context.Context, group, stream string) error {
	counts := l.counts
	if strings.HasSuffix(group, "/errors") {
		counts = l.errors
	}
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)}
	for {
		out, err := l.client.GetLogEvents(ctx, in)
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, e := range out.Events {
			if strings.HasPrefix(*e.Message, equalPrefix) {
				l.equal[*e.Message]++
				continue
			}
			n := Number(*e.Message)
			if n < 0 || l.line(n) != *e.Message {
				l.faults = append(l.faults, fmt.Sprintf("%s %s has what is not line %d as it was sent: %.80q", group, stream, n, *e.Message))
				continue
			}
			counts[n]++
		}
		l.mu.Unlock()
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			return nil
		}
		in.NextToken = out.NextForwardToken
	}
}
