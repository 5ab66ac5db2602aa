package logs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	client "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"tributary/deploy/local/logs"
)

// search gives "stream message" of all events, or the message alone for the one stream, by pages.
func (w *world) search(in client.FilterLogEventsInput) (found []string) {
	w.t.Helper()
	in.LogGroupName = group
	ids := make(map[string]bool)
	for {
		out, err := w.FilterLogEvents(w.t.Context(), &in)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range out.Events {
			if ids[*e.EventId] {
				w.t.Errorf("event id %s stands twice", *e.EventId)
			}
			ids[*e.EventId] = true
			text := *e.Message
			if *e.LogStreamName != *stream {
				text = *e.LogStreamName + " " + text
			}
			found = append(found, text)
		}
		if in.NextToken = out.NextToken; out.NextToken == nil {
			return found
		}
	}
}

func searched(t *testing.T, change ...func(*logs.Options)) *world {
	w := open(t, change...)
	w.create()
	w.createStream("a1")
	w.createStream("a2")
	w.put(line(now, "0 ERROR disk"), line(now+2, "2 info"))
	for i, name := range []string{"a1", "a2"} {
		w.clock.advance(time.Millisecond)
		if _, err := w.putInto(name, line(now+int64(1+2*i), fmt.Sprint(1+2*i, " ERROR net_1 [x]")), line(now+4, "4 ok")); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func TestASearchGoesAcrossStreamsInTheOrderOfTime(t *testing.T) {
	for _, budget := range []int64{0, 1} {
		w := searched(t, func(o *logs.Options) { o.ScanBytes = budget })
		all := []string{"0 ERROR disk", "a1 1 ERROR net_1 [x]", "2 info", "a2 3 ERROR net_1 [x]", "a1 4 ok", "a2 4 ok"}
		backward := []string{all[5], all[4], all[3], all[2], all[1], all[0]}
		tests := map[string]struct {
			in   client.FilterLogEventsInput
			want []string
		}{
			"all":                    {client.FilterLogEventsInput{}, all},
			"one a page":             {client.FilterLogEventsInput{Limit: aws.Int32(1)}, all},
			"newest first":           {client.FilterLogEventsInput{StartFromHead: aws.Bool(false)}, backward},
			"newest first, by pages": {client.FilterLogEventsInput{StartFromHead: aws.Bool(false), Limit: aws.Int32(2)}, backward},
			"a prefix of streams":    {client.FilterLogEventsInput{LogStreamNamePrefix: aws.String("a")}, []string{all[1], all[3], all[4], all[5]}},
			"streams by name":        {client.FilterLogEventsInput{LogStreamNames: []string{"a2", *stream, "a2"}}, []string{all[0], all[2], all[3], all[5]}},
			"the end is inclusive":   {client.FilterLogEventsInput{StartTime: aws.Int64(now + 1), EndTime: aws.Int64(now + 3)}, all[1:4]},
			"a word":                 {client.FilterLogEventsInput{FilterPattern: aws.String("ERROR")}, []string{all[0], all[1], all[3]}},
			"two words":              {client.FilterLogEventsInput{FilterPattern: aws.String("ERROR net_1")}, []string{all[1], all[3]}},
			"its case counts":        {client.FilterLogEventsInput{FilterPattern: aws.String("error")}, nil},
			"a phrase":               {client.FilterLogEventsInput{FilterPattern: aws.String(`"1 [x]"`)}, []string{all[1], all[3]}},
			"one or another":         {client.FilterLogEventsInput{FilterPattern: aws.String("?disk ?info")}, []string{all[0], all[2]}},
			"without":                {client.FilterLogEventsInput{FilterPattern: aws.String(`ERROR -disk`)}, []string{all[1], all[3]}},
			"one a page of matches":  {client.FilterLogEventsInput{FilterPattern: aws.String("ok"), Limit: aws.Int32(1)}, all[4:]},
		}
		for title, test := range tests {
			t.Run(fmt.Sprint(title, ", budget ", budget), func(t *testing.T) { equal(t, "found", w.search(test.in), test.want) })
		}
	}
}

func TestASearchRefusesWhatItCannotDo(t *testing.T) {
	w := searched(t)
	for title, in := range map[string]client.FilterLogEventsInput{
		"a JSON selector":                        {FilterPattern: aws.String(`{ $.level = "ERROR" }`)},
		"columns":                                {FilterPattern: aws.String(`[ip, user, status=5*]`)},
		"a regular expression":                   {FilterPattern: aws.String(`%ERR.*%`)},
		"a word with signs and no quotes":        {FilterPattern: aws.String(`a.b`)},
		"a quote that is open":                   {FilterPattern: aws.String(`"abc`)},
		"an empty phrase":                        {FilterPattern: aws.String(`""`)},
		"an escape":                              {FilterPattern: aws.String(`"a\b"`)},
		"a phrase and no space behind":           {FilterPattern: aws.String(`"a"b`)},
		"any and all":                            {FilterPattern: aws.String(`?a b`)},
		"a sign alone":                           {FilterPattern: aws.String(`ERROR ? x`)},
		"names and a prefix":                     {LogStreamNames: []string{"a1"}, LogStreamNamePrefix: aws.String("a")},
		"newest first from long ago":             {StartFromHead: aws.Bool(false), StartTime: aws.Int64(1_704_067_199_999)},
		"a token that is none":                   {NextToken: aws.String("abc")},
		"a name and an identifier for the group": {LogGroupIdentifier: group},
	} {
		t.Run(title, func(t *testing.T) {
			in.LogGroupName = group
			_, err := w.FilterLogEvents(t.Context(), &in)
			wantCode(t, err, "InvalidParameterException")
		})
	}
	_, err := w.FilterLogEvents(t.Context(), &client.FilterLogEventsInput{LogGroupName: group, LogStreamNames: []string{"none"}})
	wantCode(t, err, "ResourceNotFoundException")
}
