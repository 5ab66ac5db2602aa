package logtail

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// An Event is one log event.
type Event struct {
	Group, Stream  string
	ID             string // of the service, the same whenever the event is read
	Time, Ingested time.Time
	Message        string
}

// pages is a search in one group, of which one page is held.
type pages struct {
	group  string
	named  bool // itself, and not by a pattern: it has to be there
	in     *cloudwatchlogs.FilterLogEventsInput
	events []types.FilteredLogEvent
	done   bool
	began  time.Time // not after the search did, by the service's clock
}

// maxPage is the most events that the service puts into a page.
const maxPage = 10_000

func (r *Reader) pages(group string, named bool, from time.Time) *pages {
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group}
	if !from.IsZero() {
		in.StartTime = aws.Int64(max(from.UnixMilli(), 0))
	}
	if !r.query.Until.IsZero() {
		// The service's end is inclusive, and its times have whole milliseconds.
		in.EndTime = aws.Int64(max(ceilMilli(r.query.Until)-1, 0))
	}
	if r.query.Filter != "" {
		in.FilterPattern = &r.query.Filter
	}
	if r.query.Streams != "" {
		in.LogStreamNamePrefix = &r.query.Streams
	}
	if r.query.Limit > 0 && r.query.Limit < maxPage {
		in.Limit = aws.Int32(int32(r.query.Limit))
	}
	return &pages{group: group, named: named, in: in}
}

func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// fill reads on until there is an event, or no more.
func (p *pages) fill(ctx context.Context, r *Reader) error {
	for len(p.events) == 0 && !p.done {
		var out *cloudwatchlogs.FilterLogEventsOutput
		var sent time.Time
		err := r.call(ctx, "FilterLogEvents", p.group, func(ctx context.Context) (err error) {
			sent = time.Now()
			out, err = r.client.FilterLogEvents(ctx, p.in, singleAttempt)
			return err
		})
		var gone missing
		switch {
		case errors.As(err, &gone) && !p.named:
			p.done = true // deleted since it was listed
			return nil
		case err != nil:
			return err
		}
		if p.began.IsZero() {
			p.began = sent
			if answered, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
				p.began = answered.Add(-time.Since(sent))
			}
		}
		p.events, p.in.NextToken, p.done = out.Events, out.NextToken, out.NextToken == nil
	}
	return nil
}

func (p *pages) before(o *pages) bool {
	a, b := p.events[0], o.events[0]
	return cmp.Or(cmp.Compare(aws.ToInt64(a.Timestamp), aws.ToInt64(b.Timestamp)), cmp.Compare(aws.ToInt64(a.IngestionTime), aws.ToInt64(b.IngestionTime))) < 0
}

func (p *pages) take() Event {
	e := p.events[0]
	p.events[0] = types.FilteredLogEvent{}
	p.events = p.events[1:]
	return Event{
		Group: p.group, Stream: aws.ToString(e.LogStreamName), ID: aws.ToString(e.EventId), Message: aws.ToString(e.Message),
		Time: time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(), Ingested: time.UnixMilli(aws.ToInt64(e.IngestionTime)).UTC(),
	}
}

// merge gives the events of all searches in the order of time. Of those of one moment
// the group that comes first in all is first.
func (r *Reader) merge(ctx context.Context, all []*pages, each func(*pages, Event) error) error {
	for {
		var next *pages
		for _, p := range all {
			if err := p.fill(ctx, r); err != nil {
				return err
			}
			if len(p.events) > 0 && (next == nil || p.before(next)) {
				next = p
			}
		}
		if next == nil {
			return nil
		}
		if err := each(next, next.take()); err != nil {
			return err
		}
	}
}
