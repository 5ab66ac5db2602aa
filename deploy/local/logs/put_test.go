package logs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
)

const (
	hour = int64(time.Hour / time.Millisecond)
	day  = 24 * hour
)

func repeat(n int, e types.InputLogEvent) (all []types.InputLogEvent) {
	for range n {
		all = append(all, e)
	}
	return all
}

func TestABatchIsHeldToEveryLimit(t *testing.T) {
	const whole = 1 << 20
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct {
		events []types.InputLogEvent
		wrong  string // part of the message; empty: accepted
	}{
		"10,000 events":                        {repeat(10_000, line(now, "x")), ""},
		"10,001 events":                        {repeat(10_001, line(now, "x")), "more than 10000"},
		"no event":                             {[]types.InputLogEvent{}, "0 members"},
		"1,048,576 bytes with 26 for an event": {[]types.InputLogEvent{line(now, x(whole-26))}, ""},
		"one byte more in one event":           {[]types.InputLogEvent{line(now, x(whole-25))}, "Log event too large: 1048577 bytes exceeds limit of 1048576"},
		"1,048,576 bytes in two events":        {[]types.InputLogEvent{line(now, x(whole-53)), line(now, "x")}, ""},
		"one byte more in two events":          {[]types.InputLogEvent{line(now, x(whole-53)), line(now, "xy")}, "Upload too large: 1048577 bytes exceeds limit of 1048576"},
		"bytes are those of UTF-8":             {[]types.InputLogEvent{line(now, strings.Repeat("é", whole/2-12))}, "Log event too large"},
		"bytes are not those of JSON":          {[]types.InputLogEvent{line(now, strings.Repeat("\x01", whole-26))}, ""},
		"an empty message":                     {[]types.InputLogEvent{line(now, "x"), line(now, "")}, "null or empty"},
		"a missing message":                    {[]types.InputLogEvent{{Timestamp: aws.Int64(now)}}, "null or empty"},
		"a negative timestamp":                 {[]types.InputLogEvent{line(-1, "x")}, "timestamp"},
		"out of order":                         {[]types.InputLogEvent{line(now, "x"), line(now-1, "x")}, "chronological order"},
		"a span of 24 hours":                   {[]types.InputLogEvent{line(now-day, "x"), line(now, "x")}, ""},
		"a millisecond more":                   {[]types.InputLogEvent{line(now-day-1, "x"), line(now, "x")}, "span more than 24 hours"},
		"two hours ahead":                      {[]types.InputLogEvent{line(now+2*hour, "x")}, ""},
		"fourteen days ago":                    {[]types.InputLogEvent{line(now-14*day, "x")}, ""},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			w := open(t)
			w.create()
			_, err := w.PutLogEvents(t.Context(), &client.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: test.events,
				SequenceToken: aws.String("49000 is ignored")}, unchecked)
			if test.wrong == "" {
				if got := len(w.readAll()); err != nil || got != len(test.events) {
					t.Errorf("%d events stored, %v", got, err)
				}
				return
			}
			wantCode(t, err, "InvalidParameterException")
			if !strings.Contains(fmt.Sprint(err), test.wrong) {
				t.Errorf("got %v, want %q", err, test.wrong)
			}
			if got := w.readAll(); len(got) != 0 {
				t.Errorf("%d events of a refused call were stored", len(got))
			}
		})
	}
}

// unchecked lets the endpoint see what the client would refuse by itself.
func unchecked(o *client.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		_, err := s.Initialize.Remove("OperationInputValidation")
		return err
	})
}

