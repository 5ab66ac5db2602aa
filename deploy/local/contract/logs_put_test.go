package contract_test

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

const logDay = 24 * time.Hour

// accepts is a case about one call: its events are all stored, or all refused.
func accepts(yes bool, events func(logGroup) []types.InputLogEvent) func(*check, *cloudwatchlogs.Client) {
	return func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		if yes {
			g.mustPut(*g.stream, events(g)...)
			return
		}
		_, err := g.put(*g.stream, events(g)...)
		c.Code("put log events", err, "InvalidParameterException")
	}
}

// rejects is a case about one call with events out of time.
func rejects(retention int32, want string, events func(logGroup) []types.InputLogEvent) func(*check, *cloudwatchlogs.Client) {
	return func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		if retention > 0 {
			g.retain(retention)
		}
		out, err := g.put(*g.stream, events(g)...)
		c.Must("put log events", err)
		c.Equal("rejected", indices(out.RejectedLogEventsInfo), want)
	}
}

type logLines = []types.InputLogEvent

var putEventsCases = []logsCase{
	// "The maximum number of log events in a batch is 10,000."
	{"a batch has at most 10,000 events", accepts(true, func(g logGroup) logLines { return slices.Repeat(logLines{g.logLine(0, "x")}, 10_000) })},
	{"a batch of 10,001 events is refused", accepts(false, func(g logGroup) logLines { return slices.Repeat(logLines{g.logLine(0, "x")}, 10_001) })},
	{"a batch of no events is refused", accepts(false, func(logGroup) logLines { return logLines{} })},
	// "The maximum batch size is 1,048,576 bytes. This size is calculated as the sum of all event messages in UTF-8, plus 26 bytes for each log
	// event." "Each log event can be no larger than 1 MB."
	{"a batch of 1,048,576 bytes with 26 for each event is taken", accepts(true, func(g logGroup) logLines {
		return logLines{g.logLine(0, strings.Repeat("x", 1<<20-52-3)), g.logLine(0, "xxx")}
	})},
	{"a batch of a byte more is refused", accepts(false, func(g logGroup) logLines {
		return logLines{g.logLine(0, strings.Repeat("x", 1<<20-52-3)), g.logLine(0, "xxxx")}
	})},
	{"an event of 1,048,550 bytes is taken", accepts(true, func(g logGroup) logLines { return logLines{g.logLine(0, strings.Repeat("x", 1<<20-26))} })},
	{"an event of 1,048,551 bytes is refused", accepts(false, func(g logGroup) logLines { return logLines{g.logLine(0, strings.Repeat("x", 1<<20-25))} })},
	{"an event's bytes are those of its UTF-8", accepts(false, func(g logGroup) logLines { return logLines{g.logLine(0, strings.Repeat("é", 1<<19-12))} })},
	// InputLogEvent, message: "Length Constraints: Minimum length of 1."
	{"an empty message is refused", accepts(false, func(g logGroup) logLines { return logLines{g.logLine(0, "x"), g.logLine(0, "")} })},
	// "A batch of log events in a single request must be in a chronological order. Otherwise, the operation fails."
	{"a batch out of order is refused", accepts(false, func(g logGroup) logLines { return logLines{g.logLine(0, "x"), g.logLine(-time.Millisecond, "x")} })},
	// "For valid events (within 14 days in the past to 2 hours in future), the time span in a single batch cannot exceed 24 hours. Otherwise,
	// the operation fails."
	{"a batch that spans 24 hours is taken", accepts(true, func(g logGroup) logLines { return logLines{g.logLine(-logDay, "x"), g.logLine(0, "x")} })},
	{"a batch that spans a millisecond more is refused", accepts(false, func(g logGroup) logLines {
		return logLines{g.logLine(-logDay-time.Millisecond, "x"), g.logLine(0, "x")}
	})},
	{"events that are rejected have no part in the span", rejects(0, "1 - -", func(g logGroup) logLines {
		return logLines{g.logLine(-20*logDay, "x"), g.logLine(-logDay, "x"), g.logLine(0, "x")}
	})},
	// "Events older than 14 days or preceding the log group's retention period are rejected while processing remaining valid events."
	// RejectedLogEventsInfo, tooOldLogEventEndIndex: "The index of the last log event that is too old. This field is exclusive."
	{"events older than 14 days are rejected, up to an exclusive index", rejects(0, "2 - -", func(g logGroup) logLines {
		return logLines{g.logLine(-15*logDay, "x"), g.logLine(-15*logDay, "x"), g.logLine(0, "x")}
	})},
	// "Events more than 2 hours in the future are rejected while processing remaining valid events." tooNewLogEventStartIndex: "The index
	// of the first log event that is too new. This field is inclusive."
	{"events more than 2 hours ahead are rejected, from an inclusive index", rejects(0, "- - 1", func(g logGroup) logLines {
		return logLines{g.logLine(0, "x"), g.logLine(3*time.Hour, "x"), g.logLine(3*time.Hour, "x")}
	})},
	{"events older than the retention are rejected as expired", rejects(3, "- 1 -", func(g logGroup) logLines {
		return logLines{g.logLine(-4*logDay, "x"), g.logLine(0, "x")}
	})},
	{"what is not rejected of a call is stored", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		out, err := g.put(*g.stream, g.logLine(-15*logDay, "too old"), g.logLine(0, "fine"), g.logLine(3*time.Hour, "too new"))
		c.Must("put log events", err)
		c.Equal("rejected", indices(out.RejectedLogEventsInfo), "1 - 2")
		g.until("events", []string{"fine"}, func() []string { return g.read(10) })
	}},
	// "The sequence token is now ignored in PutLogEvents actions. PutLogEvents actions are always accepted and never return
	// InvalidSequenceTokenException or DataAlreadyAcceptedException even if the sequence token is not valid."
	{"a sequence token is ignored, and a call made twice stores twice", func(c *check, l *cloudwatchlogs.Client) {
		g := newLogGroup(c, l)
		for range 2 {
			_, err := g.PutLogEvents(c.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: g.name, LogStreamName: g.stream,
				LogEvents: logLines{g.logLine(0, "same")}, SequenceToken: aws.String("4900")})
			c.Must("put log events", err)
		}
		g.until("events", []string{"same", "same"}, func() []string { return g.read(10) })
	}},
}
