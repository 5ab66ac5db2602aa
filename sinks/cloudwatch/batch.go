package cloudwatch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/stream"
)

// The service's limits for a batch.
const (
	maxBatchBytes  = 1 << 20 // of messages, and eventOverhead for each
	maxBatchEvents = 10_000
	eventOverhead  = 26
	maxMessage     = maxBatchBytes - eventOverhead
	maxSpan        = int64(24 * time.Hour / time.Millisecond)
)

// entry is an event that waits for its log stream.
type entry struct {
	time    int64 // milliseconds since the Unix epoch
	record  int32 // index into pending.records
	event   int32 // index into the record's events
	service int32 // index into pending.services
	decided bool  // whether it is there already, see Sink.inquire
}

// queue is what of a shard waits for one log stream, in the order in which it is sent.
type queue struct {
	group   string
	entries []entry
	bytes   int64 // of all lines
	done    int   // entries that were accepted or refused
	part    int   // messages of entries[done] that were accepted
	// window is how many of the next messages hold one that the service calls invalid;
	// 0: it has not said so.
	window  int
	refused []refusal
	// there are messages that the log stream has already.
	there map[place]struct{}
}

// refusal is an event that goes to the rejects.
type refusal struct {
	entry
	reason string
}

// has tells whether the log stream has a message already; part counts from 1.
func (q *queue) has(e *entry, part int) bool {
	if q.there == nil {
		return false
	}
	_, there := q.there[place{e.record, e.event, int32(part)}]
	return there
}

func (q *queue) empty() bool { return q.done == len(q.entries) }

// memory is what the next batch takes: its messages, and a request body of about twice
// that.
func (q *queue) memory() int64 {
	return 3 * (min(maxBatchBytes, q.bytes+int64(len(q.entries)-q.done)*eventOverhead) + 4<<10)
}

// sort brings what was not sent yet into the order that the service demands; an event
// of which parts were accepted stays in front. Equal times keep the shard's order.
func (q *queue) sort() {
	rest := q.entries[q.done:]
	if q.part > 0 {
		rest = rest[1:]
	}
	byTime := func(a, b entry) int { return cmp.Compare(a.time, b.time) }
	if !slices.IsSortedFunc(rest, byTime) {
		slices.SortStableFunc(rest, byTime)
	}
}

// refuse sends an event to the rejects instead.
func (q *queue) refuse(e entry, reason string) {
	if n := len(q.refused); n > 0 && q.refused[n-1].record == e.record && q.refused[n-1].event == e.event {
		return // another part of it
	}
	q.refused = append(q.refused, refusal{e, reason})
}

// batch is what one request carries.
type batch struct {
	events []types.InputLogEvent
	at     []int32 // of each event, its index into queue.entries
	sizes  []int32 // of each event, what the service bills
	bytes  int
	// done and part are the queue's behind the batch.
	done, part int

	mended, filled, split, skipped int
}

// assemble takes as many messages from the front of the queue as a request carries.
// They share one text. scratch is given back to be used again.
func (s *Sink) assemble(q *queue, scratch []byte) (*batch, []byte) {
	most := maxBatchEvents
	if q.window > 0 {
		most = max(1, q.window/2)
	}
	var text strings.Builder
	text.Grow(int(min(maxBatchBytes, q.bytes)))
	b := &batch{done: q.done, part: q.part}
	var ends []int
	for ; b.done < len(q.entries); b.done, b.part = b.done+1, 0 {
		e := &q.entries[b.done]
		if len(ends) > 0 && e.time-q.entries[b.at[0]].time >= maxSpan {
			break
		}
		record := &s.pending.records[e.record]
		event := &record.Events[e.event]
		var changed changes
		scratch, changed = s.plan.message(scratch[:0], record, event)
		part := 0
		for message := range s.plan.split(scratch, record, event) {
			part++
			if part <= b.part {
				continue
			}
			if q.has(e, part) {
				b.skipped++
			} else {
				size := len(message) + eventOverhead
				if len(ends) == most || b.bytes+size > maxBatchBytes {
					return b.close(&text, ends, q), scratch
				}
				text.Write(message)
				ends = append(ends, text.Len())
				b.at = append(b.at, int32(b.done))
				b.sizes = append(b.sizes, int32(size))
				b.bytes += size
			}
			b.part = part
		}
		b.count(part, changed)
	}
	return b.close(&text, ends, q), scratch
}

// count notes a line that is whole with this batch.
func (b *batch) count(parts int, changed changes) {
	if parts > 1 {
		b.split++
	}
	if changed&mended != 0 {
		b.mended++
	}
	if changed&filled != 0 {
		b.filled++
	}
}

// close makes the events of the text.
func (b *batch) close(text *strings.Builder, ends []int, q *queue) *batch {
	all, from := text.String(), 0
	messages := make([]string, len(ends))
	b.events = make([]types.InputLogEvent, len(ends))
	for i, end := range ends {
		messages[i] = all[from:end]
		b.events[i] = types.InputLogEvent{Message: &messages[i], Timestamp: &q.entries[b.at[i]].time}
		from = end
	}
	return b
}

// The reasons of rejects. They are constant, so that they may label a metric.
const (
	reasonTooOld  = "older than CloudWatch Logs takes (14 days)"
	reasonExpired = "older than the log group's retention"
	reasonTooNew  = "newer than CloudWatch Logs takes (2 hours ahead)"
	reasonInvalid = "invalid, says CloudWatch Logs"
	reasonParked  = "log stream parked after "
)

// accept moves the queue behind a batch that was answered. Its events are stored but
// those that the answer tells: before the ends, from the start on.
func (q *queue) accept(b *batch, info *types.RejectedLogEventsInfo) {
	if info != nil {
		old, expired, start := 0, 0, len(b.events)
		if info.TooOldLogEventEndIndex != nil {
			old = int(*info.TooOldLogEventEndIndex)
		}
		if info.ExpiredLogEventEndIndex != nil {
			expired = int(*info.ExpiredLogEventEndIndex)
		}
		if info.TooNewLogEventStartIndex != nil {
			start = int(*info.TooNewLogEventStartIndex)
		}
		for i, at := range b.at {
			switch {
			case i < old:
				q.refuse(q.entries[at], reasonTooOld)
			case i < expired:
				q.refuse(q.entries[at], reasonExpired)
			case i >= start:
				q.refuse(q.entries[at], reasonTooNew)
			default:
				continue
			}
			b.sizes[i] = 0 // what is not stored is not billed
		}
	}
	q.done, q.part = b.done, b.part
	q.window = max(0, q.window-len(b.events))
}

// narrow closes in on the event that made a batch invalid: halves are tried until it
// is alone, and goes to the rejects.
func (q *queue) narrow(b *batch) {
	if q.window = len(b.events); q.window > 1 {
		return
	}
	q.window = 0
	at := int(b.at[0])
	q.refuse(q.entries[at], reasonInvalid)
	q.done, q.part = at+1, 0
}

// park gives all that is left to the rejects and tells how much that was.
func (q *queue) park(reason string) int {
	rest := q.entries[q.done:]
	for _, e := range rest {
		q.refuse(e, reason)
	}
	q.done, q.part, q.window = len(q.entries), 0, 0
	return len(rest)
}

// key names a log stream.
type key struct {
	group string
	shard stream.ShardID
}
