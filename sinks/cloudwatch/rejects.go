package cloudwatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tributary/schema"
	"tributary/sinks/rejects"
	"tributary/stream"
)

// keep stores the refused events, each once however many log streams refused it, in
// the order of the shard. The bytes of a reject are the event as a record of its own,
// so that a replay knows where the line came from.
func (s *Sink) keep(ctx context.Context, r stream.Range) error {
	var all []refusal
	for _, q := range s.pending.queues {
		all = append(all, q.refused...)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b refusal) int {
		return cmp.Or(cmp.Compare(a.record, b.record), cmp.Compare(a.event, b.event), cmp.Compare(a.reason, b.reason))
	})
	all = slices.CompactFunc(all, func(a, b refusal) bool { return a.record == b.record && a.event == b.event })
	items := make([]rejects.Item, 0, len(all))
	encoder := schema.NewEncoder()
	for _, e := range all {
		b := &s.pending.records[e.record]
		data, err := encoder.Append(nil, &schema.Batch{Epoch: b.Epoch, Lane: b.Lane, Events: b.Events[e.event : e.event+1]})
		if err != nil {
			return fmt.Errorf("encode reject: %w", err)
		}
		items = append(items, rejects.Item{
			Refused: true, Sequence: b.Sequence, Arrival: b.Arrival,
			Reject: schema.Reject{Index: b.Events[e.event].Index, Reason: e.reason, Data: data},
		})
	}
	if err := s.cw.kept.Put(ctx, r, items); err != nil {
		return err
	}
	for i := range items {
		s.cw.metrics.rejected.WithLabelValues(items[i].Reject.Reason).Inc()
	}
	return nil
}