func TestEventsOutOfTimeAreRejectedByIndexAndTheOthersStored(t *testing.T) {
	old, expired, fine, ahead := line(now-14*day-1, "too old"), line(now-3*day-1, "expired"), line(now, "fine"), line(now+2*hour+1, "too new")
	type events = []types.InputLogEvent
	tests := map[string]struct {
		retention int32
		events    events
		rejected  string // tooOldEnd, expiredEnd, tooNewStart
		stored    int
	}{
		"none":                               {0, events{fine, fine}, "", 2},
		"the first is too old":               {0, events{old, fine}, "1 - -", 1},
		"two are too old":                    {0, events{old, old, fine}, "2 - -", 1},
		"the last is too new":                {0, events{fine, ahead}, "- - 1", 1},
		"two are too new":                    {0, events{fine, fine, ahead, ahead}, "- - 2", 2},
		"both ends":                          {0, events{old, fine, ahead}, "1 - 2", 1},
		"all are too old":                    {0, events{old, old}, "2 - -", 0},
		"all are too new":                    {0, events{ahead, ahead}, "- - 0", 0},
		"nothing in between, however far":    {0, events{old, ahead}, "1 - 1", 0},
		"the first has expired":              {3, events{expired, fine}, "- 1 -", 1},
		"too old, then expired":              {3, events{old, expired, fine}, "1 2 -", 1},
		"too old counts as that alone":       {3, events{old, fine}, "1 - -", 1},
		"all three":                          {3, events{old, expired, expired, fine, ahead}, "1 3 4", 1},
		"a long retention makes none of it":  {400, events{old, fine}, "1 - -", 1},
		"at the retention's edge":            {3, events{line(now-3*day, "edge"), line(now-3*day, "edge")}, "", 2},
		"rejected events have no part in it": {0, events{old, line(now-day, "a"), fine, ahead}, "1 - 3", 2},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			w := open(t)
			w.create()
			if test.retention > 0 {
				w.retain(test.retention)
			}
			out, err := w.putInto(*stream, test.events...)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if r := out.RejectedLogEventsInfo; r != nil {
				got = fmt.Sprint(index(r.TooOldLogEventEndIndex), " ", index(r.ExpiredLogEventEndIndex), " ", index(r.TooNewLogEventStartIndex))
			}
			if got != test.rejected {
				t.Errorf("rejected %q, want %q", got, test.rejected)
			}
			if n := len(w.readAll()); n != test.stored {
				t.Errorf("%d stored, want %d", n, test.stored)
			}
		})
	}
}

func index(i *int32) string {
	if i == nil {
		return "-"
	}
	return fmt.Sprint(*i)
}

func (w *world) retain(days int32) {
	w.t.Helper()
	if _, err := w.PutRetentionPolicy(w.t.Context(), &client.PutRetentionPolicyInput{LogGroupName: group, RetentionInDays: &days}); err != nil {
		w.t.Fatal(err)
	}
}

func TestACallMadeTwiceStoresTwice(t *testing.T) {
	w := open(t)
	w.create()
	w.put(line(now, "same"))
	w.put(line(now, "same"))
	equal(t, "events", w.readAll(), []string{"same", "same"})
}

func TestParametersThatAreNotSupportedAreRefusedByName(t *testing.T) {
	w := open(t)
	w.create()
	ctx := t.Context()
	calls := map[string]func() error{
		"entity": func() error {
			_, err := w.PutLogEvents(ctx, &client.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: []types.InputLogEvent{line(now, "x")},
				Entity: &types.Entity{KeyAttributes: map[string]string{"Type": "Service"}}})
			return err
		},
		"tags": func() error {
			_, err := w.CreateLogGroup(ctx, &client.CreateLogGroupInput{LogGroupName: aws.String("other"), Tags: map[string]string{"a": "b"}})
			return err
		},
		"deletionProtectionEnabled": func() error {
			_, err := w.CreateLogGroup(ctx, &client.CreateLogGroupInput{LogGroupName: aws.String("other"), DeletionProtectionEnabled: aws.Bool(true)})
			return err
		},
		"DELIVERY": func() error {
			_, err := w.CreateLogGroup(ctx, &client.CreateLogGroupInput{LogGroupName: aws.String("other"), LogGroupClass: types.LogGroupClassDelivery})
			return err
		},
		"unmask": func() error {
			_, err := w.GetLogEvents(ctx, &client.GetLogEventsInput{LogGroupName: group, LogStreamName: stream, Unmask: true})
			return err
		},
		"includeLinkedAccounts": func() error {
			_, err := w.DescribeLogGroups(ctx, &client.DescribeLogGroupsInput{IncludeLinkedAccounts: aws.Bool(true)})
			return err
		},
	}
	for name, call := range calls {
		err := call()
		wantCode(t, err, "InvalidParameterException")
		if !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	_, err := w.StartQuery(ctx, &client.StartQueryInput{LogGroupName: group, StartTime: aws.Int64(1), EndTime: aws.Int64(2), QueryString: aws.String("x")})
	wantCode(t, err, "UnknownOperationException")
}
