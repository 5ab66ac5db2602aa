package treasuredata

import (
	"context"
	"fmt"

	"tributary/schema"
	"tributary/sinks/held"
	"tributary/sinks/rejects"
)

// The reasons of rejects. They label metrics and are stored.
const (
	reasonTooLarge = "too large for treasure data"
	reasonRefused  = "refused by treasure data"
	reasonConflict = "id in conflict at treasure data"
)

func (p *part) reason() string {
	switch p.verdict {
	case tooLarge:
		return reasonTooLarge
	case conflict:
		return reasonConflict
	}
	return reasonRefused
}

// asideBytes of events go to the reject store at a time.
const asideBytes = 8 << 20

// setAside stores the events that TD does not take, each as a record of its own, in
// the order of tables and rows.
func (s *Sink) setAside(ctx context.Context) error {
	var (
		lines   *held.Loader
		encoder *schema.Encoder
		items   []rejects.Item
		size    int
	)
	for _, d := range s.attempt.deliveries {
		for _, p := range d.parts {
			if p.aside == "" {
				continue
			}
			if lines == nil {
				lines, encoder = held.NewLoader(), schema.NewEncoder()
			}
			for _, row := range d.rows[p.from:p.to] {
				b, err := lines.Event(s.pending.List, row)
				if err != nil {
					return fmt.Errorf("set aside: %w", err)
				}
				data, err := encoder.Append(nil, &b)
				if err != nil {
					return fmt.Errorf("set aside: %w", err)
				}
				from := &s.pending.List[row.Record]
				items = append(items, rejects.Item{Refused: true, Sequence: from.Sequence, Arrival: from.Arrival, Reject: schema.Reject{Index: row.Index, Reason: p.aside, Data: data}})
				if size += len(data); size >= asideBytes {
					if err := s.put(ctx, items); err != nil {
						return err
					}
					items, size = items[:0], 0
				}
			}
		}
	}
	return s.put(ctx, items)
}

func (s *Sink) put(ctx context.Context, items []rejects.Item) error {
	if len(items) == 0 {
		return nil
	}
	if err := s.importer.kept.Put(ctx, s.attempt.rng, items); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	for _, it := range items {
		s.importer.metrics.rejects.WithLabelValues(it.Reject.Reason).Inc()
	}
	return nil
}
